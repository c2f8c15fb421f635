"""Made-up motions for teaching, what to teach with, and what a taught model says of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.evaluation.action import clip_logits
from action_recognition.skeleton import Joint
from action_recognition.training.augment import Augmentation
from action_recognition.training.teach import Taught
from action_recognition.training.teach_config import TeachConfig

#: Classes of the base.
OLD = ('swim', 'fly', 'background')
GENTLE = Augmentation(flip=0.5, rotation=8.0, jitter=0.03, speed=1.2)
CONFIG = TeachConfig(copies=4, method='head', augmentation=GENTLE)


def moving(
    standing: np.ndarray, label: str, source: str, seed: int, number: int = 0
) -> SkeletonClip:
    """Somebody who waves an arm above the head, nods, or kicks.

    Args:
        standing: (14, 2) pixels of a person who stands.
    """
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(30, 40))
    phase = np.sin(np.arange(steps) * rng.uniform(0.4, 0.6) + rng.uniform(0, 6))
    xy = np.repeat(standing[None], steps, 0) * rng.uniform(0.8, 1.2) + rng.uniform(-20, 20, 2)
    if label == 'wave':
        xy[:, Joint.RIGHT_WRIST] = xy[:, Joint.RIGHT_SHOULDER] + [-10, -50]
        xy[:, Joint.RIGHT_WRIST, 0] += 25 * phase
    elif label == 'nod':
        xy[:, Joint.NOSE, 1] += 12 * phase
    else:
        xy[:, Joint.LEFT_ANKLE] += np.stack([40 * np.abs(phase), -30 * np.abs(phase)], 1)
    xy += rng.normal(0, 0.5, xy.shape)
    return SkeletonClip(
        f'{label}/{source}_{number}',
        label,
        f'{label}/{source}',
        xy.astype(np.float32),
        np.ones((steps, 14), np.float32),
        np.arange(steps) * 33_333_333,
        (320, 240),
    )


def unseen(standing: np.ndarray) -> list[SkeletonClip]:
    """Clips of sources that nobody was taught with."""
    return [moving(standing, label, 'x', 500 + k) for k in range(6) for label in ('wave', 'nod')]


def said(taught: Taught, clips: Sequence[SkeletonClip]) -> list[str]:
    """The label of each clip at its end."""
    return [taught.labels[int(a[-1].argmax())] for a in clip_logits(taught.model, clips)]
