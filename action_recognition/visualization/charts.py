"""Charts as inline SVG for pages of light and dark colours, by hand: they need no library.

Letters and lines take the colours of the page (`currentColor`, CSS variables --soft and --line).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from action_recognition.skeleton import FloatArray, IntArray

WIDTH = 960
#: Of the names on the left of timelines.
MARGIN = 170
ROW, GAP = 22, 6
#: Width of a letter of 12 pixels; a name wider than its span is left out.
LETTER = 6.6
#: Of labels without a colour.
GREY = '#9a9a9a'
#: Shares of a row of a confusion matrix that are shown: less would be 0 per cent.
LEAST_SHARE = 0.005

Span = tuple[float, float, str]


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(label)}" '
        f'font-size="12" fill="currentColor">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, more: str = '') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(text)}</text>'


def hatches(colours: Mapping[str, str], count: int) -> tuple[dict[str, str], str]:
    """What fills the spans of each label: where colours come again, with another pattern.

    Args:
        colours: #rrggbb by label, repeating after `count` of them.

    Returns:
        SVG paint by label, and the patterns it refers to, once for a page.
    """
    fills, patterns = {}, []
    for k, (label, colour) in enumerate(colours.items()):
        turn = k // count
        if not turn:
            fills[label] = colour
            continue
        # Stripes lean another way in each round, and are closer together after all ways.
        angle, distance = 45 * ((turn - 1) % 4 * 3 + 1), max(8 - 2 * ((turn - 1) // 4), 4)
        fills[label] = f'url(#hatch{k})'
        patterns.append(
            f'<pattern id="hatch{k}" width="{distance}" height="{distance}" '
            f'patternUnits="userSpaceOnUse" patternTransform="rotate({angle})">'
            f'<rect width="{distance}" height="{distance}" fill="{colour}"/>'
            f'<rect width="2" height="{distance}" fill="{ink_on(colour)}" opacity=".55"/></pattern>'
        )
    # Not display:none, with which browsers paint nothing.
    defs = f'<svg width="0" height="0" aria-hidden="true"><defs>{"".join(patterns)}</defs></svg>'
    return fills, defs if patterns else ''


def legend(fills: Mapping[str, str]) -> str:
    """What each label looks like; spans that are too narrow for a name need it."""
    items = ''.join(
        '<span class="key"><svg width="18" height="14" aria-hidden="true">'
        f'<rect width="18" height="14" rx="2" fill="{fill}"/></svg> '
        f'{html.escape(label.replace("_", " "))}</span>'
        for label, fill in fills.items()
    )
    return f'<p class="legend">{items}</p>'


def tracks(
    rows: Mapping[str, Sequence[Span]],
    seconds: float,
    colours: Mapping[str, str],
    label: str,
    fills: Mapping[str, str] | None = None,
) -> str:
    """Spans of time in rows below one axis of seconds.

    Args:
        rows: name -> (begin, end, label) in seconds; a label without a colour is grey.
        seconds: length of the axis.
        colours: #rrggbb by label.
        label: what the chart is, for those who do not see it.
        fills: paint by label, as by `hatches`; None: the colours.
    """
    fills = colours if fills is None else fills
    scale = (WIDTH - MARGIN - 10) / max(seconds, 1e-9)
    bottom = len(rows) * (ROW + GAP)
    step = tick(seconds)
    parts = []
    for i in range(int(seconds / step) + 1):
        x = MARGIN + i * step * scale
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}" stroke="var(--line)"/>'
            + _text(x, bottom + 12, f'{i * step:g} s', 'text-anchor="middle" fill="var(--soft)"')
        )
    for k, (name, spans) in enumerate(rows.items()):
        top = k * (ROW + GAP)
        parts.append(_text(0, top + 15, name, 'fill="var(--soft)"'))
        parts.append(
            f'<rect x="{MARGIN}" y="{top}" width="{WIDTH - MARGIN - 10}" height="{ROW}" '
            'fill="var(--line)" opacity=".45" rx="3"/>'
        )
        for begin, end, said in spans:
            x, width = MARGIN + begin * scale, max((end - begin) * scale, 1)
            title = f'{said.replace("_", " ")}: {begin:.2f} to {end:.2f} s'
            parts.append(
                f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{ROW}" rx="2" '
                f'fill="{fills.get(said, GREY)}"><title>{html.escape(title)}</title></rect>'
            )
            shown = said.replace('_', ' ')
            if width > LETTER * len(shown) + 6:
                colour = colours.get(said, GREY)
                # An edge in the colour, so that stripes do not run through the letters.
                edge = f'stroke="{colour}" stroke-width="4" paint-order="stroke"'
                ink = f'fill="{ink_on(colour)}" {edge} pointer-events="none"'
                parts.append(_text(x + 4, top + 15, shown, ink))
    return _svg(WIDTH, bottom + 18, parts, label)


def tick(seconds: float) -> float:
    """A round distance of some ten marks on an axis of this length."""
    rough = max(seconds, 1e-9) / 10
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(power * k for k in (1, 2, 5, 10) if power * k >= rough * 0.999))


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read on #rrggbb (WCAG relative luminance)."""
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return '#000' if (luminance + 0.05) ** 2 > 1.05 * 0.05 else '#fff'


