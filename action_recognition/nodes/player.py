"""Plays a source in a thread of its own: pace, rate, loop, and what to do when it breaks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from action_recognition.datasets.sources import Frame, Source
from action_recognition.errors import UserError
from action_recognition.nodes.health import Health

#: Seconds between two attempts to open a live source that broke off.
REOPEN_INTERVAL = 2.0
#: Seconds between two looks whether somebody listens.
READY_INTERVAL = 0.05

#: How early a frame may come, in intervals between frames: of two at the same distance from the
#: time that is due the second one passes.
EARLIEST = 0.49
#: Intervals of which this is the mean.
INTERVALS = 30


class Thinner:
    """Lets at most `rate` frames of each second of stream time pass, evenly; 0: all.

    From the first frame on one is due every `1 / rate` seconds, and the nearest one passes. The
    frames of a camera come some milliseconds early or late: one that is early is not one too many.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._recent: deque[int] = deque(maxlen=INTERVALS + 1)
        self._first = 0
        self._due = 0  # in periods from the first frame

    def passes(self, stamp: int) -> bool:
        """Whether the frame of this stamp (ns) passes; one before the last begins anew."""
        if self._rate == 0:
            return True
        if not self._recent or stamp < self._recent[-1]:
            self._recent.clear()
            self._first, self._due = stamp, 0
        self._recent.append(stamp)
        scale = 1e-9 * self._rate
        now = (stamp - self._first) * scale
        interval = (stamp - self._recent[0]) * scale / max(len(self._recent) - 1, 1)
        if now < self._due - EARLIEST * min(interval, 1):
            return False
        # A hundredth of a period of tolerance: stamps of 30 Hz are rounded to nanoseconds.
        self._due = max(self._due, int(now + 0.01)) + 1
        return True


@dataclass(frozen=True)
class Playback:
    """How to play.

    Attributes:
        rate: most frames delivered per second of stream time, 0 = all.
        loop: begin again at the end; stamps go on.
        paced: deliver the frames of a file at their own times rather than as fast as possible.
    """

    rate: float = 0.0
    loop: bool = False
    paced: bool = True


class Player:
    """Reads frames and delivers them until the source ends or `stop` is called.

    A file begins once somebody listens, so that its first frames are not lost, and loses none.
    A live source is read without delay and opened again when it breaks off, by whatever error. An
    error that no `UserError` tells of ends a file, and the node has failed.

    Args:
        reopen: opens the source again, for loops and after a break.
        ready: whether somebody listens.
        deliver: called in the thread of the player with each frame.
        warn: called with one line about a problem that is survived.
        ended: called once in the thread of the player when there are no more frames, with what
            broke the source off, '' for its end.
    """

    def __init__(
        self,
        source: Source,
        playback: Playback,
        health: Health,
        *,
        reopen: Callable[[], Source],
        ready: Callable[[], bool],
        deliver: Callable[[Frame], None],
        warn: Callable[[str], None],
        ended: Callable[[str], None],
    ) -> None:
        self._source = source
        self._playback = playback
        self._health = health
        self._reopen = reopen
        self._ready = ready
        self._deliver = deliver
        self._warn = warn
        self._ended = ended
        self.stopping = threading.Event()
        # A read from a network camera may hang for long; such a thread must not hold the process.
        self._thread = threading.Thread(target=self._run, name='player', daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a read that hangs is left behind."""
        self.stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        fault = ''
        try:
            while not (self._source.live or self._ready()):
                if self.stopping.wait(READY_INTERVAL):
                    return
            self._play()
        except Exception as error:
            fault = f'{_describe(error)} (a fault in this package: please report it)'
            self._health.failed(fault)
        finally:
            self._source.close()
        if not self.stopping.is_set():
            self._ended(fault)

    def _play(self) -> None:
        thinner = Thinner(self._playback.rate)
        began = time.monotonic_ns()
        offset = last = 0  # ns of stream time: at which the open source began, of the last frame
        useful = False  # whether the open source gave a frame
        while not self.stopping.is_set():
            try:
                frame = self._read()
            except UserError as error:
                self._health.count('unreadable')
                self._warn(str(error))
                if self._source.live and not self.stopping.wait(REOPEN_INTERVAL):
                    self._open_again()
                    offset = time.monotonic_ns() - began
                continue
            if frame is None:
                if self._source.truncated:
                    self._warn(f'{self._source.name} ended before the length it declares')
                if not self._playback.loop or not useful:
                    return
                self._open_again()
                offset, useful = last + round(1e9 / self._source.fps), False
                continue
            self._health.received()
            last, useful = offset + frame.stamp, True
            if not thinner.passes(last):
                self._health.count('skipped')
            elif self._wait_for(began, last):
                self._deliver(replace(frame, stamp=last))

    def _read(self) -> Frame | None:
        try:
            with self._health.timed('read'):
                return self._source.read()
        except UserError:
            raise
        except Exception as error:
            if not self._source.live:
                raise
            # Of OpenCV or a driver: a robot is not to stay blind for it.
            raise UserError(f'{self._source.name} broke off by {_describe(error)}') from error

    def _wait_for(self, began: int, stamp: int) -> bool:
        """Wait until the frame is due; False when told to stop."""
        if self._source.live or not self._playback.paced:
            return not self.stopping.is_set()
        return not self.stopping.wait(max(0.0, (began + stamp - time.monotonic_ns()) * 1e-9))

    def _open_again(self) -> None:
        while not self.stopping.is_set():
            try:
                self._source.close()
                self._source = self._reopen()
                return
            except UserError as error:
                self._warn(str(error))
            except Exception as error:
                if not self._source.live:
                    raise
                self._warn(f'{self._source.name} cannot be opened again: {_describe(error)}')
            self.stopping.wait(REOPEN_INTERVAL)


def _describe(error: Exception) -> str:
    """In one line, which the errors of OpenCV are not."""
    return f'{type(error).__name__}: {" ".join(str(error).split())}'
