"""From class probabilities to labels a behaviour can trust: unknowns, hysteresis, dwell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from action_recognition.errors import UserError
from action_recognition.skeleton import FloatArray

UNKNOWN = -1
UNKNOWN_LABEL = 'unknown'


@dataclass(frozen=True)
class ActionEstimate:
    """The label of one person at one moment.

    Attributes:
        track_id: of the person.
        class_id: index into the model's labels, -1 = unknown.
        label: its name, 'unknown' for -1.
        confidence: calibrated probability of that class; for unknown, of the most probable one.
        state: 'candidate' (newest guess, may flicker), 'confirmed' (steady, act on this one) or
            'ended' (the person is gone; sent once).
        began: stamp in ns at which this label was first the newest guess.
        scores: (C,) float32 calibrated probabilities of all classes.
    """

    track_id: int
    class_id: int
    label: str
    confidence: float
    state: str
    began: int
    scores: FloatArray


@dataclass(frozen=True)
class LabelConfig:
    """When a guess becomes a published label, and when that label ends.

    Attributes:
        enter: a guess is confirmed once its probability was at least this for `dwell` seconds.
        exit: a confirmed label is lost once its probability was below this for `dwell` seconds.
        dwell: seconds of stamp time; at 0 a single frame decides.
        unknown_below: a guess with a lower probability is 'unknown'.
        min_joints: with fewer visible joints the guess is 'unknown', for then the model is surer
            than it is right.
        hold: seconds for which a confirmed label outlives too few visible joints.

    The defaults are those that `benchmarks/labels.py` finds best on validation streams: the model
    has a memory of its own, so a high threshold keeps labels steadier than a dwell does, and
    answers sooner.

    Raises:
        UserError: a value is out of range, or exit is above enter.
    """

    enter: float = 0.85
    exit: float = 0.6
    dwell: float = 0.0
    unknown_below: float = 0.4
    min_joints: int = 7
    hold: float = 0.5

    def __post_init__(self) -> None:
        for name in ('enter', 'exit', 'unknown_below'):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f'{name} must lie in [0, 1], not {getattr(self, name)}')
        if self.exit > self.enter:
            raise UserError(f'exit ({self.exit}) must not be above enter ({self.enter})')
        for name in ('dwell', 'hold'):
            if getattr(self, name) < 0:
                raise UserError(f'{name} must not be negative, not {getattr(self, name)}')
        if not 0 <= self.min_joints <= 14:
            raise UserError(f'min_joints must lie in [0, 14], not {self.min_joints}')


@dataclass(frozen=True)
class Answer:
    """What `LabelFilter` says of one frame; the fields are those of `ActionEstimate`."""

    class_id: int
    confidence: float
    state: str
    began: int


class LabelFilter:
    """The published label of one person over time."""

    def __init__(self, config: LabelConfig, none: int | None = None) -> None:
        """Args: none, the class that stands for no action: as a guess it is unknown."""
        self.config, self.none = config, none
        self._guess: int | None = None  # the newest guess, None before the first frame
        self._guess_since = 0
        self._sure_since: int | None = None  # since when the guess is at least `enter`
        self._label, self._began = UNKNOWN, 0  # the confirmed label
        self._weak_since: int | None = None  # since when the label is below `exit`
        self._few_since: int | None = None  # since when there are too few joints
        self._stamp = 0  # of the last frame

    def update(self, scores: Sequence[float] | FloatArray, stamp: int, visible: int) -> Answer:
        """Take in one frame.

        Args:
            scores: (C,) calibrated probabilities.
            stamp: ns, not decreasing.
            visible: number of joints seen.
        """
        config = self.config
        elapsed, self._stamp = stamp - self._stamp, stamp
        guess = int(np.argmax(scores))
        best = float(scores[guess])
        few = visible < config.min_joints
        if not few:
            self._few_since = None
        elif self._few_since is None:
            self._few_since = stamp
        if guess == self.none or best < config.unknown_below or few:
            guess = UNKNOWN
        if guess != self._guess:
            self._guess, self._guess_since, self._sure_since = guess, stamp, None
        if guess == UNKNOWN or best < config.enter:
            self._sure_since = None
        elif self._sure_since is None:
            self._sure_since = stamp
        if _lasted(self._sure_since, stamp, config.dwell):
            if guess != self._label:
                self._label, self._began = guess, self._guess_since
            self._weak_since = None
        elif self._label != UNKNOWN:
            if not few and scores[self._label] >= config.exit:
                self._weak_since = None
            elif not few and self._weak_since is None:
                self._weak_since = stamp
            # What is said of too few joints is no evidence against the label either: the time
            # goes by for `hold` alone.
            if few and self._weak_since is not None:
                self._weak_since += elapsed
            lost = (
                _lasted(self._few_since, stamp, config.hold)
                if few
                else _lasted(self._weak_since, stamp, config.dwell)
            )
            if lost:
                self._label, self._weak_since = UNKNOWN, None
        if self._label != UNKNOWN:
            return Answer(self._label, float(scores[self._label]), 'confirmed', self._began)
        return Answer(guess, best, 'candidate', self._guess_since)


def _lasted(since: int | None, stamp: int, seconds: float) -> bool:
    return since is not None and stamp - since >= seconds * 1e9
