"""What pays only for inputs of a shape that keeps coming."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

#: A shape is worth preparing for once it has come this often in a row, ...
PREPARE_AFTER = 3
#: ... and this many stay prepared: the camera's, and crops in batches of some sizes.
MOST_SHAPES = 8

Shape = tuple[int, ...]
T = TypeVar('T')


class ByShape(Generic[T]):
    """What is worth preparing for inputs of one shape, the most recently used ones.

    Args:
        prepare: makes it for a shape.
    """

    def __init__(self, prepare: Callable[[Shape], T]) -> None:
        self._prepare = prepare
        self._ready: OrderedDict[Shape, T] = OrderedDict()
        self._shape: Shape = ()
        self._times = 0

    def get(self, shape: Shape) -> T | None:
        """What is prepared for a shape that has come, or None before it has come often enough."""
        if shape in self._ready:
            self._ready.move_to_end(shape)
            return self._ready[shape]
        self._times = self._times + 1 if shape == self._shape else 1
        self._shape = shape
        if self._times <= PREPARE_AFTER:
            return None
        while len(self._ready) >= MOST_SHAPES:
            self._ready.popitem(last=False)
        return self._ready.setdefault(shape, self._prepare(shape))
