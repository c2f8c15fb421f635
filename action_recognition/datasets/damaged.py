"""Bags whose recorder was killed: cut mcap files, no metadata.yaml, open SQLite transactions.

`open_bag` opens whole bags with rosbags; of the others it reads what is there.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from mcap.records import Channel, Chunk, Footer, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from rosbags.highlevel import AnyReader
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

    Raises:
        UserError: not one message can be read.
    """

    def __init__(self, files: Sequence[Path], store: Typestore) -> None:
        self._files, self._store = files, store
        self._topics: dict[tuple[str, str], Connection] = {}
        times = []
        for key, time, _ in self._scan(None):
            connection = self._topics[key]
            self._topics[key] = connection._replace(msgcount=connection.msgcount + 1)
            times.append(time)
        if not times:
            raise UserError('no message can be read')
        self.connections = list(self._topics.values())
        self.start_time, self.end_time = min(times), max(times) + 1

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


def open_bag(path: Path, store: Typestore, stack: ExitStack) -> tuple[AnyReader | CutBag, str]:
    """A reader of a bag, and what the user should know of its state; '' if the bag is whole.

    Args:
        stack: closes the reader, and removes copies of databases.

    Raises:
        Exception: of many kinds; the bag cannot be read.
    """
    files = _files(path)
    if not files and not (path / 'metadata.yaml').exists():
        raise UserError('the directory has no .mcap or .db3 file')
    databases = [file for file in files if _side_files(file)]
    if databases:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='bag-')))
        files = [_settled(file, folder) if file in databases else file for file in files]
        return _whole(files, store, stack), (
            'partial: its recorder was killed (SQLite transactions are open); '
            '{seconds:.1f} s were read, what was not yet written is lost'
        )
    try:
        return _whole([path], store, stack), ''
    except Exception:
        if not files:
            raise
        if path.is_dir() and not (path / 'metadata.yaml').exists():
            try:
                return _whole(files, store, stack), 'metadata.yaml is missing; all files were read'
            except Exception:
                if not _streams(files):
                    raise
        if not _streams(files):
            raise
        try:
            bag = CutBag(files, store)
        except UserError:
            bag = None
        if bag is None:
            raise
        return bag, 'partial: the file is cut; {seconds:.1f} s were read, the rest is lost'


def _whole(paths: Sequence[Path], store: Typestore, stack: ExitStack) -> AnyReader:
    return stack.enter_context(AnyReader(list(paths), default_typestore=store))


def _files(path: Path) -> list[Path]:
    """The storage files of a bag, in the order in which they were recorded."""
    if not path.is_dir():
        return [path]
    found = [file for file in path.iterdir() if file.suffix in ('.mcap', '.db3')]
    return sorted(found, key=lambda file: (len(file.name), file.name))  # _9 before _10


def _streams(files: Sequence[Path]) -> bool:
    return all(file.suffix == '.mcap' for file in files)


def _side_files(file: Path) -> list[Path]:
    """Transactions beside a database that are not yet, or not wholly, in it."""
    if file.suffix != '.db3':
        return []
    sides = [file.with_name(file.name + end) for end in ('-wal', '-journal')]
    return [side for side in sides if side.exists() and side.stat().st_size]


def _settled(file: Path, folder: Path) -> Path:
    """A copy of a database with its transactions finished or taken back; bags are not changed."""
    copy = folder / file.name
    for source in (file, *_side_files(file)):
        shutil.copyfile(source, folder / source.name)
    with closing(sqlite3.connect(copy)) as database:
        database.execute('PRAGMA journal_mode=DELETE').fetchall()
        database.execute('SELECT count(*) FROM sqlite_master').fetchall()
    return copy
