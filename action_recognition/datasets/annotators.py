"""Segments out of the CSV exports of annotation tools: ELAN, BORIS, Label Studio.

Each tool's columns are named by the reader of its rows. A person is a number that the tool holds
(a tier, a subject), else whoever is tracked.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from action_recognition.datasets.truth import ANY, Segment
from action_recognition.errors import UserError

Row = Mapping[str, str]
#: The end of the names of ELAN's columns, and what makes seconds of their cells.
_ELAN_TIMES: dict[str, Callable[[str], float]] = {
    'ss.msec': float,
    'msec': lambda text: float(text) / 1000,
    'hh:mm:ss.ms': lambda text: sum(
        float(part) * scale for part, scale in zip(text.split(':'), (3600, 60, 1), strict=True)
    ),
}


def read_export(path: Path, bag: str, fps: float | None = None) -> list[Segment]:
    """The segments of an export, by which its columns tell the tool.

    Args:
        bag: name of the bag for which the recording was annotated.
        fps: of the video, for Label Studio's frame numbers.

    Raises:
        UserError: the file cannot be read, is of no known tool, or a row is wrong.
    """
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f'cannot read {path}: {getattr(error, "strerror", None) or error}'
        ) from error
    first = text.split('\n', 1)[0]
    reader = csv.DictReader(text.splitlines(), delimiter='\t' if '\t' in first else ',')
    columns = set(reader.fieldnames or ())
    found: list[Segment] = []
    for row in reader:
        try:
            if {'Behavior', 'Start (s)', 'Stop (s)'} <= columns:
                found += _boris(row, bag)
            elif any(name.startswith('Begin Time') for name in columns):
                found += _elan(row, bag)
            else:
                found += _label_studio(row, bag, fps)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f'{path} line {reader.line_num}: {error}') from error
        except UserError as error:
            raise UserError(f'{path} line {reader.line_num}: {error}') from error
    if not found:
        raise UserError(
            f'{path} holds no segments of ELAN (Begin Time, End Time, Annotation), BORIS '
            '(Behavior, Start (s), Stop (s)) or Label Studio (a column of JSON); its columns are '
            f'{", ".join(sorted(columns)) or "none"}'
        )
    return found


def _person(text: str | None) -> str:
    return text.strip() if text and text.strip().isdigit() else ANY


def _elan(row: Row, bag: str) -> list[Segment]:
    """Of 'Export as tab-delimited text' with a header: Tier, Begin Time - ..., End Time - ...,
    Annotation (or Value). Times in any of ELAN's three forms; a tier that is a number is a person.
    """

    def seconds(edge: str) -> float:
        for form, convert in _ELAN_TIMES.items():
            if text := (row.get(f'{edge} Time - {form}') or '').strip():
                return convert(text)
        raise ValueError(f'no column "{edge} Time - ss.msec", - msec or - hh:mm:ss.ms')

    label = (row.get('Annotation') or row.get('Value') or '').strip()
    person = _person(row.get('Tier') or row.get('Participant'))
    return [Segment(bag, seconds('Begin'), seconds('End'), person, label)]


def _boris(row: Row, bag: str) -> list[Segment]:
    """Of 'Aggregated events': Behavior, Start (s), Stop (s), and if there Subject, Behavior type.

    Point events have no length and are left out.
    """
    if (row.get('Behavior type') or 'STATE').strip().upper() == 'POINT':
        return []
    start, stop = float(row['Start (s)']), float(row['Stop (s)'])
    return [Segment(bag, start, stop, _person(row.get('Subject')), row['Behavior'].strip())]


def _label_studio(row: Row, bag: str, fps: float | None) -> list[Segment]:
    """Of the CSV export: any column whose cells are JSON lists of regions. Those of audio and time
    series have start and end in seconds, those of TimelineLabels ranges of frames from 1 on.
    """
    found = []
    for cell in row.values():
        if not isinstance(cell, str) or not cell.lstrip().startswith('[{'):
            continue
        for region in json.loads(cell):
            names = next((v for k, v in region.items() if k.lower().endswith('labels')), None)
            if not names:
                continue
            spans = region.get('ranges')
            if spans is None:
                edges = [(float(region['start']), float(region['end']))]
            elif fps is None:
                raise UserError('frames need --fps, the rate of the video that was annotated')
            else:
                edges = [((s['start'] - 1) / fps, s['end'] / fps) for s in spans]
            found += [Segment(bag, a, b, ANY, name) for a, b in edges for name in names]
    return found
