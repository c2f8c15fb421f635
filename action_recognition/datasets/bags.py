"""rosbag2 recordings without ROS: images out of them, messages into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from action_recognition import resources
from action_recognition.datasets.pixels import BgrImage, compressed_to_bgr, image_to_bgr
from action_recognition.datasets.sources import DEFAULT_FPS, Frame, Source, split_bag
from action_recognition.errors import UserError

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
#: The newest that ROS 2 Humble reads.
METADATA_VERSION: Literal[8] = 8


def typestore() -> Typestore:
    """The messages of ROS 2 Humble (later ones are the same on the wire) and of this package."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name in MESSAGES:
        text = resources.find(f'msg/{name}.msg').read_text()
        store.register(get_types_from_msg(text, f'{PACKAGE}/msg/{name}'))
    return store


class BagWriter:
    """Writes serialised messages to a new mcap bag; a context manager.

    Args:
        path: directory of the bag, which must not exist.
        topics: full type name, such as 'action_recognition/msg/SkeletonArray', of each topic.

    Raises:
        UserError: the directory exists or cannot be made.
    """

    def __init__(self, path: Path, topics: Mapping[str, str]) -> None:
        if path.exists():
            raise UserError(f'{path} exists: remove it, or write the bag elsewhere')
        self._writer = Writer(path, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
        store = typestore()
        try:
            self._writer.open()
            self._connections = {
                topic: self._writer.add_connection(topic, kind, typestore=store)
                for topic, kind in topics.items()
            }
        except OSError as error:
            raise UserError(f'cannot write the bag {path}: {error.strerror}') from error

    def write(self, topic: str, data: bytes, stamp: int) -> None:
        """Append a message in CDR form at this time in nanoseconds."""
        self._writer.write(self._connections[topic], stamp, data)

    def close(self) -> None:
        """Finish the bag; without this it has no index."""
        self._writer.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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
        path, topic = split_bag(spec)
        if not path.exists():
            raise UserError(f'bag {path} does not exist')
        self._open = ExitStack()
        self._messages: Iterator[tuple[Connection, int, bytes]]
        try:
            self._reader = AnyReader([path], default_typestore=typestore())
            self._open.enter_context(self._reader)
        except Exception as error:  # damaged bags break the reader in many ways
            raise UserError(f'cannot read bag {path}: {_reason(error)}') from error
        try:
            self._connection = _image_topic(path, topic, self._reader.connections)
            super().__init__(f'{path}:{self._connection.topic}', DEFAULT_FPS, (0, 0), None)
            self._rewind()
            if (first := self._next()) is None:
                raise UserError(f'{self.name} holds no images')
            self.start, message = first
            self.frame_id = message.header.frame_id
            height, width = _pixels(message).shape[:2]
        except UserError:
            self._open.close()
            raise
        self._rewind()
        self.size = (width, height)
        self.length = self._connection.msgcount
        seconds = (self._reader.end_time - self._reader.start_time) * 1e-9
        if self.length > 1 and seconds > 0:
            self.fps = (self.length - 1) / seconds

    def read(self) -> Frame | None:
        if (item := self._next()) is None:
            return None
        stamp, message = item
        self._index += 1
        return Frame(_pixels(message), stamp - self.start, self._index - 1)

    def close(self) -> None:
        self._messages = iter(())
        self._open.close()

    def _rewind(self) -> None:
        self._index = 0
        self._messages = self._reader.messages([self._connection])

    def _next(self) -> tuple[int, Any] | None:
        try:
            item = next(self._messages, None)
            if item is None:
                return None
            connection, time, data = item
            message: Any = self._reader.deserialize(data, connection.msgtype)
        except Exception as error:  # damaged bags break the reader in many ways
            raise UserError(f'{self.name} is damaged: {_reason(error)}') from error
        return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec or time, message


def _reason(error: Exception) -> str:
    return ' '.join(str(error).split())[:200] or type(error).__name__


def _image_topic(path: Path, topic: str | None, connections: list[Connection]) -> Connection:
    images = {c.topic: c for c in connections if c.msgtype in (IMAGE, COMPRESSED)}
    names = ', '.join(sorted(images)) or 'none'
    if topic is None and len(images) == 1:
        return next(iter(images.values()))
    if topic in images:
        return images[topic]
    if not images or topic is not None:
        wanted = f'no images on {topic}' if topic else 'no images'
        raise UserError(f'bag {path} holds {wanted} (topics of images: {names})')
    raise UserError(
        f'bag {path} holds several topics of images ({names}): name one, as in {path}:{min(images)}'
    )


def _pixels(message: Any) -> BgrImage:
    return compressed_to_bgr(message) if hasattr(message, 'format') else image_to_bgr(message)
