"""Plots as SVG text that stands in a page of light or of dark colours."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from action_recognition.recognition.labels import UNKNOWN, ActionEstimate
from action_recognition.visualization.overlay import PALETTE

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
