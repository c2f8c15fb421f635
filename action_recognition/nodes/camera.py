"""Camera: a file, a device, a stream or another topic, paced and scaled, as `image`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from action_recognition.datasets.sources import (
    DEFAULT_FPS,
    Frame,
    MissingSource,
    Source,
    may_come,
    open_source,
    without_password,
)
from action_recognition.errors import UserError
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.common import TRANSPORTS, StageNode, run
from action_recognition.nodes.convert import ns_to_stamp, stamp_to_ns
from action_recognition.nodes.images import (
    BgrImage,
    Picture,
    bgr_to_image,
    bgr_to_jpeg,
    shrink,
    to_bgr,
)
from action_recognition.nodes.player import READY_INTERVAL, Playback, Player, Thinner
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.nodes.settings import Setting
from action_recognition.nodes.worker import Worker

#: The value of `source` that stands for a subscription.
TOPIC = 'topic'
#: The value of `lockstep` that turns it off.
OFF = 'off'
#: Seconds between the end of the source and that of the process: the last messages get through.
LINGER = 1.0
#: How often a frame is sent in lockstep before the camera goes on without an answer.
ATTEMPTS = 3
#: Seconds for two nodes to find each other, after one has.
DISCOVERY_TIME = 0.5


class CameraNode(StageNode):
    """Publishes `image`, and `image/compressed` where somebody subscribes to it.

    What a receiver in this process does not take, for it is not active, is counted as refused.
    """

    NAME = 'camera'
    SETTINGS = (
        Setting(
            'source',
            '',
            'Image, directory of images, video, bag, camera (0 or /dev/video0) or URL; '
            f'{TOPIC!r} takes the images of the topic image_in.',
            lenient=True,
        ),
        Setting('transport', 'raw', 'How image_in comes.', choices=TRANSPORTS),
        Setting(
            'rate', 0.0, 'Most frames published per second; 0: all. Also paces images.', 0, 1000
        ),
        Setting(
            'max_size', 0, 'Longer side of the published image in pixels; 0: as it is.', 0, 8192
        ),
        Setting('loop', False, 'Play a file again and again.'),
        Setting(
            'frame_id',
            'camera_optical_frame',
            'Frame of the images (REP-103 optical); those of a topic or a bag keep theirs.',
        ),
        Setting(
            'stamp',
            'auto',
            'Stamps by the clock at arrival or by media time; auto: clock for live sources only. '
            'Images of a topic keep theirs.',
            choices=('auto', 'clock', 'media'),
        ),
        Setting(
            'start_time',
            -1.0,
            'Stamp of media time 0 in seconds; -1: that of the bag, or the clock at the start.',
            -1,
            2**31 - 1,  # of the seconds of a stamp
        ),
        Setting(
            'lockstep',
            OFF,
            'Send the next frame only when this topic has answered the last one: nothing is lost '
            'however slow the receiver, and a file runs as fast as it can be processed. Live '
            'sources do not wait. What it was on configuration says whether image is offered '
            'reliably.',
            choices=(OFF, 'skeletons', 'actions'),
        ),
        Setting(
            'lockstep_timeout',
            5.0,
            f'Seconds to wait for that answer before sending again, {ATTEMPTS} times in all.',
            0.01,
            600,
        ),
        Setting('exit_at_end', False, 'End the process when the source ends.'),
        Setting('jpeg_quality', 90, 'Quality of image/compressed.', 1, 100, live=True),
    )

    def __init__(
        self, *, opener: Callable[[str, float], Source] = open_source, **node_options: Any
    ) -> None:
        super().__init__(**node_options)
        #: Receivers in this process, which say whether they took the image; while there are any,
        #: `image` is published on demand only.
        self.receivers: list[Callable[[Picture], bool]] = []
        #: The nodes of this process for whom a file waits to be active.
        self.awaited: list[StageNode] = []
        self._opener = opener
        self._player: Player | None = None
        self._relay: Worker[Image | CompressedImage] | None = None
        self._answer = threading.Condition()
        self._answered = -1
        self._origin = 0
        self._lockstep = OFF
        self._found = 0.0

    def configure(self) -> None:
        self._spec()
        self._raw = self.advertise(Image, 'image', image_qos(self.value('lockstep') != OFF))
        topic = self.resolve_topic_name('image') + '/compressed'
        self._jpeg = self.advertise(CompressedImage, topic, image_qos())

    def start(self) -> None:
        spec = self._spec()
        self.health.note('')
        if spec == TOPIC:
            self._start_relay()
        else:
            self._start_player(spec)

    def _spec(self) -> str:
        """What to play."""
        if spec := self.value('source').strip():
            return spec
        raise UserError(
            'camera: parameter source is empty: give an image, a directory, a video, a camera '
            f'(0 or /dev/video0), a URL, or {TOPIC!r} for the topic image_in'
        )

    def stop(self) -> None:
        if self._player:
            self._player.stopping.set()
            with self._answer:
                self._answer.notify_all()
            self._player.stop()
            self._player = None
        if self._relay:
            self.end_worker(self._relay)
            self._relay = None

    def acknowledge(self, topic: str, stamp: int) -> None:
        """This topic has answered the frame of this stamp (ns)."""
        if topic == self._lockstep:
            with self._answer:
                self._answered = stamp
                self._answer.notify_all()

    def _start_player(self, spec: str) -> None:
        try:
            source = self._open_source(spec)
        except Exception as error:
            if not may_come(spec):
                raise
            source = MissingSource(without_password(spec), error)
        self.health.expects_input = source.live
        # A live source that waits would be read late, and its images stamped later still.
        self._lockstep = OFF if source.live else self.value('lockstep')
        self._found = 0.0
        media = {'auto': not source.live, 'clock': False, 'media': True}[self.value('stamp')]
        self._origin = self._media_origin(source)
        self._frame_id = source.frame_id or self.value('frame_id')
        if self._lockstep != OFF and not self.receivers:
            kind = {'skeletons': SkeletonArray, 'actions': ActionLabelArray}[self._lockstep]
            self.subscribe(kind, self._lockstep, self._on_answer, result_qos())
        self._player = Player(
            source,
            Playback(self.value('rate'), self.value('loop'), paced=self._lockstep == OFF),
            self.health,
            reopen=partial(self._open_source, spec),
            ready=self._has_listener,
            deliver=partial(self._deliver, media),
            warn=partial(self.warn, 'source'),
            ended=self._on_end,
        )
        self._player.start()

    def _open_source(self, spec: str) -> Source:
        source = self._opener(spec, self.value('rate') or DEFAULT_FPS)
        self.health.fact('source', source.name)
        if source.live or not self._player:  # but not whenever a file begins again
            self.get_logger().info(f'playing {source.name}')
        return source

    def _media_origin(self, source: Source) -> int:
        """Stamp in ns of the first frame under media time."""
        if (start_time := self.value('start_time')) >= 0:
            return round(start_time * 1e9)
        return self.get_clock().now().nanoseconds if source.start is None else source.start

    def _start_relay(self) -> None:
        self.health.fact('source', self.resolve_topic_name('image_in'))
        self.health.expects_input = True
        self._thinner = Thinner(self.value('rate'))
        self._lockstep = OFF
        self._relay = self.worker('relay', 'image_in', self._pass_on)
        self.subscribe_images('image_in', self.value('transport'), self._relay)

    def _has_listener(self) -> bool:
        if self.receivers:
            return all(node.is_active for node in self.awaited)
        publishers = (self._raw, self._jpeg)
        heard = any(publisher.get_subscription_count() for publisher in publishers)
        if self._lockstep == OFF or not heard:
            return heard
        if not self.count_publishers(self.resolve_topic_name(self._lockstep)):
            return False
        # Who answers finds us a little after we have found them: an answer before that is lost.
        self._found = self._found or time.monotonic()
        return time.monotonic() - self._found > DISCOVERY_TIME

    def _deliver(self, media: bool, frame: Frame) -> None:
        now = self.get_clock().now().nanoseconds
        stamp = self._origin + frame.stamp if media else now
        header = Header(stamp=ns_to_stamp(stamp), frame_id=self._frame_id)
        with self.health.frame(stamp):
            self.attempt(partial(self._send, header, frame.image))

    def _pass_on(self, message: Image | CompressedImage) -> None:
        if self._thinner.passes(stamp_to_ns(message.header.stamp)):
            self._send(message.header, to_bgr(message))
        else:
            self.health.count('skipped')

    def _send(self, header: Header, image: BgrImage) -> None:
        picture = Picture(header, shrink(image, self.value('max_size')))
        if self._lockstep != OFF:
            self._await_receivers()
        taken = self._emit(picture)
        self.health.count('published')
        if self._lockstep != OFF and taken:
            self._await_answer(picture)

    def _emit(self, picture: Picture) -> bool:
        """Hand the image to everybody; False if a receiver in this process refused it."""
        with self.health.timed('publish'):
            self.health.sent('image')
            taken = [receive(picture) for receive in self.receivers]
            self.health.count('refused', taken.count(False))
            if not self.receivers or self._raw.get_subscription_count():
                self._raw.publish(bgr_to_image(picture.image, picture.header))
            if self._jpeg.get_subscription_count():
                quality = self.value('jpeg_quality')
                self._jpeg.publish(bgr_to_jpeg(picture.image, picture.header, quality))
        return all(taken)

    def _await_receivers(self) -> None:
        """While a node of this process is not active, a file in lockstep stands still."""
        player = self._player
        while player and not all(node.is_active for node in self.awaited):
            if player.stopping.wait(READY_INTERVAL):
                return

    def _await_answer(self, picture: Picture) -> None:
        stamp = stamp_to_ns(picture.header.stamp)
        timeout = self.value('lockstep_timeout')
        for attempt in range(ATTEMPTS):
            if attempt:
                self.health.count('sent_again')
                if not self._emit(picture):
                    return
            with self._answer:
                if self._answer.wait_for(lambda: self._is_over(stamp), timeout):
                    return
        self.health.count('unanswered')
        self.warn(
            'lockstep',
            f'no {self._lockstep} for the frame of {stamp} ns within '
            f'{ATTEMPTS * timeout:g} s: going on with the next one',
        )

    def _is_over(self, stamp: int) -> bool:
        return self._answered == stamp or not self._player or self._player.stopping.is_set()

    def _on_answer(self, message: SkeletonArray | ActionLabelArray) -> None:
        self.acknowledge(self._lockstep, stamp_to_ns(message.header.stamp))

    def _on_end(self, fault: str) -> None:
        counts = (
            f'{self.health.counted("received")} frames read, '
            f'{self.health.counted("published")} published'
        )
        self.exit_code = int(bool(fault))
        if fault:
            self.get_logger().error(f'the source broke off by {fault}: {counts}')
        else:
            self.health.note('finished')
            self.get_logger().info(f'the source has ended: {counts}')
        player = self._player
        if self.value('exit_at_end') and player and not player.stopping.wait(LINGER):
            self.context.try_shutdown()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(lambda: [CameraNode()], args)


if __name__ == '__main__':
    sys.exit(main())
