"""What the configs of all trainings have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from action_recognition.errors import UserError


def check_name(name: Any) -> None:
    """Raises: UserError, weights cannot be named so: their file would lie elsewhere, or nowhere."""
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise UserError(f'the name of the weights must be a plain file name, not {name!r}')


def check_licence(licence: Any) -> None:
    """Raises: UserError, it is no text."""
    if not isinstance(licence, str):
        raise UserError(f'licence must be a text, not {licence!r}')


def entries(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The entries below one of a file; none if it is not there.

    Raises:
        UserError: it holds something else.
    """
    found = raw.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UserError(f'{name} must hold entries, each a name and a value, not {found!r:.60}')
    return found
