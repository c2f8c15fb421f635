"""How commands give their figures: a table for people, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from action_recognition.errors import UserError

#: Of the option --cache.
CACHE_HELP = (
    'keep the joints found in videos here (default: ~/.cache/action_recognition); '
    'what is there is not looked for again'
)


def print_table(figures: Mapping[str, Any]) -> None:
    """Print figures one a line; those of a nested mapping stand indented below its name."""
    rows = list(_rows(figures, ''))
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        print(f'{name:<{width}}  {value}'.rstrip())


def _rows(figures: Mapping[str, Any], indent: str):
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield f'{indent}{name}', ''
            yield from _rows(value, indent + '  ')
        else:
            yield f'{indent}{name}', _text(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.4g}'
    if isinstance(value, (list, tuple)):
        return ' '.join(_text(item) for item in value)
    return '-' if value is None else str(value)


def write_json(path: Path | str, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON; NumPy values become plain ones, and what is not finite null.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_plain(figures), indent=2, allow_nan=False) + '\n')
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror}') from error


def _plain(value: Any) -> Any:
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
