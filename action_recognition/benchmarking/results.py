"""Results that outlive a run: one row for each peer, set, split and seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from action_recognition.errors import UserError
from action_recognition.evaluation import common

Row = dict[str, Any]

#: Figures whose standard deviation over seeds is given, where there are such figures.
SPREAD = ('accuracy', 'ece', 'frame_accuracy', 'map', 'f1_at_50')


class Results:
    """A JSON file of rows `{"key": {...}, "figures": {...}}`.

    Several runs may add to one file, if not in the same moment.
    """

    def __init__(self, path: Path) -> None:
        """Raises: UserError, the file there is not one of ours."""
        self.path = path
        self._read()

    def _read(self) -> list[Row]:
        if not self.path.exists():
            return []
        try:
            rows = json.loads(self.path.read_text(encoding='utf-8'))
            return [{'key': dict(row['key']), 'figures': dict(row['figures'])} for row in rows]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f'{self.path} holds no results; give another --out') from error

    def find(self, key: Mapping[str, Any]) -> Row | None:
        """The figures stored under a key that is equal in every entry, or None."""
        plain = _plain(key)
        return next((row['figures'] for row in self._read() if row['key'] == plain), None)

    def add(self, key: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Store figures under a key.

        Raises:
            UserError: the file cannot be written.
        """
        rows = [*self._read(), {'key': _plain(key), 'figures': _plain(figures)}]
        partial = self.path.with_name(self.path.name + '.partial')
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')
            partial.replace(self.path)
        except OSError as error:
            raise UserError(f'cannot write {self.path}: {error.strerror}') from error


def _plain(value: Mapping[str, Any]) -> Row:
    """As JSON gives it back: tuples are lists, keys are strings."""
    return json.loads(json.dumps(value))


def average(rows: Sequence[tuple[int, Row]]) -> Row:
    """Figures of one peer over all its (seed, figures).

    Splits are averaged for each seed first, so that `accuracy_std` and those of other `SPREAD`
    figures are of seeds alone: None for a single one. `n` counts the clips of all splits.
    """
    by_seed: dict[int, list[Row]] = {}
    for seed, figures in rows:
        by_seed.setdefault(seed, []).append(figures)
    per_seed = [common.average(splits) for splits in by_seed.values()]
    out = common.average(per_seed)
    for name in SPREAD:
        if name in out:
            values = [figures[name] for figures in per_seed]
            out[f'{name}_std'] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    out['parameters'] = round(out['parameters'])
    out['n'] = sum(figures['n'] for figures in next(iter(by_seed.values())))
    out['seeds'] = list(by_seed)
    return out


def markdown(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """A table of rows.

    Args:
        columns: heading -> a format string over the row, such as '{accuracy:.3f}'; where it
            names a value that is None or absent, the cell is a dash.
    """
    lines = [list(columns), ['---'] * len(columns)]
    lines += [[_cell(text, row) for text in columns.values()] for row in rows]
    return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines)


def _cell(text: str, row: Mapping[str, Any]) -> str:
    try:
        return text.format_map(row)
    except (KeyError, TypeError):  # a format such as .3f does not take None
        return '-'
