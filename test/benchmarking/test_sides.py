"""The command that measures how often left is taken for right, `benchmarks/sides.py`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from torch import nn

from action_recognition.datasets.people import Person
from action_recognition.skeleton import FLIP

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'sides.py'


def test_people_are_asked_about_as_labelled_and_exchanged(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location('benchmarks_sides', PATH)
    sides = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sides)
    xy = np.arange(28, dtype=np.float32).reshape(14, 2)
    asked = []

    def doubt(people, network, device, size):
        asked.append(people[0].xy)
        right = len(asked) == 1
        return people, np.array([[not right, False]] * 2 + [[False, not right]] * 2)

    monkeypatch.setattr(sides, 'jhmdb_people', lambda *_, **__: [Person(b'', xy)] * 4)
    monkeypatch.setattr(sides, 'load_network', lambda _: SimpleNamespace(network=nn.Identity()))
    monkeypatch.setattr(sides, 'without_doubtful_sides', doubt)
    monkeypatch.setattr('sys.argv', ['sides.py', '--data', 'data'])
    sides.main()
    np.testing.assert_array_equal(asked[0], xy)
    np.testing.assert_array_equal(asked[1], xy[list(FLIP)])
    rows = [line.split(' | ') for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1:] for row in rows] == [['4', '0.000', '0.000 |'], ['4', '0.500', '0.500 |']]
