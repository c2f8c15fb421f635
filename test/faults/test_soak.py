"""The short form of `make soak`: the composed graph, every fault that comes in a few seconds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'soak.py'


@pytest.fixture(scope='module')
def soak():
    """The module `benchmarks/soak.py`."""
    spec = importlib.util.spec_from_file_location('benchmarks_soak', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def life(soak, megabytes):
    life = soak.Life('perception', None)
    life.samples = [(soak.WARM_UP + 10 * i, m * 2**20, 5, 9) for i, m in enumerate(megabytes)]
    return life


def test_growth_is_that_after_the_warm_up(soak):
    assert life(soak, [100] * 20).growth() == pytest.approx(0.0)
    assert life(soak, [100] * 10 + [103] * 10).growth() == pytest.approx(0.03)
    assert life(soak, [100] * 5).growth() is None


def test_a_short_soak_holds(soak, tmp_path, monkeypatch):
    monkeypatch.setattr(soak, 'STALL', 0.5)
    run = soak.Soak(('pipeline',), 3, tmp_path)
    run.run(8.0, 0.1)
    assert run.resumed
    assert run.crashes == []
    assert all(life.samples for life in run.lives)
