"""mcap files without their end: what comes before the cut.

A robot that reads no such file can do without the library `mcap`, so this module is imported where
one is met.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from mcap.records import Channel, Chunk, DataEnd, Footer, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)
from rosbags.typesys.store import Typestore

from action_recognition.errors import UserError
from action_recognition.limits import MAX_IMAGE_BYTES

#: Bytes of a chunk of messages; recorders write chunks of about a megabyte, or of one message.
MAX_CHUNK_BYTES = 4 * MAX_IMAGE_BYTES


class CutBag:
    """The messages of mcap files up to where each is cut; stands in for rosbags' `AnyReader`.

    Attributes:
        connections: of all files; files that were split from one recording share them.
        start_time, end_time: of recording (ns), of the first and after the last message.
        complete: whether only the index behind the messages is lost, in all files.

    Raises:
        UserError: not one message can be read.
    """

    def __init__(self, files: Sequence[Path], store: Typestore) -> None:
        self._files, self._store = files, store
        self._topics: dict[tuple[str, str], Connection] = {}
        self._ended: set[Path] = set()
        times = []
        for key, time, _ in self._scan(None):
            connection = self._topics[key]
            self._topics[key] = connection._replace(msgcount=connection.msgcount + 1)
            times.append(time)
        if not times:
            raise UserError('no message can be read')
        self.connections = list(self._topics.values())
        self.start_time, self.end_time = min(times), max(times) + 1
        self.complete = self._ended.issuperset(files)

    def messages(
        self, connections: Collection[Connection]
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time of recording (ns) and CDR, in the order of time within each chunk."""
        wanted = {(c.topic, c.msgtype) for c in connections}
        for key, time, data in self._scan(wanted):
            yield self._topics[key], time, data

    def deserialize(self, data: bytes, kind: str) -> Any:
        """A message of this type."""
        return self._store.deserialize_cdr(data, kind)

    def _scan(
        self, wanted: Collection[tuple[str, str]] | None
    ) -> Iterator[tuple[tuple[str, str], int, bytes]]:
        for file in self._files:
            schemas: dict[int, Schema] = {}
            channels: dict[int, tuple[str, str]] = {}
            for records in _blocks(file):
                messages: list[Message] = []
                for record in records:
                    if isinstance(record, Schema):
                        schemas[record.id] = record
                    elif isinstance(record, Channel) and record.schema_id in schemas:
                        channels[record.id] = self._connect(record, schemas[record.schema_id])
                    elif isinstance(record, Message) and record.channel_id in channels:
                        messages.append(record)
                    elif isinstance(record, DataEnd):
                        self._ended.add(file)
                for message in sorted(messages, key=lambda m: m.log_time):
                    key = channels[message.channel_id]
                    if wanted is None or key in wanted:
                        yield key, message.log_time, message.data

    def _connect(self, channel: Channel, schema: Schema) -> tuple[str, str]:
        key = (channel.topic, schema.name)
        if key not in self._topics:
            digest = channel.metadata.get('topic_type_hash', '')
            ext = ConnectionExtRosbag2(channel.message_encoding, [])
            text = MessageDefinition(MessageDefinitionFormat.NONE, '')
            if schema.encoding == 'ros2msg':
                written = schema.data.decode('utf-8', 'replace')
                text = MessageDefinition(MessageDefinitionFormat.MSG, written)
            self._topics[key] = Connection(
                len(self._topics) + 1, channel.topic, schema.name, text, digest, 0, ext, self
            )
        return key


def _blocks(file: Path) -> Iterator[list[McapRecord]]:
    """The records of each whole chunk, or single ones outside chunks, up to the damage."""
    with file.open('rb') as stream:
        reader = StreamReader(stream, emit_chunks=True, record_size_limit=file.stat().st_size)
        records = reader.records
        while True:
            try:
                record = next(records, None)
                if record is None or isinstance(record, Footer):
                    return
                if isinstance(record, Chunk):
                    if record.uncompressed_size > MAX_CHUNK_BYTES:
                        return
                    block = breakup_chunk(record, validate_crc=True)
                else:
                    block = [record]
            except Exception:  # a cut breaks the reader in many ways; what came before is whole
                return
            yield block
