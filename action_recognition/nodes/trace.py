"""Where the time goes: a trace of every stage, which https://ui.perfetto.dev opens.

Chrome's trace event format, as a JSON array: one event a line, and each line is written whole by
one call. The format allows for the closing bracket to be missing, so a file can be opened while it
grows and after its writer was killed (which may, rarely, cut the last line); who ends last sets the
bracket.

Nodes of several processes may write to one file. Times are those of the monotonic clock, which all
processes of a machine share.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

from action_recognition.errors import UserError

#: A file grows to this: half an hour of a camera at 30 Hz, and what a browser still opens.
MOST_BYTES = 100_000_000
#: How every trace of ours begins.
TITLE = 'action_recognition'
BEGIN = b'[\n{"name": "process_name", "ph": "M"'


class TraceFile:
    """A file of trace events; every method may be called from any thread.

    Whoever opens a trace to which nobody writes begins it anew. A file that is anything else is
    left alone, for a mistyped path must not cost somebody a file.

    Args:
        path: of the file.
        most: bytes to which it grows; then `write` does nothing.

    Raises:
        UserError: it cannot be written, or is neither empty nor a trace of ours.
    """

    def __init__(self, path: str | Path, most: int = MOST_BYTES) -> None:
        self.path = Path(path)
        self.is_full = False
        self._most = most
        self._pid = os.getpid()
        self._named: set[int] = set()
        self._lock = threading.Lock()
        try:
            # Not blocking: a pipe without a reader would keep the node waiting.
            flags = os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_NONBLOCK
            self._file = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise UserError(f'cannot write the trace {path}: {error.strerror}') from error
        first = self._line('process_name', 'M', args={'name': f'{TITLE} {self._pid}'})
        try:
            # Shared by those who write; who gets it alone is the first or the last of them.
            is_first = self._is_alone()
            if not is_first:
                fcntl.flock(self._file, fcntl.LOCK_SH)  # waits for the first line of the first
            self._check_ours()
            if is_first:
                os.ftruncate(self._file, 0)
                os.write(self._file, b'[\n' + first)
                fcntl.flock(self._file, fcntl.LOCK_SH)
            else:
                os.write(self._file, b',\n' + first)
        except OSError as error:
            os.close(self._file)
            raise UserError(f'cannot write the trace {path}: {error.strerror}') from error
        except UserError:
            os.close(self._file)
            raise

    def write(self, name: str, phase: str, begin: int, **more: Any) -> None:
        """Add an event of the calling thread.

        Args:
            phase: its `ph`, such as 'X' for a span that is complete.
            begin: nanoseconds of the monotonic clock.
            more: other members of the event.
        """
        if self.is_full:
            return
        thread = threading.get_native_id()
        if thread not in self._named:
            self._named.add(thread)
            self._append(self._line('thread_name', 'M', args={'name': _thread_name()}))
        self._append(self._line(name, phase, ts=begin / 1000, **more))

    def close(self) -> None:
        """End; the last one of those who write to the file closes the array."""
        with self._lock:
            if self._file < 0:
                return
            try:
                if self._is_alone():
                    os.write(self._file, b'\n]\n')
            finally:
                os.close(self._file)
                self._file, self.is_full = -1, True

    def _append(self, line: bytes) -> None:
        with self._lock:
            if self.is_full:
                return
            try:
                if os.fstat(self._file).st_size + len(line) + 5 > self._most:
                    self.is_full = True
                else:
                    os.write(self._file, b',\n' + line)
            except OSError:  # a full disk must not stop a robot
                self.is_full = True

    def _line(self, name: str, phase: str, **more: Any) -> bytes:
        place = {'pid': self._pid, 'tid': threading.get_native_id()}
        return json.dumps({'name': name, 'ph': phase, **place, **more}).encode()

    def _check_ours(self) -> None:
        """Refuse what is neither empty nor a trace of ours."""
        start = b''
        if is_file := stat.S_ISREG(os.fstat(self._file).st_mode):
            start = os.pread(self._file, 4096, 0)
        head = start.partition(b'}}')[0]
        if not is_file or (start and not (head.startswith(BEGIN) and TITLE.encode() in head)):
            raise UserError(
                f'{self.path} is no trace of {TITLE} and is left as it is: give trace the name of '
                'a new file'
            )

    def _is_alone(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Trace:
    """The events of one node in a `TraceFile`.

    Args:
        file: nodes of one process share it (`open_trace`).
        node: name of the node, of which the names of its events begin.
    """

    def __init__(self, file: TraceFile, node: str) -> None:
        self.file = file
        self._node = node

    def span(self, stage: str, begin: int, end: int, stamp: int | None) -> None:
        """A stage in the calling thread, from and to nanoseconds of the monotonic clock.

        Args:
            stamp: ns, of the image that was worked on; None: of none.
        """
        self._write(stage, 'X', begin, stamp, dur=(end - begin) / 1000)

    def wait(self, queue: str, begin: int, end: int, stamp: int) -> None:
        """An image waited in a queue, while threads were busy with others: a track of its own."""
        for phase, moment in (('b', begin), ('e', end)):
            self._write(queue, phase, moment, stamp, id=hex(stamp))

    def sent(self, topic: str, moment: int, stamp: int) -> None:
        """What `came` has its arrow begin in the span of this moment."""
        self._flow(topic, 's', moment, stamp)

    def came(self, topic: str, moment: int, stamp: int) -> None:
        """The message of this topic and stamp is worked on in the span of this moment."""
        self._flow(topic, 'f', moment, stamp, bp='e')

    def _flow(self, topic: str, phase: str, moment: int, stamp: int, **more: str) -> None:
        # As text: the stamps of today have more digits than a number of JSON can be sure of.
        self.file.write(topic, phase, moment, cat='topic', id=hex(stamp), **more)

    def _write(self, stage: str, phase: str, begin: int, stamp: int | None, **more: Any) -> None:
        args = {} if stamp is None else {'args': {'stamp': str(stamp)}}
        self.file.write(f'{self._node} {stage}', phase, begin, cat=self._node, **more, **args)


_shared: dict[Path, tuple[TraceFile, int]] = {}
_sharing = threading.Lock()


def open_trace(path: str, node: str) -> Trace:
    """The trace of a node, in the file of this path, which nodes of a process share.

    Raises:
        UserError: the file cannot be written.
    """
    key = Path(path).expanduser().absolute()
    with _sharing:
        file, users = _shared.get(key) or (TraceFile(key), 0)
        _shared[key] = file, users + 1
    return Trace(file, node)


def close_trace(trace: Trace) -> None:
    """Give back what `open_trace` gave; the last of its users closes the file."""
    with _sharing:
        file, users = _shared.pop(trace.file.path)
        if users > 1:
            _shared[file.path] = file, users - 1
        else:
            file.close()


def _thread_name() -> str:
    name = threading.current_thread().name
    return 'executor' if name == 'MainThread' else name
