"""Who does what when in a bag: truth files, which `evaluate bag`, `label` and `teach` share.

    bag,start,end,person,label
    kitchen,2.5,4.1,any,wave
    kitchen,6,7,any,unscored

Time that no row of a bag covers is background.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from action_recognition.classes import BACKGROUND, BACKGROUND_LABEL, background
from action_recognition.datasets import union32
from action_recognition.datasets.streams import UNSCORED
from action_recognition.errors import UserError
from action_recognition.skeleton import IntArray

COLUMNS = ('bag', 'start', 'end', 'person', 'label')
#: A person who is whoever is tracked.
ANY = 'any'
#: The label of time that is not to be scored.
UNSCORED_LABEL = 'unscored'
#: Seconds from which a time is a stamp, not the distance from the first message.
ABSOLUTE = 1e8
#: Seconds by which a segment may stick out of its bag: people note times roughly.
SLACK = 1.0
#: Nanoseconds: stamps written as seconds are rounded to a microsecond.
ROUNDING = 1000


@dataclass(frozen=True)
class Segment:
    """One person doing one thing.

    Attributes:
        bag: name of the directory or file of the bag, or its path.
        start, end: seconds from the first message of the topic, or stamps from `ABSOLUTE` on; the
            moment `end` is no longer part of it.
        person: track id in digits, or `ANY`.
        label: a class, one of `classes.BACKGROUND`, or `UNSCORED_LABEL`.

    Raises:
        UserError: a field is empty, a time not finite or negative, the end not after the start,
            or the person neither a number nor `ANY`.
    """

    bag: str
    start: float
    end: float
    person: str
    label: str

    def __post_init__(self) -> None:
        if not self.bag or not self.label:
            raise UserError('bag and label must not be empty')
        if not (math.isfinite(self.start) and math.isfinite(self.end) and self.start >= 0):
            raise UserError(
                f'start and end must be seconds from 0 on, not {self.start}, {self.end}'
            )
        if self.end <= self.start:
            raise UserError(f'end ({self.end:g}) must be after start ({self.start:g})')
        if (self.start >= ABSOLUTE) != (self.end >= ABSOLUTE):
            raise UserError('start and end must both be stamps, or both seconds from the begin')
        if self.person != ANY and not (self.person.isascii() and self.person.isdigit()):
            raise UserError(f'person must be a track id or {ANY!r}, not {self.person!r}')

    def span(self, origin: int) -> tuple[int, int]:
        """Stamps (ns) of start and end, where the first message of the bag has stamp `origin`."""
        begin = 0 if self.start >= ABSOLUTE else origin
        return begin + round(self.start * 1e9), begin + round(self.end * 1e9)


def read_truth(path: Path) -> list[Segment]:
    """The segments of a truth CSV, or of an RTTM file (*.rttm), in the order of the file.

    Of RTTM, SPEAKER rows are segments of their speaker name as the label, by `ANY`, and NOSCORE
    rows are not scored; its channel is no person. Other kinds of rows are passed over.

    Raises:
        UserError: the file cannot be read; the message names the line that is wrong.
    """
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            rows = _rttm_rows(file) if path.suffix.lower() == '.rttm' else _csv_rows(path, file)
            return [_segment(path, number, cells) for number, cells in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, 'strerror', None) or str(error)
        raise UserError(f'cannot read the truth file {path}: {reason}') from error


def _csv_rows(path: Path, file: Iterable[str]) -> list[tuple[int, list[str]]]:
    reader = csv.DictReader(file)
    lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if lacking:
        raise UserError(
            f'{path} lacks the column {", ".join(lacking)}: its first line must be '
            f'{",".join(COLUMNS)}'
        )
    return [
        (reader.line_num, [(row[name] or '').strip() for name in COLUMNS])
        for row in reader
        if any((row[name] or '').strip() for name in COLUMNS)
    ]


def _rttm_rows(file: Iterable[str]) -> list[tuple[int, list[str]]]:
    rows = []
    for number, line in enumerate(file, 1):
        fields = line.split()
        if not fields or fields[0] not in ('SPEAKER', 'NOSCORE'):
            continue
        fields += [''] * (8 - len(fields))
        kind, bag, _, start, length, _, _, name = fields[:8]
        try:
            end = str(float(start) + float(length))
        except ValueError:
            end = length
        label = UNSCORED_LABEL if kind == 'NOSCORE' else name
        rows.append((number, [bag, start, end, ANY, label]))
    return rows


def _segment(path: Path, number: int, cells: Sequence[str]) -> Segment:
    bag, start, end, person, label = cells
    try:
        return Segment(bag, float(start), float(end), person.lower() or ANY, label)
    except ValueError as error:
        raise UserError(f'{path} line {number}: {error}') from error
    except UserError as error:
        raise UserError(f'{path} line {number}: {error}') from error


def write_truth(path: Path, segments: Iterable[Segment]) -> None:
    """Write a truth CSV; times to the microsecond.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(COLUMNS)
            for s in segments:
                times = (f'{time:.6f}'.rstrip('0').rstrip('.') for time in (s.start, s.end))
                writer.writerow((s.bag, *times, s.person, s.label))
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror}') from error


