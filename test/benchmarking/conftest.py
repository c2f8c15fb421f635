"""Clips and recordings that tell two classes apart within a few epochs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from training_recipes import clips

from action_recognition.datasets import precog
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.precog import Recording
from action_recognition.pose.figures import STANDING
from action_recognition.skeleton import Joint


@pytest.fixture
def make_clips() -> Callable[[int, int], list[SkeletonClip]]:
    """`make_clips(count, seed)`: clips of the classes 'left' and 'right' in turn."""
    return partial(clips, pace=6.0, jitter=0.0)


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
