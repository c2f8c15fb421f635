"""The options of `action-recognition teach` arrive where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from action_recognition.cli import main
from action_recognition.evaluation.estimated import JointCache, default_cache
from action_recognition.training import teach_run
from action_recognition.training.teach_config import TeachConfig


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def run(*args):
        calls.append(args)
        return {'accuracy': 0.5}

    monkeypatch.setattr(teach_run, 'run', run)
    return calls


def test_defaults(asked, tmp_path, capsys):
    assert main(['teach', '--data', str(tmp_path)]) == 0
    cache = JointCache(default_cache())
    assert asked == [(tmp_path, Path('runs/taught'), TeachConfig(), cache, None, None, False)]
    assert 'weights: runs/taught/taught.safetensors' in capsys.readouterr().out


def test_options(asked, tmp_path):
    options = (
        '--base b --name n --out o --truth t.csv --groups g.csv --keep --method head --seed 3 '
        '--pose p --device cpu --cache c --jobs 2 --ray auto'
    )
    assert main(['teach', '--data', str(tmp_path), *options.split()]) == 0
    config = TeachConfig('b', 'n', 'head', True, 3)
    cache = JointCache(Path('c'), 'p', 'cpu', jobs=2, ray='auto')
    assert asked == [(tmp_path, Path('o'), config, cache, Path('t.csv'), Path('g.csv'), False)]


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--base', 'absent'], 'there are no weights'),
        (['--keep', '--method', 'whole'], 'cannot learn anew and keep'),
        ([], 'is not a folder'),
    ],
)
def test_bad_input_is_one_line(options, said, tmp_path, capsys):
    arguments = ['teach', '--data', str(tmp_path / 'absent'), '--out', str(tmp_path / 'out')]
    assert main([*arguments, *options]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count('\n') == 1
