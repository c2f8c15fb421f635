"""The draws and the figures of `benchmarks/teach.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.recognition.models import create_model

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'teach.py'


@pytest.fixture(scope='module')
def bench():
    """The module `benchmarks/teach.py`."""
    spec = importlib.util.spec_from_file_location('benchmarks_teach', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def clip(label, source, number) -> SkeletonClip:
    xy = np.random.default_rng(number).uniform(0, 100, (4, 14, 2)).astype(np.float32)
    stamps = np.arange(4) * 33_333_333
    score = np.ones((4, 14), np.float32)
    return SkeletonClip(f'{label}/{source}_{number}', label, source, xy, score, stamps, (100, 100))


def test_a_draw_takes_every_source_before_any_twice(bench):
    clips = [clip(label, f's{k // 3}', k) for label in bench.NEW for k in range(9)]
    for seed in range(5):
        three, five = (bench.draw(clips, count, seed) for count in (3, 5))
        assert len(three) == 3 * len(bench.NEW)
        assert len({(c.label, c.group) for c in three}) == len(three)
        assert len({c.name for c in five}) == 5 * len(bench.NEW)
    assert [c.name for c in bench.draw(clips, 3, 1)] == [c.name for c in bench.draw(clips, 3, 1)]
    assert [c.name for c in bench.draw(clips, 3, 1)] != [c.name for c in bench.draw(clips, 3, 2)]


def test_right_and_unknown_are_shares_of_last_answers(bench):
    model = create_model('online', 2, units=8).eval()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 3.0]))
    clips = [clip('wave', 'a', 1), clip('nod', 'a', 2), clip('nod', 'b', 3)]
    assert bench.right(model, ('wave', 'nod'), clips) == pytest.approx(2 / 3)
    assert bench.right(model, ('wave', 'nod'), clips, ('wave',)) == pytest.approx(1 / 3)
    assert bench.unknown(model, ('wave', 'nod'), clips) == 0
    assert bench.unknown(model, ('wave', 'background'), clips) == 1
