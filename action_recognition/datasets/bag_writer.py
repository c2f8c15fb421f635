"""Messages into new rosbag2 recordings, without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rosbags.rosbag2 import StoragePlugin, Writer

from action_recognition.closing import Closing
from action_recognition.datasets.bags import typestore
from action_recognition.errors import UserError

#: The newest that ROS 2 Humble reads.
METADATA_VERSION: Literal[8] = 8


class BagWriter(Closing):
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
