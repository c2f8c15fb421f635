"""Recognizer: skeletons in, one stable action label per tracked person out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from action_recognition import weights
from action_recognition.device import resolve_device
from action_recognition.msg import ActionLabelArray, LabelInfo, SkeletonArray
from action_recognition.nodes.common import StageNode, run
from action_recognition.nodes.convert import (
    captions,
    estimates_to_msg,
    labels_to_msg,
    msg_to_poses,
    stamp_to_ns,
)
from action_recognition.nodes.markers import label_markers
from action_recognition.nodes.qos import latched_qos, result_qos
from action_recognition.nodes.settings import Setting
from action_recognition.recognition.labels import ActionEstimate, LabelConfig
from action_recognition.recognition.stream import FORGET_AFTER, StreamingRecognizer
from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.stages.recognition import (
    DEFAULT_RECOGNIZER,
    Recognition,
    Recognizer,
    RecognizerConfig,
)

LABELS = LabelConfig()

RecognizerFactory = Callable[..., Recognizer]


class RecognizerNode(StageNode):
    """Subscribes `skeletons`, publishes `actions` for each, the latched `labels`, `markers`.

    An update takes a fraction of a millisecond, so it runs in the executor. Every message is
    counted once: received = processed + repeated + rejected + errors + refused, which is what comes
    from a stage in this process while the node is not active. Markers that fail count as
    late_errors.
    """

    NAME = 'recognizer'
    SETTINGS = (
        Setting(
            'model',
            DEFAULT_RECOGNIZER,
            'Name of action weights, or the path of a .safetensors file.',
        ),
        Setting(
            'device', 'cpu', "Where to compute: 'cpu', 'auto' (a GPU if there is one), 'cuda'."
        ),
        Setting(
            'labels.enter',
            LABELS.enter,
            'A guess is confirmed once its probability was at least this for labels.dwell.',
            0,
            1,
            live=True,
        ),
        Setting(
            'labels.exit',
            LABELS.exit,
            'A confirmed label is lost once its probability was below this for labels.dwell.',
            0,
            1,
            live=True,
        ),
        Setting(
            'labels.dwell',
            LABELS.dwell,
            'Seconds of stamp time; at 0 a single image decides.',
            0,
            60,
            live=True,
        ),
        Setting(
            'labels.unknown_below',
            LABELS.unknown_below,
            'A guess with a lower probability is unknown.',
            0,
            1,
            live=True,
        ),
        Setting(
            'labels.min_joints',
            LABELS.min_joints,
            'With fewer visible joints the guess is unknown.',
            0,
            NUM_JOINTS,
            live=True,
        ),
        Setting(
            'labels.hold',
            LABELS.hold,
            'Seconds for which a confirmed label outlives too few visible joints.',
            0,
            60,
            live=True,
        ),
        Setting(
            'forget_after',
            FORGET_AFTER,
            'Seconds without sight after which a person is forgotten and their label ends. Below '
            'tracker.max_lost of perception, it may begin anew under the same track_id.',
            0.01,
            600,
            live=True,
        ),
    )

    def __init__(
        self,
        *,
        recognizer_factory: RecognizerFactory = StreamingRecognizer.from_weights,
        **node_options: Any,
    ) -> None:
        super().__init__(**node_options)
        #: Receivers of every result in this process.
        self.receivers: list[Callable[[ActionLabelArray], None]] = []
        #: Whether skeletons come from the topic; the pipeline hands them over in memory instead.
        self.subscribes = True
        self.health.expects_input = True
        self._factory = recognizer_factory
        self._stage: Recognition | None = None
        self._busy = threading.Lock()  # results of the pipeline come from another thread

    def configure(self) -> None:
        config = self._config({})
        weights.read_header(weights.find(config.model), 'action')
        if config.device != 'cpu':  # of which PyTorch need not be asked
            resolve_device(config.device)
        self._actions = self.advertise(ActionLabelArray, 'actions', result_qos())
        self._markers = self.advertise(MarkerArray, 'markers', result_qos())
        self._labels = self.advertise(LabelInfo, 'labels', latched_qos())

    def start(self) -> None:
        config = self._config({})
        recognizer = self._factory(config.model, config.device)
        recognizer.configure(config.labels, config.forget_after)
        self.health.fact('model', config.model)
        self.health.fact('device', recognizer.device)
        with self._busy:
            self._stage = Recognition(recognizer, self.health.timed)
            self._last = ActionLabelArray()
            self._number: int | None = None
        self._announce(recognizer, config)
        if self.subscribes:
            self.subscribe(
                SkeletonArray, 'skeletons', self._on_skeletons, result_qos(), numbered=True
            )
        self.get_logger().info(
            f'{config.model} knows {len(recognizer.labels)} actions, on {recognizer.device}'
        )

    def stop(self) -> None:
        with self._busy:
            stage, self._stage = self._stage, None
        if stage:
            self._end_everybody(stage.ended())
            stage.recognizer.close()

    def _end_everybody(self, ended: list[ActionEstimate]) -> None:
        """Nobody is to act any longer on what was said of people who are not looked at."""
        if ended:
            self._last = estimates_to_msg(ended, self._last.header)
            self.attempt(self._publish, 'late_errors')
            for receive in self.receivers:
                receive(self._last)

    def apply(self, changes: Mapping[str, Any]) -> None:
        config = self._config(changes)
        with self._busy:
            if self._stage:
                self._stage.recognizer.configure(config.labels, config.forget_after)
                self._announce(self._stage.recognizer, config)

    def accept(self, header: Header, poses: Poses) -> None:
        """Take the people of an image from a stage in this process."""
        self.health.received()
        with self.health.frame(poses.stamp, 'skeletons'):
            self.attempt(partial(self._process, header, poses))

    def _on_skeletons(self, message: SkeletonArray, number: int | None) -> None:
        self.health.received()
        with self.health.frame(stamp_to_ns(message.header.stamp), 'skeletons'):
            self.attempt(lambda: self._process(message.header, msg_to_poses(message), number))

    def _config(self, changes: Mapping[str, Any]) -> RecognizerConfig:
        values = {setting.name: self.value(setting.name) for setting in self.SETTINGS}
        return RecognizerConfig.from_parameters({**values, **changes})

    def _announce(self, recognizer: Recognizer, config: RecognizerConfig) -> None:
        now = self.get_clock().now().to_msg()
        self._labels.publish(labels_to_msg(recognizer.labels, config.labels.enter, now))

    def _process(self, header: Header, poses: Poses, number: int | None = None) -> None:
        with self._busy:
            if self._stage is None:
                self.health.count('refused')
                return
            # A sender who has begun to count again does so with the ids of people as well.
            anew = number is not None and self._number is not None and number < self._number
            verdict = self._stage.process(poses, anew)
            if verdict.repeated:
                self.health.count('repeated')
                self._publish()
            else:
                self._number = number
                if verdict.reset:
                    self.health.count('resets')
                    reason = 'skeletons have another sender' if anew else 'the clock jumped back'
                    self.warn('reset', f'{reason}: everybody is forgotten')
                with self.health.timed('convert'):
                    self._last = estimates_to_msg(verdict.estimates, header)
                self._publish()
                self.health.count('processed')
                self.attempt(partial(self._draw, header, poses), 'late_errors')
        for receive in self.receivers:
            receive(self._last)

    def _draw(self, header: Header, poses: Poses) -> None:
        if self._markers.get_subscription_count():
            self._markers.publish(label_markers(poses, captions(self._last), header))

    def _publish(self) -> None:
        with self.health.timed('publish'):
            self.health.sent('actions')
            self._actions.publish(self._last)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(lambda: [RecognizerNode()], args)


if __name__ == '__main__':
    sys.exit(main())
