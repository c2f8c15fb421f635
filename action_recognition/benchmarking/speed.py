"""Milliseconds per frame of streams, measured in turns so that a busy machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from action_recognition.benchmarking.peer import Step
from action_recognition.pose.figures import STANDING
from action_recognition.skeleton import FloatArray, Poses

K = TypeVar('K', bound=Hashable)
T = TypeVar('T')

FRAME = 33_333_333  # ns

#: Frames that every stream sees before the clock runs: the longest window is full by then.
WARM_UP = 70
TURN = 20


def walkers(people: int, frames: int) -> list[Poses]:
    """People side by side whose joints swing, at 30 Hz, all joints seen.

    Args:
        people: with track ids from 0.
    """
    size, phase = 80.0, np.arange(14)
    out = []
    for t in range(frames):
        swing = 0.15 * np.sin(0.2 * t + phase)
        one = (np.array(STANDING) + np.stack([swing + 0.02 * t, 0.3 * swing], 1)) * size + 200
        xy = one + np.arange(people)[:, None, None] * np.array([150.0, 0.0])
        score = np.full((people, 14), 0.9)
        out.append(Poses(xy, score, np.arange(people), t * FRAME, (1920, 1080)))
    return out


def milliseconds(steps: Mapping[str, Step], people: int, rounds: int) -> dict[str, FloatArray]:
    """Time of each frame of each stream of made-up people (`walkers`), as `in_turns`.

    Args:
        steps: streams that start anew.
    """
    return in_turns(steps, walkers(people, WARM_UP + TURN * rounds), WARM_UP)


def in_turns(
    steps: Mapping[K, Callable[[T], Any]], inputs: Sequence[T], warm_up: int
) -> dict[K, FloatArray]:
    """Time of each step on each input; all steps get the same inputs, in turns of `TURN`.

    Args:
        inputs: the first `warm_up` of them are given to every step before the clock runs.

    Returns:
        (len(inputs) - warm_up,) milliseconds per step.
    """
    for step in steps.values():
        for item in inputs[:warm_up]:
            step(item)
    spent: dict[K, list[float]] = {name: [] for name in steps}
    for begin in range(warm_up, len(inputs), TURN):
        for name, step in steps.items():
            for item in inputs[begin : begin + TURN]:
                start = time.perf_counter()
                step(item)
                spent[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(times) for name, times in spent.items()}


def summary(times: FloatArray) -> dict[str, Any]:
    """`ms_median`, `ms_p95` and `fps`, frames per second at the median."""
    median = float(np.median(times))
    return {'ms_median': median, 'ms_p95': float(np.percentile(times, 95)), 'fps': 1e3 / median}
