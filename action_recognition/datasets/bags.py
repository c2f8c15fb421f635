"""rosbag2 recordings without ROS: images and skeletons out of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinitionFormat,
    QosDurability,
)
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from action_recognition import resources
from action_recognition.closing import Closing
from action_recognition.datasets.damaged import open_bag
from action_recognition.datasets.pixels import BgrImage, compressed_to_bgr, image_to_bgr
from action_recognition.datasets.skeleton_messages import parse_skeletons
from action_recognition.datasets.sources import DEFAULT_FPS, Frame, Source, split_bag
from action_recognition.errors import UserError
from action_recognition.limits import MAX_IMAGE_BYTES
from action_recognition.skeleton import Poses

PACKAGE = 'action_recognition'
#: Of this package, each after those it is made of.
MESSAGES = (
    'Joint',
    'Skeleton',
    'SkeletonArray',
    'ActionLabel',
    'ActionLabelArray',
    'LabelClass',
    'LabelInfo',
)
IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
SKELETONS = f'{PACKAGE}/msg/SkeletonArray'
#: Seconds between stamps and recording that no delay explains: the clocks of camera and recorder.
CLOCKS_APART = 5.0


def typestore() -> Typestore:
    """The messages of ROS 2 Humble (later ones are the same on the wire) and of this package."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name in MESSAGES:
        text = resources.find(f'msg/{name}.msg').read_text()
        store.register(get_types_from_msg(text, f'{PACKAGE}/msg/{name}'))
    return store


class BagReader(Closing):
    """All messages of a bag as they were recorded; a context manager.

    Attributes:
        path: of the bag.
        types: full type name of each topic.

    Raises:
        UserError: the bag cannot be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise UserError(f'bag {path} does not exist')
        self.path = path
        self._open = ExitStack()
        try:
            self._reader, _ = open_bag(path, typestore(), self._open)
        except Exception as error:  # damaged bags break the reader in many ways
            self._open.close()
            raise UserError(f'cannot read bag {path}: {_reason(error)}') from error
        self.types = {c.topic: c.msgtype for c in self._reader.connections}

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of recording (ns) and CDR of each message of these topics, by that time.

        Raises:
            UserError: the bag is damaged.
        """
        chosen = [c for c in self._reader.connections if c.topic in topics]
        messages = self._reader.messages(chosen) if chosen else iter(())
        while True:
            try:
                item = next(messages, None)
            except Exception as error:  # damaged bags break the reader in many ways
                raise UserError(f'bag {self.path} is damaged: {_reason(error)}') from error
            if item is None:
                return
            connection, time, data = item
            yield connection.topic, time, data

    def count(self, topics: Collection[str]) -> int:
        """How many messages these topics have."""
        return sum(c.msgcount for c in self._reader.connections if c.topic in topics)

    def kept(self, topic: str) -> int | None:
        """How many messages were kept for who subscribes later; None: the bag does not say."""
        offered = [
            qos
            for connection in self._reader.connections
            if connection.topic == topic and isinstance(connection.ext, ConnectionExtRosbag2)
            for qos in connection.ext.offered_qos_profiles  # of each publisher
        ]
        if not offered:
            return None
        return sum(
            max(qos.depth, 1) for qos in offered if qos.durability is QosDurability.TRANSIENT_LOCAL
        )

    def close(self) -> None:
        """Close the files; safe to call twice."""
        self._open.close()