def of_bag(segments: Iterable[Segment], path: Path) -> list[Segment]:
    """The segments of the bag at this path: those that name it, or the last parts of its path.

    A bag is also named by its path without .mcap or .db3, and its single file by its directory.
    """
    path = path.resolve()
    names = {path.parts, path.with_suffix('').parts}
    if path.is_file():
        names.add(path.parent.parts)

    def fits(name: str) -> bool:
        parts = tuple(part for part in Path(name).parts if part != '.')
        return bool(parts) and any(known[-len(parts) :] == parts for known in names)

    return [segment for segment in segments if fits(segment.bag)]


# --- against a bag ---------------------------------------------------------------------------


def class_index(label: str, classes: Sequence[str]) -> int | None:
    """The class that a label of a truth file means, None if there is none.

    Names of the class of no action are one, as are names of one action by `union32.CANONICAL`.
    """
    if label in classes:
        return list(classes).index(label)
    if label in BACKGROUND:
        return background(classes)
    canonical = union32.CANONICAL
    for k, name in enumerate(classes):
        if canonical.get(label) == name or canonical.get(name) == label:
            return k
    return None


def faults(
    segments: Sequence[Segment],
    classes: Sequence[str] | None = None,
    span: tuple[int, int] | None = None,
) -> list[str]:
    """What is wrong with the truth of one bag, a line each; empty: nothing.

    Args:
        classes: that labels must be among; None: any.
        span: stamps (ns) of the first and the last message; None: not known.
    """
    found = []
    for label in dict.fromkeys(s.label for s in segments):
        free = label in (UNSCORED_LABEL, *BACKGROUND)
        if classes is not None and not free and class_index(label, classes) is None:
            close = difflib.get_close_matches(label, classes, 1)
            hint = f'did you mean {close[0]}?' if close else f'known: {", ".join(classes)}'
            found.append(f'label {label!r} is not a class of the model ({hint})')
    people = {s.person for s in segments if s.label != UNSCORED_LABEL}
    if ANY in people and len(people) > 1:
        ids = ', '.join(sorted(people - {ANY}))
        found.append(f'rows of {ANY!r} and of people by id ({ids}): use one or the other')
    origin = span[0] if span else 0
    by_person: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        if segment.label != UNSCORED_LABEL:
            by_person[segment.person].append(segment)
    for person, rows in by_person.items():
        rows.sort(key=lambda s: s.span(origin))
        for one, other in combinations(rows, 2):
            if other.span(origin)[0] < one.span(origin)[1] and one.label != other.label:
                found.append(
                    f'person {person}: {one.label} ({one.start:g} to {one.end:g}) and '
                    f'{other.label} ({other.start:g} to {other.end:g}) overlap'
                )
    if span:
        slack = round(SLACK * 1e9)
        for s in segments:
            start, end = s.span(origin)
            if start < span[0] - slack or end > span[1] + slack:
                length = (span[1] - span[0]) * 1e-9
                base = span[0] * 1e-9 if s.start >= ABSOLUTE else 0.0
                found.append(
                    f'{s.label} from {_seconds(s.start)} to {_seconds(s.end)} lies outside the '
                    f'bag, which goes from {_seconds(base)} to {_seconds(base + length)} s'
                )
    return found


def _seconds(time: float) -> str:
    return f'{time:.3f}'.rstrip('0').rstrip('.')


def targets(
    segments: Sequence[Segment], person: str, stamps: npt.ArrayLike, classes: Sequence[str]
) -> IntArray:
    """(T,) the class of each frame by the truth of one person; `UNSCORED` where there is none.

    Rows of `ANY` that are not scored hold for everybody; a later row wins over an earlier one,
    and what is not scored over both. Time without a row is background.

    Args:
        person: a track id in digits, or `ANY`.
        stamps: (T,) ns, of which the first is the begin of the bag.
        classes: one of them stands for no action.

    Raises:
        ValueError: a label is no class, or no class stands for no action.
    """
    stamps = np.asarray(stamps, np.int64)
    none = background(classes)
    if none is None:
        raise ValueError(f'none of the classes is {BACKGROUND_LABEL}')
    found = np.full(len(stamps), none, np.int64)
    unscored = np.zeros(len(stamps), bool)
    for segment in segments:
        start, end = segment.span(int(stamps[0]))
        inside = (stamps >= start - ROUNDING) & (stamps < end - ROUNDING)
        if segment.label == UNSCORED_LABEL:
            if segment.person in (person, ANY):
                unscored |= inside
        elif segment.person == person:
            index = class_index(segment.label, classes)
            if index is None:
                raise ValueError(f'{segment.label} is not among the classes')
            found[inside] = index
    return np.where(unscored, UNSCORED, found)
