"""Records what a running graph says, and if asked what it sees, to an mcap bag."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from action_recognition.datasets.bag_writer import BagWriter
from action_recognition.datasets.bags import COMPRESSED, SKELETONS
from action_recognition.errors import UserError
from action_recognition.msg import ActionLabelArray, LabelInfo, SkeletonArray
from action_recognition.nodes.bag_player import header_stamp
from action_recognition.nodes.images import bgr_to_jpeg, to_bgr
from action_recognition.nodes.qos import image_qos, latched_qos, result_qos

#: What is always recorded: type and full type name by topic.
RESULTS: dict[str, tuple[type, str]] = {
    'skeletons': (SkeletonArray, SKELETONS),
    'actions': (ActionLabelArray, 'action_recognition/msg/ActionLabelArray'),
    'labels': (LabelInfo, 'action_recognition/msg/LabelInfo'),
}
#: JPEG quality of images that come raw.
QUALITY = 90
#: Images that may wait: a recorder should not lose what the graph has seen.
IMAGE_DEPTH = 30
#: Seconds after the last skeletons for which time is taken to go on.
MOST_AHEAD = 0.5


class BagRecorder:
    """Takes in messages while it spins; a bag is made at once and finished by `close`.

    Messages are recorded at the time of their stamp, so a bag made on simulated time plays on it;
    the latched labels, which may have come into force long before, with the skeletons that follow.

    Args:
        out: directory of the bag, which must not exist.
        images: topic of images to record as JPEG; '' for none.
        transport: how images come, raw or compressed.
        ros_args: of its node, such as remappings.

    Attributes:
        counts: messages by topic.
        first: stamp (ns) of the first skeletons; None before.
        rejected: images that could not be read.

    Raises:
        UserError: the bag cannot be made.
    """

    def __init__(
        self,
        out: Path,
        images: str = '',
        transport: str = 'raw',
        context: Context | None = None,
        ros_args: list[str] | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.rejected = 0
        self.first: int | None = None
        self._newest: tuple[int, float] | None = None
        self._latched: list[bytes] = []
        self._node = Node('recorder', context=context, cli_args=ros_args or [])
        names = {topic: self._node.resolve_topic_name(topic) for topic in RESULTS}
        kinds = {name: RESULTS[topic][1] for topic, name in names.items()}
        picture = self._node.resolve_topic_name(images) if images else ''
        target = f'{picture}/compressed' if picture else ''
        self._images = (target if transport == 'compressed' else picture, target)
        if picture:
            kinds[target] = COMPRESSED
        try:
            self._bag = BagWriter(out, kinds)
        except UserError:
            self._node.destroy_node()
            raise
        self._executor = SingleThreadedExecutor(context=self._node.context)
        self._executor.add_node(self._node)
        for topic, name in names.items():
            qos = latched_qos() if topic == 'labels' else result_qos()
            take: Callable[[bytes], None] = partial(self._take, name, topic == 'skeletons')
            if topic == 'labels':
                self._labels, take = name, self._latched.append
            self._node.create_subscription(RESULTS[topic][0], name, take, qos, raw=True)
        if picture:
            qos = image_qos()
            qos.depth = IMAGE_DEPTH
            if transport == 'compressed':
                take = partial(self._take, target, False)
                self._node.create_subscription(CompressedImage, target, take, qos, raw=True)
            else:
                compress = partial(self._compress, target)
                self._node.create_subscription(Image, picture, compress, qos)

    def spin(self, seconds: float) -> None:
        """Take in what comes within these seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def now(self) -> int | None:
        """The stamp (ns) that an image taken now would have; None before the first message.

        Where nothing comes any more, it stands still soon after the last stamp.
        """
        if self._newest is None:
            return None
        stamp, arrived = self._newest
        return stamp + round(min(time.monotonic() - arrived, MOST_AHEAD) * 1e9)

    @property
    def is_silent(self) -> bool:
        """Whether skeletons have come and come no more, so that time stands still."""
        return self._newest is not None and time.monotonic() - self._newest[1] > MOST_AHEAD

    @property
    def missing_images(self) -> str:
        """The topic from which no image has come, though they were asked for; '' otherwise."""
        source, target = self._images
        return '' if self.rejected or self.counts[target] else source

    def close(self) -> None:
        """Finish the bag and leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._bag.close()

    def _take(self, topic: str, is_skeletons: bool, data: bytes) -> None:
        stamp = header_stamp(data)
        if is_skeletons:
            self.first = stamp if self.first is None else self.first
            self._newest = (stamp, time.monotonic())
            for labels in self._latched:
                self._bag.write(self._labels, labels, stamp)
                self.counts[self._labels] += 1
            self._latched.clear()
        self._bag.write(topic, data, stamp)
        self.counts[topic] += 1

    def _compress(self, topic: str, message: Any) -> None:
        try:
            picture = bgr_to_jpeg(to_bgr(message), message.header, QUALITY)
        except UserError:
            self.rejected += 1
            return
        self._take(topic, False, serialize_message(picture))
