"""What pays only for inputs of a shape that keeps coming."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

#: A shape is worth preparing for once it has come this often in a row, ...
PREPARE_AFTER = 3
#: ... and this many of those stay prepared.
MOST_SHAPES = 8

Shape = tuple[int, ...]
T = TypeVar('T')

log = logging.getLogger(__name__)


class ByShape(Generic[T]):
    """What is worth preparing for inputs of one shape: for those known before, and for those used.

    Where preparing fails, its user goes on as for a shape that nothing was prepared for; it is said
    once, and not tried again.

    Args:
        prepare: makes it for a shape.
        background: whether a shape that keeps coming is prepared for in a thread of its own, one
            shape at a time, so that its inputs need not wait.
    """

    def __init__(self, prepare: Callable[[Shape], T], background: bool = False) -> None:
        self._prepare = prepare
        self._background = background
        self._known: dict[Shape, T] = {}
        self._used: OrderedDict[Shape, T] = OrderedDict()
        self._failed: set[Shape] = set()
        self._shape: Shape = ()
        self._times = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def prepare(self, shape: Shape) -> None:
        """Prepare for a shape now, for good, however rarely it will come."""
        if shape not in self._known and (made := self._try(shape)) is not None:
            self._known[shape] = made

    def get(self, shape: Shape) -> T | None:
        """What is prepared for a shape that has come, or None as long as nothing is."""
        if shape in self._known:
            return self._known[shape]
        with self._lock:
            if shape in self._used:
                self._used.move_to_end(shape)
                return self._used[shape]
        self._times = self._times + 1 if shape == self._shape else 1
        self._shape = shape
        if self._times <= PREPARE_AFTER or shape in self._failed:
            return None
        if not self._background:
            return self._add(shape)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._add, args=(shape,), name='by_shape')
            self._thread.start()
        return None

    def close(self) -> None:
        """Wait for what is being prepared and give everything back."""
        if self._thread:
            self._thread.join()
        self._known.clear()
        self._used.clear()

    def _add(self, shape: Shape) -> T | None:
        made = self._try(shape)
        if made is None:
            return None
        with self._lock:
            while len(self._used) >= MOST_SHAPES:
                self._used.popitem(last=False)
            self._used[shape] = made
        return made

    def _try(self, shape: Shape) -> T | None:
        """What is prepared for a shape; None where that fails or has failed before."""
        if shape in self._failed:
            return None
        try:
            return self._prepare(shape)
        except Exception as error:  # anything may go wrong in a compiler or a driver
            self._failed.add(shape)
            reason = ' '.join(str(error).split())
            log.warning(
                'images of shape %s are computed without preparation, which takes longer: %s: %s',
                shape,
                type(error).__name__,
                reason,
            )
            return None
