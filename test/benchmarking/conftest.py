"""Clips that tell two classes apart within a few epochs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from action_recognition.datasets.clips import SkeletonClip

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