class _Topic:
    """The messages of one topic of a bag, in the order of recording; read again after `rewind`.

    Args:
        spec: a bag (its directory, or a single .mcap or .db3 file), or `BAG:TOPIC`.
        kinds: full names of the types that will do.
        what: what messages of these types are, for error messages.

    Raises:
        UserError: the bag cannot be read, or which topic is meant is not clear.
    """

    def __init__(self, spec: str, kinds: Sequence[str], what: str) -> None:
        path, topic = split_bag(spec)
        if not path.exists():
            raise UserError(f'bag {path} does not exist')
        self._open = ExitStack()
        self.messages: Iterator[tuple[Connection, int, bytes]] = iter(())
        try:
            self.reader, state = open_bag(path, typestore(), self._open)
        except Exception as error:  # damaged bags break the reader in many ways
            self._open.close()
            raise UserError(f'cannot read bag {path}: {_reason(error)}') from error
        try:
            self.connection = _choose(path, topic, self.reader.connections, kinds, what)
        except UserError:
            self.close()
            raise
        self.name = f'{path}:{self.connection.topic}'
        seconds = (self.reader.end_time - self.reader.start_time) * 1e-9
        self.state = state.format(seconds=seconds)
        self.rewind()

    def rewind(self) -> None:
        """Begin again with the first message."""
        # A topic that was recorded from several publishers has a connection for each.
        same = [
            c
            for c in self.reader.connections
            if (c.topic, c.msgtype) == (self.connection.topic, self.connection.msgtype)
        ]
        self.length = sum(c.msgcount for c in same)
        self.messages = self.reader.messages(same)

    def next(self) -> tuple[int, bytes] | None:
        """Time of recording (ns) and CDR of the next message, None at the end.

        Raises:
            UserError: the bag is damaged here.
        """
        try:
            item = next(self.messages, None)
        except Exception as error:  # damaged bags break the reader in many ways
            raise UserError(f'{self.name} is damaged: {_reason(error)}') from error
        return None if item is None else item[1:]

    def compare_clocks(self, time: int, stamp: int) -> None:
        """Say so in `state` if a header's stamp (ns) is far from the time of recording (ns)."""
        lag = (time - stamp) * 1e-9
        if abs(lag) > CLOCKS_APART and 'stamps' not in self.state:
            line = (
                f'stamps are {abs(lag):.1f} s {"behind" if lag > 0 else "ahead of"} the recording'
            )
            self.state = f'{self.state}; {line}' if self.state else line

    def deserialize(self, data: bytes) -> Any:
        """A message of this topic.

        Raises:
            UserError: it is damaged.
        """
        try:
            if len(data) > MAX_IMAGE_BYTES:
                raise ValueError(f'a message of {len(data)} bytes; at most {MAX_IMAGE_BYTES}')
            return self.reader.deserialize(data, self.connection.msgtype)
        except Exception as error:
            raise UserError(f'{self.name} is damaged: {_reason(error)}') from error

    def close(self) -> None:
        """Close the files; there are no more messages."""
        self.messages = iter(())
        self._open.close()


class BagImages(Source):
    """The images of one topic, raw or compressed.

    Stamps are those of the headers, and of the recording where a header has none.

    Args:
        spec: a bag (its directory, or a single .mcap or .db3 file), or `BAG:TOPIC` where it holds
            more than one topic of images.

    Attributes:
        start: stamp of the first image in ns.
        frame_id: of the first image.

    Raises:
        UserError: the bag cannot be read, holds no images, or the topic is not clear.
    """

    start: int

    def __init__(self, spec: str) -> None:
        self._topic = _Topic(spec, (IMAGE, COMPRESSED), 'images')
        try:
            super().__init__(self._topic.name, DEFAULT_FPS, (0, 0), None)
            if (first := self._next()) is None:
                raise UserError(f'{self.name} holds no images')
            self.start, message = first
            self.frame_id = message.header.frame_id
            height, width = _pixels(message).shape[:2]
        except UserError:
            self._topic.close()
            raise
        self._topic.rewind()
        self._index = 0
        self.size = (width, height)
        self.length = self._topic.length
        seconds = (self._topic.reader.end_time - self._topic.reader.start_time) * 1e-9
        if self.length > 1 and seconds > 0:
            self.fps = (self.length - 1) / seconds

    @property
    def state(self) -> str:
        """What the user should know if the bag is not whole or its clocks disagree, else ''."""
        return self._topic.state

    def read(self) -> Frame | None:
        if (item := self._next()) is None:
            return None
        stamp, message = item
        self._index += 1
        return Frame(_pixels(message), stamp - self.start, self._index - 1)

    def messages(self) -> Iterator[tuple[int, Callable[[], BgrImage]]]:
        """Stamp (ns, absolute) of each image, and what gives its pixels: not all need be decoded.

        Raises:
            UserError: the bag is damaged; from the callable: the image is.
        """
        while (item := self._next()) is not None:
            stamp, message = item
            yield stamp, partial(_pixels, message)

    def close(self) -> None:
        self._topic.close()

    def _next(self) -> tuple[int, Any] | None:
        if (item := self._topic.next()) is None:
            return None
        time, data = item
        message = self._topic.deserialize(data)
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec or time
        self._topic.compare_clocks(time, stamp)
        return stamp, message


