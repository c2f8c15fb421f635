"""What both stages make of the order of messages, and how they are timed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from action_recognition.errors import UserError

#: Nanoseconds by which a message may be overtaken on its way. One that comes later, or more of
#: them in a row, mean that the clock has jumped.
LATE = 500_000_000
MOST_LATE = 30

#: Times the block as one turn of the stage it names.
Timer = Callable[[str], AbstractContextManager[None]]


class LateInput(UserError):
    """A message was overtaken by a later one; everything is as if it had not come."""


class Order:
    """Tells messages that come late from a clock that jumped backwards."""

    def __init__(self) -> None:
        self._late = 0

    def check(self, stamp: int, last: int) -> None:
        """Take in the stamp (ns) of a message and that of the last one that was not late.

        Raises:
            LateInput: it comes late.
        """
        if not 0 < last - stamp <= LATE or self._late == MOST_LATE:
            self._late = 0
            return
        self._late += 1
        raise LateInput(
            f'a message stamped {(last - stamp) * 1e-9:.3f} s before the last one is left out: two '
            'senders on one topic, or a network that changes the order?'
        )
