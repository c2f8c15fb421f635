"""Small people for all trainings of recognisers."""

from __future__ import annotations

import numpy as np
import pytest
from training_recipes import LABELS, clips

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.precog import Recording
from action_recognition.skeleton import NUM_JOINTS, Joint
from action_recognition.training import tasks

#: x to the right and y down, in torso sizes round the hips, of a person who faces the camera.
STANDING = {
    Joint.NOSE: (0.0, -1.3),
    Joint.NECK: (0.0, -1.0),
    Joint.RIGHT_SHOULDER: (-0.3, -1.0),
    Joint.RIGHT_ELBOW: (-0.4, -0.5),
    Joint.RIGHT_WRIST: (-0.4, 0.0),
    Joint.LEFT_SHOULDER: (0.3, -1.0),
    Joint.LEFT_ELBOW: (0.4, -0.5),
    Joint.LEFT_WRIST: (0.4, 0.0),
    Joint.RIGHT_HIP: (-0.2, 0.0),
    Joint.RIGHT_KNEE: (-0.2, 0.7),
    Joint.RIGHT_ANKLE: (-0.2, 1.4),
    Joint.LEFT_HIP: (0.2, 0.0),
    Joint.LEFT_KNEE: (0.2, 0.7),
    Joint.LEFT_ANKLE: (0.2, 1.4),
}


@pytest.fixture
def standing() -> np.ndarray:
    """(14, 2) pixels of a person who stands."""
    return np.array([STANDING[joint] for joint in Joint], np.float32) * 50 + [160, 120]


@pytest.fixture
def people(standing) -> list[SkeletonClip]:
    """Four people who walk to the right without moving their limbs."""
    clips = []
    for k in range(4):
        steps = 20 + k
        xy = standing + np.arange(steps)[:, None, None] * np.array([1.0, 0.0])
        clips.append(
            SkeletonClip(
                name=f'walk/{k}',
                label='right',
                group=f'{k}',
                xy=xy.astype(np.float32),
                score=np.ones((steps, NUM_JOINTS), np.float32),
                stamps=np.arange(steps) * 33_333_333,
                image_size=(320, 240),
            )
        )
    return clips


@pytest.fixture
def recordings(standing) -> list[Recording]:
    """Six people who stand, raise their right wrist (class 1), and stand again."""
    found = []
    for person in (1, 2, 3, 4, 5, 7):
        # The Kinect's x runs to the left of the image and its y up.
        xyz = np.concatenate([(standing - [160, 120]) * [-0.01, -0.01], np.full((14, 1), 3.0)], 1)
        frames = np.repeat(xyz[None], 90, 0).astype(np.float32)
        frames[40:60, Joint.RIGHT_WRIST, 1] += np.linspace(0, 1, 20)
        labels = np.zeros(90, np.int64)
        labels[40:60] = 1
        found.append(Recording(person, 1, frames, labels, np.arange(90) * 33_333_333))
    return found


@pytest.fixture
def sets(monkeypatch):
    """The train and test part of a task that is learnt in seconds, whatever set is asked for."""
    parts = {'train': clips(48, 1), 'test': clips(16, 2)}
    monkeypatch.setattr(tasks, 'load_set', lambda _set, _data, part, *_: parts[part])
    monkeypatch.setitem(tasks.SETS, 'jhmdb14', LABELS)
    return parts
