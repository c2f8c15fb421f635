"""Truth out of key presses while something is recorded."""

from __future__ import annotations

from collections.abc import Mapping

from action_recognition.datasets.truth import ABSOLUTE, ANY, Segment
from action_recognition.errors import UserError

#: Ends what is going on.
STOP_KEYS = ' 0'


def parse_keys(text: str) -> dict[str, str]:
    """Labels by their keys, of `1=wave,2=clap`.

    Raises:
        UserError: an entry is not KEY=LABEL, or a key is taken.
    """
    keys: dict[str, str] = {}
    for entry in text.split(','):
        key, _, label = entry.strip().partition('=')
        if len(key) != 1 or not label.strip():
            raise UserError(f'--labels {entry!r}: write one letter or digit each, as 1=wave,2=clap')
        if key in keys or key in STOP_KEYS:
            raise UserError(f'--labels: the key {key!r} is taken')
        keys[key] = label.strip()
    return keys


class KeyLabels:
    """Turns key presses into segments of truth.

    Args:
        bag: name of the bag.
        keys: label by key.
    """

    def __init__(self, bag: str, keys: Mapping[str, str]) -> None:
        self._bag, self._keys = bag, keys
        self._open: tuple[str, int] | None = None
        self._spans: list[tuple[str, int, int]] = []

    @property
    def going_on(self) -> str:
        """The label that has begun and not ended; '' for none."""
        return self._open[0] if self._open else ''

    def press(self, key: str, stamp: int) -> bool:
        """A key at this stamp (ns): begins its label and ends another; whether it means anything.

        The key of what is going on ends it.
        """
        if key not in self._keys and key not in STOP_KEYS:
            return False
        label = self._keys.get(key, '')
        before = self.going_on
        self.end(stamp)
        if label and label != before:
            self._open = (label, stamp)
        return True

    def end(self, stamp: int) -> None:
        """End what is going on."""
        if self._open and stamp > self._open[1]:
            self._spans.append((*self._open, stamp))
        self._open = None

    def segments(self, origin: int) -> list[Segment]:
        """What was labelled.

        Args:
            origin: stamp (ns) of the first message: times are given from there if it is too early
                to be told from them (`truth.ABSOLUTE`).
        """
        base = 0 if origin >= ABSOLUTE * 1e9 else origin
        return [
            Segment(self._bag, max(begin - base, 0) * 1e-9, (end - base) * 1e-9, ANY, label)
            for label, begin, end in self._spans
            if end > base
        ]
