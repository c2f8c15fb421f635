"""`Peer`, what the comparison asks of every recogniser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.skeleton import FloatArray, Poses

#: Takes in one frame of the people in view, the same people in the same order at every call.
Step = Callable[[Poses], Any]


class Peer(Protocol):
    """A recogniser that can be trained, asked about the beginnings of clips, and timed."""

    @property
    def name(self) -> str:
        """As `--peers` and the table write it."""

    @property
    def trains(self) -> bool:
        """False for published weights, for which `fit` does nothing and seeds mean nothing."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes in the order of `probabilities`; known after `fit`."""

    @property
    def parameters(self) -> int:
        """Numbers learned in training; known after `fit`."""

    @property
    def recipe(self) -> dict[str, Any]:
        """All settings of the training, as JSON: equal recipes give equal results."""

    def fit(
        self, clips: Sequence[SkeletonClip], labels: Sequence[str], seed: int, folder: Path
    ) -> None:
        """Train from scratch.

        Args:
            folder: for checkpoints and curves, for those who write them.
        """

    def probabilities(self, clips: Sequence[SkeletonClip]) -> FloatArray:
        """(clips, classes): the answer after the last frame of each clip."""

    def step(self) -> Step:
        """A stream that starts anew; each call costs all that a frame costs on a robot."""
