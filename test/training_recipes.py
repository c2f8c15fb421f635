"""A task that a recogniser learns in seconds, and a config that trains it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from action_recognition.datasets.clips import SkeletonClip

LABELS = ('left', 'right')


def clips(count: int, seed: int) -> list[SkeletonClip]:
    """People moving to the left or to the right."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(count):
        steps = int(rng.integers(8, 15))
        way = np.array([[-3.0, 0.0], [3.0, 0.0]])[k % 2]
        xy = rng.uniform(0, 100, (14, 2)) + np.arange(steps)[:, None, None] * way
        out.append(
            SkeletonClip(
                name=f'{LABELS[k % 2]}/{seed}-{k}',
                label=LABELS[k % 2],
                group=f'{seed}-{k}',
                xy=(xy + rng.normal(0, 0.3, xy.shape)).astype(np.float32),
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