class BagSkeletons(Closing):
    """The skeletons of one topic as `Poses` with absolute stamps; a context manager.

    Stamps are those of the headers, and of the recording where a header has none. A message that
    cannot be taken is passed over, as the recognizer node does, and counted.

    Args:
        spec: a bag, or `BAG:TOPIC` where it holds more than one topic of skeletons.

    Attributes:
        name: bag and topic.
        length: how many messages the topic has.
        rejected: what was wrong with messages passed over, so far.

    Raises:
        UserError: the bag cannot be read, the topic is not clear, or it was recorded with another
            version of the message.
    """

    def __init__(self, spec: str) -> None:
        self._topic = _Topic(spec, (SKELETONS,), 'skeletons')
        self.name, self.length = self._topic.name, self._topic.length
        self.rejected: list[str] = []
        connection, store = self._topic.connection, typestore()
        ours = store.hash_rihs01(SKELETONS)
        if (theirs := _version(connection)) not in ('', ours):
            self._topic.close()
            raise UserError(
                f'{self.name} was recorded with another version of {SKELETONS} '
                f'({theirs}, not {ours}): evaluate its images, or record it again'
            )

    @property
    def state(self) -> str:
        """What the user should know if the bag is not whole or its clocks disagree, else ''."""
        return self._topic.state

    def __iter__(self) -> Iterator[Poses]:
        """The people of each message from the first on.

        Raises:
            UserError: the bag is damaged.
        """
        self._topic.rewind()
        self.rejected = []
        while (item := self._topic.next()) is not None:
            time, data = item
            try:
                poses = parse_skeletons(data, time)
            except UserError as error:
                self.rejected.append(str(error))
            else:
                self._topic.compare_clocks(time, poses.stamp)
                yield poses

    def close(self) -> None:
        """Close the files; safe to call twice."""
        self._topic.close()


def topics(path: Path) -> dict[str, tuple[str, int]]:
    """Type and number of messages of each topic of a bag.

    Raises:
        UserError: it cannot be read.
    """
    with BagReader(path) as bag:
        return {name: (kind, bag.count([name])) for name, kind in sorted(bag.types.items())}


def _version(connection: Connection) -> str:
    """The RIHS01 hash of the type a topic was recorded with; '' where the bag does not tell.

    A single mcap file has no hash that rosbags reads, but the definition.
    """
    text = connection.msgdef
    if connection.digest or text.format != MessageDefinitionFormat.MSG:
        return connection.digest
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(text.data, connection.msgtype))
        return store.hash_rihs01(connection.msgtype)
    except (TypesysError, KeyError):  # a definition without those it is made of
        return ''


def _reason(error: Exception) -> str:
    return ' '.join(str(error).split())[:200] or type(error).__name__


def _choose(
    path: Path, topic: str | None, connections: list[Connection], kinds: Sequence[str], what: str
) -> Connection:
    fitting = {c.topic: c for c in connections if c.msgtype in kinds}
    names = ', '.join(sorted(fitting)) or 'none'
    if topic is None and len(fitting) == 1:
        return next(iter(fitting.values()))
    if topic in fitting:
        return fitting[topic]
    if not fitting or topic is not None:
        wanted = f'no {what} on {topic}' if topic else f'no {what}'
        there = ', '.join(sorted({f'{c.topic} ({c.msgtype})' for c in connections})) or 'nothing'
        raise UserError(f'bag {path} holds {wanted} (topics of {what}: {names}); it holds {there}')
    raise UserError(
        f'bag {path} holds several topics of {what} ({names}): name one, as in '
        f'{path}:{min(fitting)}'
    )


def _pixels(message: Any) -> BgrImage:
    return compressed_to_bgr(message) if hasattr(message, 'format') else image_to_bgr(message)
