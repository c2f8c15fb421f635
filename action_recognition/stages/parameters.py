"""Parameters by their names, such as 'look.mode', and the dataclasses that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Protocol, TypeVar

from action_recognition.errors import UserError

#: What the dataclasses hold, but nobody should have to set.
FIXED = ('decoder.samples',)

#: What parameters have before their names, and the dataclass whose fields these are.
Parts = tuple[tuple[str, type], ...]

T = TypeVar('T')


class Config(Protocol):
    """The parameters of a stage: fields of its own, and those of parts that have others."""

    PARTS: ClassVar[Parts]


def parameter_names(kind: type[Config]) -> set[str]:
    """The names that `from_parameters` takes."""
    parts = (('', kind), *kind.PARTS)
    named = {prefix + name for prefix, part in parts for name in _plain(part)}
    return named - set(FIXED)


def _plain(kind: type) -> list[str]:
    """The fields of a dataclass that are no parts."""
    return [f.name for f in fields(kind) if f.default_factory is MISSING]


def group(kind: type[T], prefix: str, values: Mapping[str, Any]) -> T:
    """A dataclass by the parameters that share a prefix; others keep their defaults.

    Raises:
        UserError: values do not fit each other.
    """
    names = [(f.name, prefix + f.name) for f in fields(kind)]  # type: ignore[arg-type]
    try:
        return kind(**{name: values[key] for name, key in names if key in values})
    except (TypeError, ValueError) as error:
        raise UserError(f'parameters {prefix}*: {error}') from error
