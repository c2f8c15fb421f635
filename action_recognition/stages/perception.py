"""Images in, tracked people out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from action_recognition.datasets.pixels import BgrImage
from action_recognition.pose.backends.registry import DEFAULT_MODEL
from action_recognition.pose.decode import DecoderConfig
from action_recognition.pose.estimator import EstimatorConfig, PoseEstimator
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.skeleton import Poses
from action_recognition.stages.order import Order, Timer
from action_recognition.stages.parameters import Parts, group
from action_recognition.tracking.tracker import Tracker, TrackerConfig


@dataclass(frozen=True)
class PerceptionConfig:
    """What finds and follows people; the parameters of the perception node.

    Attributes:
        model: name or path of pose weights.
        device: 'auto', 'cpu' or 'cuda'.
    """

    PARTS: ClassVar[Parts] = (
        ('decoder.', DecoderConfig),
        ('', EstimatorConfig),
        ('look.', LookConfig),
        ('tracker.', TrackerConfig),
    )

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
        decoder = group(DecoderConfig, 'decoder.', values)
        estimator = group(EstimatorConfig, '', {**values, 'decoder': decoder})
        look = group(LookConfig, 'look.', values)
        tracker = group(TrackerConfig, 'tracker.', values)
        parts = {'estimator': estimator, 'look': look, 'tracker': tracker}
        return group(cls, '', {**values, **parts})


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
