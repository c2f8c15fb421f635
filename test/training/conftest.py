"""Small people for all trainings of recognisers, and a small base to teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import training_recipes
from teach_recipes import GENTLE, OLD, moving

from action_recognition import weights
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.precog import Recording
from action_recognition.recognition.models import create_model
from action_recognition.skeleton import NUM_JOINTS, Joint
from action_recognition.training import tasks
from action_recognition.training import teach_head as heads
from action_recognition.training import teach_rehearsal as rehearsals
from action_recognition.training.augment import Track
from action_recognition.training.teach_problem import Base

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
    parts = {'train': training_recipes.clips(48, 1), 'test': training_recipes.clips(16, 2)}
    monkeypatch.setattr(tasks, 'load_set', lambda _set, _data, part, *_: parts[part])
    monkeypatch.setitem(tasks.SETS, 'jhmdb14', training_recipes.LABELS)
    return parts


@pytest.fixture
def clips(standing) -> list[SkeletonClip]:
    """Five sources of each of two actions."""
    return [
        moving(standing, label, f'{source}', 10 * source + k)
        for k, label in enumerate(('wave', 'nod'))
        for source in range(5)
    ]


@pytest.fixture
def base_path(tmp_path, standing) -> Path:
    """A small network that has seen nothing but how features are spread, and its statistics."""
    torch.manual_seed(0)
    model = create_model('online', len(OLD), units=32)
    x = [
        heads.collate(
            [
                Track.of(moving(standing, label, 's', 0))._replace(
                    target=np.zeros(len(moving(standing, label, 's', 0)), np.int64)
                )
            ],
            'online',
        ).x
        for label in ('wave', 'nod', 'kick')
    ]
    with torch.no_grad():
        for _ in range(20):
            for part in x:
                model(part)
    path = tmp_path / 'base.safetensors'
    header = weights.Header(
        'action', 'base', {'model': 'online', 'units': 32, 'temperature': 1.3}, OLD, licence='mine'
    )
    weights.save(path, model.state_dict(), header)
    kicks = [replace(moving(standing, 'kick', f'{k}', k), label=OLD[k % 2]) for k in range(8)]
    loaded = Base.load(str(path))
    samples = heads.samples_of(loaded.model, kicks, OLD[:2], GENTLE, 2, np.random.default_rng(0))
    statistics = rehearsals.measure(samples, OLD[:2], weights.digest(path))
    rehearsals.save(path.with_suffix('.rehearsal'), statistics)
    return path


@pytest.fixture
def base(base_path) -> Base:
    """What is at `base_path`."""
    return Base.load(str(base_path))
