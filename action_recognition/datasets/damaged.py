"""Bags whose recorder was killed: cut mcap files, no metadata.yaml, open SQLite transactions.

`open_bag` opens whole bags with rosbags; of the others it reads what is there.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from rosbags.highlevel import AnyReader
from rosbags.typesys.store import Typestore

from action_recognition.errors import UserError

if TYPE_CHECKING:
    from action_recognition.datasets.cut_mcap import CutBag


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
        cut = _cut(files, store)
        if cut is None:
            raise
        if cut.complete:
            return cut, 'the index behind the messages is lost; all messages were read'
        return cut, 'partial: the file is cut; {seconds:.1f} s were read, the rest is lost'


def _cut(files: Sequence[Path], store: Typestore) -> CutBag | None:
    """What can be read of mcap files; None if that is nothing.

    Raises:
        UserError: the library that reads them is missing.
    """
    try:
        from action_recognition.datasets.cut_mcap import CutBag
    except ImportError as error:
        raise UserError('it is cut or damaged; to read what is left: pip install mcap') from error
    try:
        return CutBag(files, store)
    except UserError:
        return None


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
