"""Tracked people in, what they do out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol

from action_recognition.recognition.labels import ActionEstimate, LabelConfig
from action_recognition.recognition.stream import FORGET_AFTER
from action_recognition.skeleton import Poses
from action_recognition.stages.order import Order, Timer
from action_recognition.stages.parameters import Parts, group
from action_recognition.threads import one_torch_thread

#: The action weights that ship for everyday use.
DEFAULT_RECOGNIZER = 'online_union32'


@dataclass(frozen=True)
class RecognizerConfig:
    """What names actions; the parameters of the recognizer node.

    Attributes:
        model: name or path of action weights.
        device: 'auto', 'cpu' or 'cuda'.
        forget_after: seconds without sight after which a person is forgotten.
    """

    PARTS: ClassVar[Parts] = (('labels.', LabelConfig),)

    model: str = DEFAULT_RECOGNIZER
    device: str = 'cpu'
    labels: LabelConfig = field(default_factory=LabelConfig)
    forget_after: float = FORGET_AFTER

    @classmethod
    def from_parameters(cls, values: Mapping[str, Any]) -> RecognizerConfig:
        """From parameters by their names, such as 'labels.enter'; others keep their defaults.

        Raises:
            UserError: values do not fit each other.
        """
        return group(cls, '', {**values, 'labels': group(LabelConfig, 'labels.', values)})


class Recognizer(Protocol):
    """What `Recognition` needs of `StreamingRecognizer`."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def device(self) -> str:
        """Where it computes."""

    def update(self, poses: Poses) -> list[ActionEstimate]:
        """Labels of the people of one image."""

    def configure(self, config: LabelConfig, forget_after: float) -> None:
        """Take over other thresholds, for people known and to come."""

    def reset(self) -> None:
        """Forget everybody."""

    def close(self) -> None:
        """Give back the memory of the device."""


class Verdict(NamedTuple):
    """What became of the people of an image.

    Attributes:
        estimates: of those that ended, then one of each person.
        repeated: the people of this stamp have come before, and this is the same answer.
        reset: the clock jumped backwards, or ids began anew, so everybody was forgotten first;
            in the second case they are among those that ended.
    """

    estimates: list[ActionEstimate]
    repeated: bool = False
    reset: bool = False


class Recognition:
    """Tracked people in, what they do out."""

    def __init__(self, recognizer: Recognizer, timed: Timer = lambda stage: nullcontext()) -> None:
        self.recognizer = recognizer
        self._timed = timed
        self._order = Order()
        self._last: tuple[int, list[ActionEstimate]] | None = None
        self._known: dict[int, ActionEstimate] = {}

    def process(self, poses: Poses, anew: bool = False) -> Verdict:
        """Take in the people of an image; those of the last stamp once more change nothing.

        Args:
            anew: the ids no longer mean whom they meant.

        Raises:
            LateInput: they were overtaken.
        """
        if self._last and poses.stamp == self._last[0]:
            return Verdict(self._last[1], repeated=True)
        if self._last:
            self._order.check(poses.stamp, self._last[0])
        back = self._last is not None and poses.stamp < self._last[0]
        reset = back or (anew and self._last is not None)
        ended: list[ActionEstimate] = []
        if anew:
            self.recognizer.reset()
            if not back:
                ended = self.ended()
        if reset:
            self._known.clear()
        # An update is too little work to share out: on a busy computer, waiting for a second
        # thread took a hundred times as long.
        with self._timed('recognize'), one_torch_thread():
            estimates = ended + self.recognizer.update(poses)
        for estimate in estimates:
            if estimate.state == 'ended':
                self._known.pop(estimate.track_id, None)
            else:
                self._known[estimate.track_id] = estimate
        self._last = (poses.stamp, estimates)
        return Verdict(estimates, reset=reset)

    def ended(self) -> list[ActionEstimate]:
        """What there is to say when everybody is given up now."""
        return [replace(last, state='ended') for last in self._known.values()]
