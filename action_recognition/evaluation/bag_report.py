"""What `evaluate bag` found, as one page that needs no network."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from action_recognition.classes import background
from action_recognition.datasets import union32
from action_recognition.datasets.sources import split_bag
from action_recognition.datasets.streams import UNSCORED, segments
from action_recognition.datasets.truth import class_index
from action_recognition.errors import UserError
from action_recognition.evaluation.bag import Result
from action_recognition.evaluation.bag_timelines import MAIN, Timeline
from action_recognition.evaluation.bag_worst import failures, pictures
from action_recognition.evaluation.common import calibration_bins, confusion
from action_recognition.evaluation.online import detection_times
from action_recognition.evaluation.report import PAGE, STYLE
from action_recognition.visualization.charts import (
    GREY,
    confusion_chart,
    hatches,
    histogram,
    legend,
    reliability_chart,
    tracks,
)
from action_recognition.visualization.overlay import PALETTE
from action_recognition.visualization.plots import label_colours

#: Worst segments shown.
WORST = 6
#: Of the first and the second model.
COLOURS = ('#3182ce', '#dd6b20')
#: What the figures are called on the page, and what they mean.
NAMES = {
    'accuracy': ('Actions right', 'the most probable action over each true action'),
    'frame_accuracy': ('Frames right', 'the most probable class of each frame, or none'),
    'map': ('mAP', 'mean over actions of the average precision over frames'),
    'f1_at_10': ('F1@10', 'confirmed against true segments, overlapping by 10 %'),
    'f1_at_25': ('F1@25', 'by 25 %'),
    'f1_at_50': ('F1@50', 'by 50 %'),
    'time_to_detect_s': ('Delay', 'median seconds from the begin of an action to its label'),
    'missed_fraction': ('Missed', 'actions whose label is never confirmed while they last'),
    'false_alarms_per_min': ('False alarms a minute', 'while nobody acts'),
    'flips_per_min': ('Flips a minute', 'changes of the label beyond those of the truth'),
    'ece': ('Calibration error', 'gap between confidence and how often it is right'),
    'tracked_fraction': ('Tracked', 'of the frames of actions, those in which the person was seen'),
}

MORE_STYLE = """
.charts { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)) }
.charts section svg { max-width: 26rem }
.wide { overflow-x: auto }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem } .key { white-space: nowrap }
.key svg { width: 18px; display: inline; vertical-align: middle }
.wide svg { min-width: 40rem }
td.number, th.number { text-align: right }
td small { color: var(--soft); font-size: .85rem; margin-left: .5rem }
.bag h3 { margin-bottom: .4rem } .stills { row-gap: 1.2rem }
.notes li { color: var(--soft); margin: .2rem 0; overflow-wrap: anywhere }
.skipped { border-left: 4px solid #c53030; padding-left: .75rem }
figure { margin: 0 } figcaption { color: var(--soft); font-size: .9rem; margin-top: .3rem }
figure img { display: block; width: 100%; border-radius: 6px }
.matrix svg { max-width: 46rem }
"""


def write(path: Path, results: Sequence[Result]) -> None:
    """Write the page of one model, or of two side by side.

    Raises:
        UserError: the file cannot be written.
    """
    first = results[0]
    title = f'{first.setup.name} on {len(first.scored)} bag{"s" * (len(first.scored) != 1)}'
    parts = [f'<h1>{html.escape(title)}</h1>', _lead(first), *_troubles(results)]
    if first.scored:
        parts += ['<h2>Figures</h2>', _figure_table(results)]
        parts += ['<h2>Timelines</h2>', *_timelines(results)]
        parts += ['<h2>Actions</h2>', _per_class(results)]
        if len(first.scored) > 1:
            parts += ['<h2>Bags</h2>', _per_bag(first)]
        parts += _charts(results)
        parts += _worst(first)
    page = PAGE.format(title=html.escape(title), style=STYLE + MORE_STYLE, body='\n'.join(parts))
    try:
        path.write_text(page, encoding='utf-8')
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror}') from error


def _lead(result: Result) -> str:
    figures = result.figures
    if not result.scored:
        return '<p>No bag could be scored.</p>'
    return (
        f'<p>{figures["minutes"]:.1f} minutes, {figures["n"]} actions, {figures["frames"]} scored '
        f'frames; computed {figures["times_real_time"]:.3g} times as fast as it was recorded.</p>'
    )


def _troubles(results: Sequence[Result]) -> Iterator[str]:
    skipped = {spec: reason for result in results for spec, reason in result.skipped.items()}
    if skipped:
        lines = ''.join(
            f'<li>{html.escape(spec)}: {html.escape(why)}</li>' for spec, why in skipped.items()
        )
        yield f'<div class="skipped"><h2>Skipped</h2><ul class="notes">{lines}</ul></div>'
    notes = [(s.spec, note) for s in results[0].scored for note in s.notes]
    if notes:
        lines = ''.join(f'<li>{html.escape(f"{spec}: {note}")}</li>' for spec, note in notes)
        yield f'<h2>Notes</h2><ul class="notes">{lines}</ul>'


def _number(value: Any, name: str = '') -> str:
    if value is None:
        return '-'
    if isinstance(value, float):
        return f'{value:.2f} s' if name == 'time_to_detect_s' else f'{value:.3f}'
    return str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Cells are HTML; all columns after the first `texts` hold numbers."""
    kinds = [''] * texts + [' class="number"'] * (len(head) - texts)
    top = ''.join(f'<th{kind}>{name}</th>' for name, kind in zip(head, kinds, strict=True))
    body = ''.join(
        '<tr>'
        + ''.join(f'<td{kind}>{cell}</td>' for cell, kind in zip(row, kinds, strict=True))
        + '</tr>'
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _figure_table(results: Sequence[Result]) -> str:
    rows = []
    for name in MAIN:
        shown, meaning = NAMES[name]
        cells = [_number(result.figures.get(name), name) for result in results]
        rows.append((f'{shown} <small>{meaning}</small>', *cells))
    return _table(('', *(html.escape(r.setup.name) for r in results)), rows)


def _per_class(results: Sequence[Result]) -> str:
    columns = {
        'segments': 'times',
        'accuracy': 'right',
        'detected': 'detected',
        'time_to_detect_s': 'delay',
        'average_precision': 'AP',
    }
    first, *others = [result.figures.get('per_class', {}) for result in results]
    head = ['', *columns.values()]
    head += [f'{html.escape(r.setup.name)}: right' for r in results[1:]]
    rows = [
        (
            html.escape(label.replace('_', ' ')),
            *(_number(row[key], key) for key in columns),
            *(_number(_of(label, other).get('accuracy')) for other in others),
        )
        for label, row in first.items()
    ]
    return _table(head, rows)


def _of(label: str, rows: Mapping[str, Any]) -> Mapping[str, Any]:
    index = class_index(label, tuple(rows))
    return {} if index is None else rows[tuple(rows)[index]]


def _per_bag(result: Result) -> str:
    columns = ('f1_at_25', 'frame_accuracy', 'time_to_detect_s', 'tracked_fraction')
    head = ['', 'topic', 'people', 'length', 'actions', 'false alarms']
    head += [NAMES[name][0] for name in columns]
    rows = [
        (
            html.escape(split_bag(spec)[0].name),
            html.escape(row['topic']),
            str(row['people']),
            f'{row["seconds"]:.1f} s',
            str(row['actions']),
            str(row['false_alarms']),
            *(_number(row[name], name) for name in columns),
        )
        for spec, row in result.figures['per_bag'].items()
    ]
    return _table(head, rows, texts=2)


# --- timelines -------------------------------------------------------------------------------


def _labels(results: Sequence[Result]) -> list[str]:
    """All labels that are true or said, in the order of appearance."""
    found: dict[str, None] = {}
    for result in results:
        for scored in result.scored:
            for t in scored.timelines:
                none = background(t.classes)
                for start, _, label in (*segments(t.targets), *segments(t.said)):
                    if label != none and start >= 0:
                        found[_shown(t.classes[label])] = None
    return list(found)


def _shown(label: str) -> str:
    """One name for an action that models know by several."""
    return union32.CANONICAL.get(label, label)


def _spans(timeline: Timeline, labels: np.ndarray) -> list[tuple[float, float, str]]:
    seconds = (timeline.stamps - timeline.stamps[0]) * 1e-9
    end = np.append(seconds[1:], seconds[-1])
    none = background(timeline.classes)
    return [
        (float(seconds[start]), float(end[stop - 1]), _shown(timeline.classes[label]))
        for start, stop, label in segments(labels)
        if label != none
    ]


def _untold(timeline: Timeline) -> list[tuple[float, float, str]]:
    seconds = (timeline.stamps - timeline.stamps[0]) * 1e-9
    runs = segments(np.where(timeline.targets == UNSCORED, 0, UNSCORED))
    return [(float(seconds[a]), float(seconds[b - 1]), 'unscored') for a, b, _ in runs]


def _timelines(results: Sequence[Result]) -> Iterator[str]:
    colours = label_colours(_labels(results))
    fills, patterns = hatches(colours, len(PALETTE))
    grey = any(_untold(t) for s in results[0].scored for t in s.timelines)
    yield patterns + legend({**fills, 'unscored': GREY} if grey else fills)
    others = {(s.spec, t.person): t for r in results[1:] for s in r.scored for t in s.timelines}
    for scored in results[0].scored:
        for t in sorted(scored.timelines, key=lambda t: (len(t.person), t.person)):
            who = 'whoever acts' if t.person == 'any' else f'person {t.person}'
            rows = {
                'truth': [*_spans(t, t.targets), *_untold(t)],
                results[0].setup.name[:22]: _spans(t, t.said),
            }
            other = others.get((scored.spec, t.person))
            if other is not None:
                rows[f'{results[1].setup.name[:22]} '] = _spans(other, other.said)
            name = split_bag(scored.spec)[0].name
            chart = tracks(rows, scored.length, colours, f'{name}, {who}', fills)
            yield f'<div class="bag"><h3>{html.escape(name)}, {who}</h3>'
            yield f'<div class="wide">{chart}</div></div>'


# --- charts ----------------------------------------------------------------------------------


def _charts(results: Sequence[Result]) -> Iterator[str]:
    found = [t for s in results[0].scored for t in s.timelines]
    yield '<h2>Confusion</h2><p>Frames by truth (rows) and most probable class (columns), in %; '
    yield 'classes that are nowhere half a percent are left out.</p>'
    yield f'<div class="wide matrix">{_confusion(found)}</div>'
    yield '<div class="charts">'
    yield '<section><h2>Reliability</h2>'
    legend = ', '.join(
        f'<span class="swatch" style="background:{colour}"></span>{html.escape(r.setup.name)}'
        for r, colour in zip(results, COLOURS, strict=False)
    )
    yield f'<p>{legend}</p>'
    bins = {r.setup.name: _bins([t for s in r.scored for t in s.timelines]) for r in results}
    yield reliability_chart(bins, COLOURS) + '</section>'
    times = [d for t in found for d in detection_times(t, t.said) if d is not None]
    if times:
        yield '<section><h2>Delay</h2><p>From the begin of an action to its label.</p>'
        yield histogram(times, 's', COLOURS[0]) + '</section>'
    took = np.concatenate([s.frames.milliseconds for s in results[0].scored])
    if len(took):
        yield '<section><h2>Computing time</h2><p>Of perception, per image, on this machine.</p>'
        yield histogram(took, 'ms', COLOURS[0]) + '</section>'
    yield '</div>'


def _confusion(found: Sequence[Timeline]) -> str:
    classes = found[0].classes
    target = np.concatenate([t.targets for t in found])
    guess = np.concatenate([t.probabilities.argmax(1) for t in found])
    guess, target = guess[target != UNSCORED], target[target != UNSCORED]
    counts = confusion(target, guess, len(classes))
    truths = np.flatnonzero(counts.sum(1))
    return confusion_chart([classes[k] for k in truths], classes, counts[truths], 'frames')


def _bins(found: Sequence[Timeline]) -> np.ndarray:
    target = np.concatenate([t.targets for t in found])
    p = np.concatenate([t.probabilities for t in found])
    used = (target != UNSCORED) & np.concatenate([t.tracked for t in found])
    return calibration_bins(p[used].max(1), p[used].argmax(1) == target[used])


def _worst(result: Result) -> Iterator[str]:
    everything = [failure for scored in result.scored for failure in failures(scored)]
    worst = sorted(everything, key=lambda failure: -failure.badness)[:WORST]
    if not worst:
        return
    yield '<h2>Worst moments</h2><div class="stills">'
    shown = pictures(worst)
    for failure in worst:
        picture = shown.get((failure.scored.spec, failure.stamp))
        image = (
            f'<img alt="the middle of it" src="data:image/jpeg;base64,{picture}">'
            if picture
            else ''
        )
        name = split_bag(failure.scored.spec)[0].name
        caption = html.escape(f'{name}: {failure.text}')
        yield f'<figure>{image}<figcaption>{caption}</figcaption></figure>'
    yield '</div>'