def confusion_chart(
    truths: Sequence[str], answers: Sequence[str], counts: IntArray, unit: str
) -> str:
    """How often each class (row) got each answer (column); the shade is the share of the row.

    Args:
        counts: (truths, answers); answers that are no truth and everywhere less than
            `LEAST_SHARE` of the row are left out.
        unit: what is counted.
    """
    cell, left, top = 34, 130, 96
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    kept = [
        j
        for j, name in enumerate(answers)
        if name in truths or share[:, j].max(initial=0) >= LEAST_SHARE
    ]
    answers = [answers[j] for j in kept]
    counts, share = counts[:, kept], share[:, kept]
    parts = []
    for j, name in enumerate(answers):
        shown = html.escape(name.replace('_', ' '))
        x = left + j * cell + 20
        parts.append(f'<text transform="translate({x},{top - 8}) rotate(-50)">{shown}</text>')
    for i, name in enumerate(truths):
        y = top + i * cell
        parts.append(_text(left - 8, y + 21, name.replace('_', ' '), 'text-anchor="end"'))
        for j, other in enumerate(answers):
            title = f'{name} called {other}: {counts[i, j]} {unit}, {share[i, j]:.0%}'
            hue = '#2f855a' if name == other else '#c05621'
            place = f'x="{left + j * cell}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="3"'
            parts.append(
                f'<rect {place} fill="var(--line)" opacity=".35"/>'
                f'<rect {place} fill="{hue}" fill-opacity="{share[i, j]:.2f}">'
                f'<title>{html.escape(title)}</title></rect>'
            )
            if share[i, j] >= LEAST_SHARE:
                ink = ' fill="#fff"' if share[i, j] > 0.6 else ''
                more = f'text-anchor="middle" font-size="11" pointer-events="none"{ink}'
                middle = left + j * cell + cell / 2 - 1
                parts.append(_text(middle, y + 20, f'{100 * share[i, j]:.0f}', more))
    width, height = left + len(answers) * cell + 70, top + len(truths) * cell
    return _svg(width, height, parts, 'confusion matrix, per cent of each row')


def reliability_chart(bins: Mapping[str, FloatArray], colours: Sequence[str]) -> str:
    """How often an answer of some confidence is right; on the diagonal it is worth what it says.

    Args:
        bins: of each model, as `calibration_bins`.
    """
    side, left, top = 260, 44, 10
    parts = [
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" '
        'stroke="var(--line)"/>',
        f'<line x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}" '
        'stroke="var(--soft)" stroke-dasharray="4 4"/>',
    ]
    for value in (0, 0.5, 1):
        x, y = left + value * side, top + (1 - value) * side
        parts.append(_text(x, top + side + 16, f'{value:g}', 'text-anchor="middle"'))
        parts.append(_text(left - 6, y + 4, f'{value:g}', 'text-anchor="end"'))
    parts.append(_text(left + side / 2, top + side + 32, 'confidence', 'text-anchor="middle"'))
    parts.append(
        f'<text transform="translate(12,{top + side / 2}) rotate(-90)" '
        'text-anchor="middle">right</text>'
    )
    for (name, values), colour in zip(bins.items(), colours, strict=False):
        points = [(left + c * side, top + (1 - a) * side, n) for n, c, a in values.T.tolist()]
        most = max((n for *_, n in points), default=1)
        line = ' '.join(f'{x:.1f},{y:.1f}' for x, y, _ in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, n in points:
            radius = 3 + 5 * (n / most) ** 0.5
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}">'
                f'<title>{html.escape(name)}: {n:.0f} frames</title></circle>'
            )
    return _svg(left + side + 12, top + side + 40, parts, 'reliability diagram')


def histogram(values: npt.ArrayLike, unit: str, colour: str, bins: int = 20) -> str:
    """How many values lie where; the last bar takes what is larger than the 99th percentile.

    Args:
        values: (n,) numbers from 0 on, at least one.
    """
    values = np.asarray(values, float)
    most = max(float(np.percentile(values, 99)), 1e-9)
    counts, _ = np.histogram(np.minimum(values, most), bins, (0, most))
    width, height, left, top = 400, 160, 10, 14
    bar = (width - left) / bins
    parts = []
    for k, count in enumerate(counts.tolist()):
        tall = height * count / max(int(counts.max()), 1)
        title = f'{k * most / bins:.3g} to {(k + 1) * most / bins:.3g} {unit}: {count}'
        parts.append(
            f'<rect x="{left + k * bar:.1f}" y="{top + height - tall:.1f}" width="{bar - 2:.1f}" '
            f'height="{tall:.1f}" fill="{colour}"><title>{html.escape(title)}</title></rect>'
        )
    parts.append(
        f'<line x1="{left}" x2="{width}" y1="{top + height}" y2="{top + height}" '
        'stroke="var(--soft)"/>'
    )
    for share in (0, 0.5, 1):
        x = left + share * (width - left)
        anchor = {0: 'start', 0.5: 'middle', 1: 'end'}[share]
        text = f'{share * most:.3g} {unit}'
        parts.append(_text(x, top + height + 16, text, f'text-anchor="{anchor}"'))
    median = float(np.median(values))
    x = left + min(median / most, 1) * (width - left)
    parts.append(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + height}" stroke="currentColor" '
        'stroke-dasharray="3 3"/>'
        + _text(min(x + 4, width - 100), top + 8, f'median {median:.3g} {unit}')
    )
    return _svg(width + 10, top + height + 24, parts, f'histogram in {unit}')
