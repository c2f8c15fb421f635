"""The command that measures how often left is taken for right, `benchmarks/sides.py`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from torch import nn

from action_recognition.datasets.people import Person
from action_recognition.skeleton import FLIP

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / 'benchmarks' / 'sides.py'
XY = np.arange(28, dtype=np.float32).reshape(14, 2)


@pytest.fixture
def sides():
    """The module `benchmarks/sides.py`."""
    spec = importlib.util.spec_from_file_location('benchmarks_sides', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(sides, monkeypatch):
    """Runs the command; gives back what was asked about, and at which size."""

    def run(*arguments):
        asked = []

        def doubt(people, network, device, size):
            asked.append((people[0].xy, size))
            right = len(asked) == 1
            return people, np.array([[not right, False]] * 2 + [[False, not right]] * 2)

        monkeypatch.setattr(sides, 'jhmdb_people', lambda *_, **__: [Person(b'', XY)] * 4)
        monkeypatch.setattr(sides, 'load_network', lambda _: SimpleNamespace(network=nn.Identity()))
        monkeypatch.setattr(sides, 'without_doubtful_sides', doubt)
        monkeypatch.setattr('sys.argv', ['sides.py', '--data', 'data', *arguments])
        sides.main()
        return asked

    return run


def test_people_are_asked_about_as_labelled_and_exchanged(run, capsys):
    asked = [xy for xy, _ in run()]
    np.testing.assert_array_equal(asked[0], XY)
    np.testing.assert_array_equal(asked[1], XY[list(FLIP)])
    rows = [line.split(' | ') for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1:] for row in rows] == [['4', '0.000', '0.000 |'], ['4', '0.500', '0.500 |']]


def test_size_is_that_of_the_published_training_unless_another_is_asked_for(
    run, sides, monkeypatch, tmp_path
):
    published = yaml.safe_load((ROOT / 'config/train/pose.yaml').read_text())['check_size']
    assert [size for _, size in run()] == [published] * 2
    assert [size for _, size in run('--size', '320')] == [320] * 2
    other = tmp_path / 'pose.yaml'
    other.write_text('{name: pose, check_size: 128, phases: [{size: 64, stages: 1, images: 9}]}')
    monkeypatch.setattr(sides.resources, 'find', lambda name: other)
    assert [size for _, size in run()] == [128] * 2


@pytest.mark.parametrize(
    ('size', 'reason'), [('100', 'multiples of 8, not 100'), ('0', 'check_size must be')]
)
def test_size_that_is_none_is_refused_in_a_line(run, capsys, size, reason):
    with pytest.raises(SystemExit, match='2'):
        run('--size', size)
    line = capsys.readouterr().err.splitlines()[-1]
    assert 'error: --size: ' in line
    assert reason in line
