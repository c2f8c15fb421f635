"""Plots: timelines as SVG for a page of light or dark colours, and pictures of figures as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from action_recognition.recognition.labels import UNKNOWN, ActionEstimate
from action_recognition.skeleton import FloatArray, IntArray
from action_recognition.visualization.overlay import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Stands for the colour of the page's text in the SVG; no colour of the palette.
INK = '#010203'
UNKNOWN_COLOUR = '#9a9a9a'
WIDTH, HEIGHT = 9.0, 1.3
#: Inches that a letter of a name takes; a name wider than its span is left out.
LETTER = 0.08
#: An answer holds until the next one, but no longer than these seconds.
HOLD = 0.5


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour (#rrggbb) for each label in order of appearance; they repeat after the palette."""
    wheel = ['#{2:02x}{1:02x}{0:02x}'.format(*colour) for colour in PALETTE]
    return {label: wheel[i % len(wheel)] for i, label in enumerate(dict.fromkeys(labels))}


def timeline(
    seconds: Sequence[float],
    estimates: Sequence[ActionEstimate],
    colours: Mapping[str, str],
    end: float,
) -> str:
    """What one person did: the height is the confidence, the colour the label.

    Confirmed labels are strong, candidates pale; the unknown is grey.

    Args:
        seconds: (n,) times from the begin of the recording, not decreasing.
        estimates: (n,) of one person.
        colours: of every label, as by `label_colours`.
        end: length of the recording in seconds.

    Returns:
        An `<svg>` element whose lines and letters have the colour of the page's text.
    """
    import matplotlib
    from matplotlib.figure import Figure

    inked = ('text.color', 'axes.labelcolor', 'axes.edgecolor', 'xtick.color', 'ytick.color')
    style: Any = {
        **dict.fromkeys(inked, INK),
        'font.size': 9,
        'svg.fonttype': 'none',
        'svg.hashsalt': 'action_recognition',  # the same plot is the same text
    }
    with matplotlib.rc_context(style):
        figure = Figure((WIDTH, HEIGHT), layout='constrained')
        axes = figure.add_subplot()
        for first, stop, until in _spans(seconds, estimates):
            estimate = estimates[first]
            confirmed = estimate.state == 'confirmed'
            axes.fill_between(
                [*seconds[first:stop], until],
                [*(e.confidence for e in estimates[first:stop]), estimates[stop - 1].confidence],
                step='post',
                linewidth=0,
                color=UNKNOWN_COLOUR if estimate.class_id == UNKNOWN else colours[estimate.label],
                alpha=1.0 if confirmed else 0.4,
            )
            name = estimate.label.replace('_', ' ')
            if (until - seconds[first]) / end * WIDTH > LETTER * len(name):
                axes.text(seconds[first], 1.05, name, alpha=1.0 if confirmed else 0.6)
        axes.set_xlim(0, end)
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1], ['0', '50 %', '100 %'])
        axes.spines[['top', 'right']].set_visible(False)
        axes.set_xlabel('seconds')
        text = io.StringIO()
        figure.savefig(text, format='svg', transparent=True, metadata={'Date': None})
    svg = text.getvalue()
    return svg[svg.index('<svg') :].replace(INK, 'currentColor')


def _spans(
    seconds: Sequence[float], estimates: Sequence[ActionEstimate]
) -> Iterator[tuple[int, int, float]]:
    """First index, index after the last, and end in seconds of each unbroken label."""
    first = 0
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else HOLD
    for i, estimate in enumerate(estimates):
        if i + 1 < len(estimates):
            after = estimates[i + 1]
            gap = seconds[i + 1] - seconds[i] > HOLD
            same = (after.label, after.state) == (estimate.label, estimate.state)
            if same and not gap:
                continue
            until = seconds[i] + step if gap else seconds[i + 1]
        else:
            until = seconds[i] + step
        yield first, i + 1, until
        first = i + 1


# --- pictures of figures --------------------------------------------------------------------

#: Dots per inch of the PNG files, and inches of a plot of one pair of axes.
DPI, SIDE = 120, 5.0
#: Inches of a row of a confusion matrix, and of the names beside it.
CELL, NAMES = 0.32, 1.8


def write_report(
    folder: Path,
    labels: Sequence[str],
    counts: IntArray,
    calibration: Mapping[str, FloatArray],
    accuracy_at: Mapping[str, float],
) -> None:
    """Write `confusion.png`, `reliability.png` and `accuracy_at.png` into an existing folder.

    The arguments are those of the three functions below.
    """
    figures = {
        'confusion': confusion_matrix(labels, counts),
        'reliability': reliability_diagram(calibration),
        'accuracy_at': accuracy_curve(accuracy_at),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f'{name}.png', dpi=DPI)


