"""The short form of `make soak`: the composed graph, every fault that comes in a few seconds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from action_recognition.benchmarking.lives import Sample

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'soak.py'


@pytest.fixture(scope='module')
def soak():
    """The module `benchmarks/soak.py`, which imports that of its faults beside it."""
    spec = importlib.util.spec_from_file_location('benchmarks_soak', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PATH.parent)
        spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name], sys.modules['soak_faults']


def test_a_short_soak_holds(soak, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('soak_faults.STALL', 0.5)
    run = soak.Soak(('pipeline',), 3, tmp_path)
    run.run(5.0, 0.1)
    assert run.resumed
    assert run.broken == []
    assert all(life.samples for life in run.lives)
    soak.report(run)
    told = capsys.readouterr().out
    assert all(f'| {fault} | {len(times)} |' in told for fault, times in run.resumed.items())
    assert all(f'| {name} |' in told for name in ('pipeline', 'camera', 'processes are killed'))


def test_a_leak_and_late_labels_are_broken_promises(soak, tmp_path, capsys):
    run = soak.Soak(('pipeline',), 3, tmp_path)
    run.session.close()
    run.periods.append(soak.Period('nothing is killed', faults=1))
    run.resumed['stall'] = [0.1, 1.5]
    life = soak.Life('camera', None)
    life.samples = [Sample(t, 10**8 + 10**5 * t, 5, 9) for t in range(300)]
    run.lives.append(life)
    late, leak = soak.report(run)
    assert late == 'stall: labels came back after 1.50 s'
    assert leak.startswith('camera grew by ')
    assert '| stall | 2 | 0.80 | 1.50 |' in capsys.readouterr().out
