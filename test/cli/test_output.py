import json

import numpy as np
import pytest

from action_recognition.cli.output import print_table, write_json
from action_recognition.errors import UserError


def test_table(capsys):
    print_table(
        {'accuracy': 0.98765432, 'n': 1068, 'per_class': {'clap': 1.0}, 'm': None, 'k': (1, 0.5)}
    )
    assert capsys.readouterr().out.splitlines() == [
        'accuracy   0.9877',
        'n          1068',
        'per_class',
        '  clap     1',
        'm          -',
        'k          1 0.5',
    ]


def test_table_of_nothing(capsys):
    print_table({})
    assert capsys.readouterr().out == ''


def test_json_holds_plain_values(tmp_path):
    path = tmp_path / 'new' / 'figures.json'
    write_json(
        path,
        {
            'accuracy': np.float32(0.5),
            'matrix': np.eye(2, dtype=int),
            'nan': float('nan'),
            'nested': {1: [np.int64(3), np.inf]},
            'text': 'a',
        },
    )
    assert json.loads(path.read_text()) == {
        'accuracy': 0.5,
        'matrix': [[1, 0], [0, 1]],
        'nan': None,
        'nested': {'1': [3, None]},
        'text': 'a',
    }


def test_json_to_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'cannot write .*figures\.json'):
        write_json(tmp_path / 'file' / 'figures.json', {})
