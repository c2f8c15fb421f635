"""Where the time goes: a trace of every stage, which https://ui.perfetto.dev opens.

Chrome's trace event format, as a JSON array: one event a line, and each line is written whole by
one call. The format allows for the closing bracket to be missing, so a file can be opened while it
grows and after its writer was killed; who ends last sets the bracket.

Nodes of several processes may write to one file. Times are those of the monotonic clock, which all
processes of a machine share.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

from action_recognition.errors import UserError

#: A file grows to this: half an hour of a camera at 30 Hz, and what a browser still opens.
MOST_BYTES = 100_000_000


class TraceFile:
    """A file of trace events; every method may be called from any thread.

    Whoever opens a file to which nobody writes begins it anew.

    Args:
        path: of the file.
        most: bytes to which it grows; then `write` does nothing.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: str | Path, most: int = MOST_BYTES) -> None:
        self.path = Path(path)
        self.is_full = False
        self._most = most
        self._pid = os.getpid()
        self._named: set[int] = set()
        self._lock = threading.Lock()
        try:
            self._file = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(f'cannot write the trace {path}: {error.strerror}') from error
        title = f'action_recognition {self._pid}'
        first = self._line('process_name', 'M', args={'name': title})
        try:
            # Shared by those who write; who gets it alone is the first or the last of them.
            if self._is_alone():
                os.ftruncate(self._file, 0)
                os.write(self._file, b'[\n' + first)
            else:
                os.write(self._file, b',\n' + first)
            fcntl.flock(self._file, fcntl.LOCK_SH)
        except OSError as error:
            os.close(self._file)
            raise UserError(f'cannot write the trace {path}: {error.strerror}') from error

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
