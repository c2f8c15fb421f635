"""`Peer` and `StreamPeer`, what the comparisons ask of every recogniser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.streams import SkeletonStream
from action_recognition.skeleton import FloatArray, Poses
from action_recognition.training.tasks import StreamTask

#: Takes in one frame of the people in view, the same people in the same order at every call.
Step = Callable[[Poses], Any]


class Entrant(Protocol):
    """A recogniser that can be timed, however it is trained."""

    @property
    def name(self) -> str:
        """As `--peers` and the table write it."""

    @property
    def trains(self) -> bool:
        """False for published weights, for which `fit` does nothing and seeds mean nothing."""

    @property
    def parameters(self) -> int:
        """Numbers learned in training; known after `fit`, of a `StreamPeer` before it too."""

    @property
    def recipe(self) -> dict[str, Any]:
        """All settings of the training, as JSON: equal recipes give equal results."""

    def step(self) -> Step:
        """A stream that starts anew; each call costs all that a frame costs on a robot.

        After `fit`; a `StreamPeer` can be timed before it as well.
        """


class Peer(Entrant, Protocol):
    """A recogniser that is trained with clips and asked about their beginnings."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes in the order of `probabilities`; known after `fit`."""

    def fit(
        self, clips: Sequence[SkeletonClip], labels: Sequence[str], seed: int, folder: Path
    ) -> None:
        """Train from scratch.

        Args:
            folder: for checkpoints and curves, for those who write them.
        """

    def probabilities(self, clips: Sequence[SkeletonClip]) -> FloatArray:
        """(clips, classes): the answer after the last frame of each clip."""


class StreamPeer(Entrant, Protocol):
    """A recogniser that is trained with continuous recordings and asked about every frame."""

    def fit(
        self, task: StreamTask, seed: int, folder: Path, refit: bool
    ) -> list[FloatArray] | None:
        """Train from scratch without the people held out, who give the temperature.

        Args:
            folder: for checkpoints; training goes on from those it holds.
            refit: then train again, with all people of the training part.

        Returns:
            `probabilities` of the people held out, by the model that never saw them; None of
            published weights, which may have.
        """

    def probabilities(self, streams: Sequence[SkeletonStream]) -> list[FloatArray]:
        """(T, classes of PRECOG) for each stream: the answer after each frame."""
