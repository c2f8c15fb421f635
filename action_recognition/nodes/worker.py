"""One thread, one item at a time, and only the latest item waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar('T')

#: Seconds in which the item in hand has to be finished when a worker is to end.
STOP_TIMEOUT = 10.0


class Worker(Generic[T]):
    """Runs `work` on the items offered, outside the executor.

    While one item is being worked on a newer one waits; a still newer one replaces it. So the
    result is never older than one turn of work, however fast items come.

    Args:
        name: name of the thread.
        work: called with each item in order and the time at which it was offered, in nanoseconds
            of the monotonic clock; it must not raise.
        ended: called by the thread when it ends, however late that is; it must not raise.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[T, int], object],
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        self._work = work
        self._ended = ended
        self._waiting: list[tuple[T, int]] = []
        self._stopping = False
        self._changed = threading.Condition()
        # A call of a GPU may hang for ever; such a thread must not hold the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: T) -> bool:
        """Hand over an item; True when it pushed out one that was still waiting."""
        with self._changed:
            replaced = bool(self._waiting)
            self._waiting = [(item, time.monotonic_ns())]
            self._changed.notify()
        return replaced

    def stop(self) -> int | None:
        """Finish the item in hand, end the thread, and say how many items were left waiting.

        Returns:
            None if the item in hand takes too long: the thread is left behind and ends after it.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(STOP_TIMEOUT)
        return None if self._thread.is_alive() else len(self._waiting)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    break
                item, offered = self._waiting.pop()
            self._work(item, offered)
        self._ended()
