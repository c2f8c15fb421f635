"""What pays only for inputs of a shape that keeps coming."""

from __future__ import annotations

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


class ByShape(Generic[T]):
    """What is worth preparing for inputs of one shape: for those known before, and for those used.

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
        self._shape: Shape = ()
        self._times = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def prepare(self, shape: Shape) -> None:
        """Prepare for a shape now, for good, however rarely it will come."""
        if shape not in self._known:
            self._known[shape] = self._prepare(shape)

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
        if self._times <= PREPARE_AFTER:
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

    def _add(self, shape: Shape) -> T:
        made = self._prepare(shape)
        with self._lock:
            while len(self._used) >= MOST_SHAPES:
                self._used.popitem(last=False)
            self._used[shape] = made
        return made
