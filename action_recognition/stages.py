"""The two stages of the graph without ROS: images to tracked people, people to actions.

The nodes run these very objects, and so does `evaluate bag`: what becomes of a message is decided
here, by its stamp and its content alone. How messages come and go is the nodes' business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from action_recognition.datasets.pixels import BgrImage
from action_recognition.errors import UserError
from action_recognition.pose.backends.registry import DEFAULT_MODEL
from action_recognition.pose.decode import DecoderConfig, one_thread
from action_recognition.pose.estimator import EstimatorConfig, PoseEstimator
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.recognition.labels import ActionEstimate, LabelConfig
from action_recognition.recognition.stream import FORGET_AFTER
from action_recognition.skeleton import Poses
from action_recognition.tracking.tracker import Tracker, TrackerConfig

#: The action weights that ship for everyday use.
DEFAULT_RECOGNIZER = 'online_union32'

#: Nanoseconds by which a message may be overtaken on its way. One that comes later, or more of
#: them in a row, mean that the clock has jumped.
LATE = 500_000_000
MOST_LATE = 30

#: What the dataclasses hold, but nobody should have to set.
FIXED = ('decoder.samples',)

T = TypeVar('T')
#: Times the block as one turn of the stage it names.
Timer = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class PerceptionConfig:
    """What finds and follows people; the parameters of the perception node.

    Attributes:
        model: name or path of pose weights.
        device: 'auto', 'cpu' or 'cuda'.
    """

    model: str = DEFAULT_MODEL
    device: str = 'auto'
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    look: LookConfig = field(default_factory=LookConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)

    @classmethod
    def from_parameters(cls, values: Mapping[str, Any]) -> PerceptionConfig:
        """From parameters by their names, such as 'look.mode'; others keep their defaults.

        Raises:
            UserError: values do not fit each other.
        """
        decoder = _group(DecoderConfig, 'decoder.', values)
        estimator = _group(EstimatorConfig, '', {**values, 'decoder': decoder})
        look = _group(LookConfig, 'look.', values)
        tracker = _group(TrackerConfig, 'tracker.', values)
        parts = {'estimator': estimator, 'look': look, 'tracker': tracker}
        return _group(cls, '', {**values, **parts})


@dataclass(frozen=True)
class RecognizerConfig:
    """What names actions; the parameters of the recognizer node.

    Attributes:
        model: name or path of action weights.
        device: 'auto', 'cpu' or 'cuda'.
        forget_after: seconds without sight after which a person is forgotten.
    """

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
        return _group(cls, '', {**values, 'labels': _group(LabelConfig, 'labels.', values)})


def parameter_names(kind: type[PerceptionConfig] | type[RecognizerConfig]) -> set[str]:
    """The names that `from_parameters` takes."""
    groups: dict[str, type] = {'labels.': LabelConfig}
    if kind is PerceptionConfig:
        groups = {
            'decoder.': DecoderConfig,
            '': EstimatorConfig,
            'look.': LookConfig,
            'tracker.': TrackerConfig,
        }
    named = {prefix + f.name for prefix, part in groups.items() for f in fields(part)}
    own = {f.name for f in fields(kind)}
    return (named | own) - {'estimator', 'decoder', 'look', 'tracker', 'labels', *FIXED}


def _group(kind: type[T], prefix: str, values: Mapping[str, Any]) -> T:
    """A dataclass by the parameters that share a prefix."""
    names = [(f.name, prefix + f.name) for f in fields(kind)]  # type: ignore[arg-type]
    try:
        return kind(**{name: values[key] for name, key in names if key in values})
    except (TypeError, ValueError) as error:
        raise UserError(f'parameters {prefix}*: {error}') from error


class LateInput(UserError):
    """A message was overtaken by a later one; everything is as if it had not come."""


class Order:
    """Tells messages that come late from a clock that jumped backwards."""

    def __init__(self) -> None:
        self._late = 0

    def check(self, stamp: int, last: int) -> None:
        """Take in the stamp (ns) of a message and that of the last one that was not late.

        Raises:
            LateInput: it comes late.
        """
        if not 0 < last - stamp <= LATE or self._late == MOST_LATE:
            self._late = 0
            return
        self._late += 1
        raise LateInput(
            f'a message stamped {(last - stamp) * 1e-9:.3f} s before the last one is left out: two '
            'senders on one topic, or a network that changes the order?'
        )


class Sight(NamedTuple):
    """What became of an image.

    Attributes:
        poses: the tracked people.
        image: its pixels; None if the image came before.
        repeats: how often an image of this stamp has come before.
        full: whether the whole image was looked at for the answer.
        crops: how many crops were.
    """

    poses: Poses
    image: BgrImage | None
    repeats: int = 0
    full: bool = False
    crops: int = 0


class Perception:
    """Images in, tracked people out.

    Attributes:
        gaze, tracker: their `config` may be changed between images.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        look: LookConfig | None = None,
        tracker: TrackerConfig | None = None,
        timed: Timer = lambda stage: nullcontext(),
    ) -> None:
        self.gaze = Gaze(estimator, look)
        self.tracker = Tracker(tracker)
        self._timed = timed
        self._order = Order()
        self._last: Sight | None = None

    def process(self, stamp: int, read: Callable[[], BgrImage]) -> Sight:
        """Take in an image.

        A second look at the same moment tells nothing new, so an image that has the stamp of the
        one before is not read and gets the same answer. An image stamped before the last one is
        late, or begins anew: gaze and tracker forget everybody.

        Args:
            stamp: ns.
            read: gives the pixels; what it raises leaves everything as it was.

        Raises:
            LateInput: it was overtaken.
        """
        if self._last and stamp == self._last.poses.stamp:
            self._last = Sight(self._last.poses, None, self._last.repeats + 1)
            return self._last
        if self._last:
            self._order.check(stamp, self._last.poses.stamp)
        with self._timed('convert'):
            image = read()
        with self._timed('pose'):
            found = self.gaze.look(image, stamp, self.tracker.predict(stamp))
        with self._timed('track'):
            poses = self.tracker.update(found)
        self._last = Sight(poses, None)
        return Sight(poses, image, 0, self.gaze.last.full, len(self.gaze.last.regions))

    def look_around(self) -> bool:
        """Look for newcomers in the last image when the answer is out: `Gaze.look_around`."""
        if not self.gaze.last.around:
            return False
        with self._timed('look around'):
            return self.gaze.look_around()


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
        with self._timed('recognize'), one_thread():
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
