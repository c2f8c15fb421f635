"""A task that a recogniser learns in seconds, and a config that trains it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from action_recognition.datasets.clips import SkeletonClip

LABELS = ('left', 'right')


def clips(count: int, seed: int, pace: float = 3.0, jitter: float = 0.3) -> list[SkeletonClip]:
    """People of 100 pixels who move to the left or to the right, in turn.

    Args:
        pace: pixels a frame.
        jitter: standard deviation of the joints, pixels.
    """
    rng = np.random.default_rng(seed)
    out = []
    for k in range(count):
        steps = int(rng.integers(8, 15))
        way = np.array([[-pace, 0.0], [pace, 0.0]])[k % 2]
        xy = rng.uniform(0, 100, (14, 2)) + np.arange(steps)[:, None, None] * way
        if jitter:
            xy += rng.normal(0, jitter, xy.shape)
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


def config(tmp_path: Path, model: str, **changes) -> Path:
    lines = {
        'name': 'tiny',
        'model': model,
        'settings': {'units': 8, 'dropout': 0.0},
        'set': 'jhmdb14',
        'epochs': 4,
        'batch': 8,
        'learning_rate': 0.01,
        'ema': 0.8,
        'augmentation': {'jitter': 0.01},
        **changes,
    }
    path = tmp_path / 'tiny.yaml'
    path.write_text(json.dumps(lines))  # JSON is YAML
    return path
