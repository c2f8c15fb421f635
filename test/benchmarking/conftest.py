"""Clips and recordings that tell two classes apart within a few epochs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from action_recognition.benchmarking.speed import STANDING
from action_recognition.datasets import precog
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.precog import Recording
from action_recognition.skeleton import Joint

LABELS = ('left', 'right')


def make(count: int, seed: int) -> list[SkeletonClip]:
    """People of 100 pixels who move to the left or to the right, in turn."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(count):
        steps = int(rng.integers(8, 15))
        way = np.array([[-6.0, 0.0], [6.0, 0.0]])[k % 2]
        xy = rng.uniform(0, 100, (14, 2)) + np.arange(steps)[:, None, None] * way
        out.append(
            SkeletonClip(
                name=f'{LABELS[k % 2]}/{seed}-{k}',
                label=LABELS[k % 2],
                group=f'{seed}-{k}',
                xy=xy.astype(np.float32),
                score=np.ones((steps, 14), np.float32),
                stamps=np.arange(steps) * 33_333_333,
                image_size=(100, 100),
            )
        )
    return out


@pytest.fixture
def make_clips() -> Callable[[int, int], list[SkeletonClip]]:
    """`make_clips(count, seed)`: clips of the classes 'left' and 'right' in turn."""
    return make


@pytest.fixture
def recordings(monkeypatch) -> list[Recording]:
    """What `load_precog` finds: five people who hold up their right wrist (class 1) twice.

    The people are 1 to 5, of different heights; a wrist is up in just the frames of class 1.
    """
    found = []
    for person in range(1, 6):
        metres = np.array(STANDING) * -(0.4 + 0.02 * person)  # the Kinect's axes: left, and up
        frames = np.concatenate([metres, np.full((14, 1), 3.0)], 1)[None].repeat(90, 0)
        labels = np.zeros(90, np.int64)
        labels[30:45] = labels[65:80] = 1
        frames[labels == 1, Joint.RIGHT_WRIST, 1] += 1
        stamps = np.arange(90) * 33_333_333
        found.append(Recording(person, 1, frames.astype(np.float32), labels, stamps))
    monkeypatch.setattr(precog, 'load_precog', lambda _root: found)
    return found
