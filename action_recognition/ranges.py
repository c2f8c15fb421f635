"""What a value that somebody gives may be, and the one line that says so."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from action_recognition.errors import UserError


class Rule(ABC):
    """What a value may be; as a text, what to give."""

    @abstractmethod
    def __contains__(self, value: Any) -> bool: ...

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Range(Rule):
    """Finite numbers of an interval; neither texts nor true and false are numbers.

    Attributes:
        least, most: its ends.
        whole: whole numbers alone.
        above, below: `least`, or `most`, is itself too little, or too much.
    """

    least: float = 0
    most: float = math.inf
    whole: bool = False
    above: bool = False
    below: bool = False

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        enough = value > self.least if self.above else value >= self.least
        # What has no upper end has infinity left out.
        few = value < self.most if self.below or self.most == math.inf else value <= self.most
        return enough and few

    def __str__(self) -> str:
        kind = 'a whole number' if self.whole else 'a number'
        begin = f'{"above" if self.above else "from"} {self.least}'
        if self.most == math.inf:
            return f'{kind} {begin}' + ('' if self.above else ' on')
        joint = 'and' if self.above else 'to'
        end = f'below {self.most}' if self.below else f'{"up to " * self.above}{self.most}'
        return f'{kind} {begin} {joint} {end}'


class Flag(Rule):
    """True or false, and no number for either."""

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, bool)

    def __str__(self) -> str:
        return 'true or false'


#: A probability, or a part of a whole, and one that must leave something.
SHARE, PART = Range(0, 1), Range(0, 1, below=True)
AMOUNT, POSITIVE = Range(0), Range(0, above=True)
COUNT = Range(1, whole=True)
#: Of all generators: NumPy's and PyTorch's take these.
SEED = Range(0, 2**32 - 1, whole=True)
#: Threads or processes. More of them than this are refused by the operating system, if not before.
WORKERS = Range(1, 1024, whole=True)
#: Of a layer of a network: far more than fits on a robot, and little enough to be tried.
WIDTH = Range(1, 4096, whole=True)
FLAG = Flag()


def check(values: Mapping[str, Any], rules: Mapping[str, Rule], of: str = '') -> None:
    """Hold some values against the rules for them.

    Args:
        values: by name, with one for each of the rules.
        of: what stands before each name in the message.

    Raises:
        UserError: one of them breaks its rule; says what to give instead.
    """
    for name, rule in rules.items():
        value = values[name]
        if value not in rule:
            # YAML reads 2e-3, without a point, as a text: it would look like a number here.
            shown = f'the text {value!r}' if isinstance(value, str) else repr(value)
            raise UserError(f'{of}{name} must be {rule}, not {shown[:60]}')