def confusion_matrix(labels: Sequence[str], counts: IntArray) -> Figure:
    """How often each class got each answer, in percent of its row.

    Args:
        labels: (n,) names.
        counts: (n, n), a row for each true class, a column for each answer.
    """
    from matplotlib.figure import Figure

    counts = np.asarray(counts)
    totals = counts.sum(1)
    share = counts / np.maximum(totals, 1)[:, None]
    names = [label.replace('_', ' ') for label in labels]
    side = max(CELL * len(names), 2.5) + NAMES
    figure = Figure((side, side), layout='constrained')
    axes = figure.add_subplot()
    axes.imshow(share, vmin=0, vmax=1, cmap='Blues')
    for row, column in np.argwhere(share >= 0.005):
        axes.text(
            column,
            row,
            f'{100 * share[row, column]:.0f}',
            ha='center',
            va='center',
            fontsize=7,
            color='white' if share[row, column] > 0.5 else 'black',
        )
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=90, fontsize=8)
    rows = [f'{name} ({total})' for name, total in zip(names, totals, strict=True)]
    axes.set_yticks(ticks, rows, fontsize=8)
    axes.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which='minor', color='#e4e4e8', linewidth=0.5)
    axes.tick_params(which='both', length=0)
    axes.set_xlabel('answer')
    axes.set_ylabel('true class (how many)')
    axes.set_title('Answers in percent of each true class', fontsize=10)
    return figure


def reliability_diagram(calibration: Mapping[str, FloatArray]) -> Figure:
    """How often answers of a confidence are right; on the diagonal it can be taken at its word.

    Args:
        calibration: name of a curve -> (3, bins) number of answers, mean confidence, accuracy.
    """
    from matplotlib.figure import Figure

    figure = Figure((SIDE, 1.3 * SIDE), layout='constrained')
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color='#9a9a9a', linestyle='--', label='perfect')
    for name, (count, confidence, accuracy) in calibration.items():
        axes.plot(confidence, accuracy, marker='o', markersize=4, label=name)
        below.plot(confidence, count / count.sum(), marker='o', markersize=4)
    axes.set_ylim(0, 1)
    axes.set_ylabel('share of right answers')
    axes.legend(loc='upper left')
    axes.grid(alpha=0.3)
    below.set_xlim(0, 1)
    below.set_ylim(bottom=0)
    below.set_xlabel('confidence')
    below.set_ylabel('share of all answers')
    below.grid(alpha=0.3)
    return figure


def accuracy_curve(accuracy_at: Mapping[str, float]) -> Figure:
    """How early the answers are right.

    Args:
        accuracy_at: share of a clip that was seen -> accuracy in [0, 1].
    """
    from matplotlib.figure import Figure

    seen = [100 * float(share) for share in accuracy_at]
    right = [100 * accuracy for accuracy in accuracy_at.values()]
    figure = Figure((1.3 * SIDE, SIDE), layout='constrained')
    axes = figure.add_subplot()
    axes.plot(seen, right, marker='o')
    for x, y in zip(seen, right, strict=True):
        axes.annotate(
            f'{y:.1f}', (x, y), (0, -14), textcoords='offset points', ha='center', fontsize=8
        )
    axes.set_xlim(0, 105)
    axes.set_ylim(0, 105)
    axes.set_xlabel('percent of the action seen')
    axes.set_ylabel('percent of right answers')
    axes.grid(alpha=0.3)
    return figure


def curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """How a training went: losses above, accuracies below.

    Args:
        rows: one per epoch: 'epoch', and figures by name, numbers or their text; one whose name
            ends with 'loss' is drawn above. A row may lack some.
    """
    from matplotlib.figure import Figure

    figure = Figure((1.3 * SIDE, 1.3 * SIDE), layout='constrained')
    above, below = figure.subplots(2, 1, sharex=True)
    names = dict.fromkeys(name for row in rows for name in row if name != 'epoch')
    for name in names:
        known = [row for row in rows if row.get(name) not in (None, '')]
        (above if name.endswith('loss') else below).plot(
            [int(row['epoch']) for row in known],
            [float(row[name]) for row in known],
            marker='o' if len(known) < len(rows) else None,
            markersize=4,
            label=name.replace('_', ' '),
        )
    above.set_ylabel('loss')
    below.set_ylabel('share of right answers')
    below.set_ylim(0, 1)
    below.set_xlabel('epoch')
    for axes in (above, below):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return figure
