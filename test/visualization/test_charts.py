"""Charts: the shapes are where the numbers say, every text is escaped, inks can be read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from action_recognition.visualization.charts import (
    MARGIN,
    WIDTH,
    confusion_chart,
    hatches,
    histogram,
    ink_on,
    legend,
    reliability_chart,
    tick,
    tracks,
)


def shapes(svg, tag):
    return list(ElementTree.fromstring(svg).iter(tag))


def test_spans_lie_where_their_seconds_are():
    rows = {'truth': [(0.0, 2.0, 'wave')], 'a<b': [(5.0, 10.0, 'pull_up')]}
    svg = tracks(rows, 10.0, {'wave': '#ff0000'}, 'k & l')
    spans = [r for r in shapes(svg, 'rect') if len(r)]
    scale = (WIDTH - MARGIN - 10) / 10
    places = [(float(r.get('x')), float(r.get('width')), r.get('fill')) for r in spans]
    expected = [(MARGIN, 2 * scale, '#ff0000'), (MARGIN + 5 * scale, 5 * scale, '#9a9a9a')]
    for place, (x, width, colour) in zip(places, expected, strict=True):
        assert place == (pytest.approx(x, abs=0.1), pytest.approx(width, abs=0.1), colour)
    texts = [t.text for t in shapes(svg, 'text')]
    assert {'truth', 'a<b', 'wave', 'pull up', '0 s', '10 s'} <= set(texts)
    assert spans[1][0].text == 'pull up: 5.00 to 10.00 s'


@pytest.mark.parametrize(
    ('seconds', 'step'), [(10, 1), (11, 2), (0.3, 0.05), (600, 100), (0, 1e-10)]
)
def test_ticks_are_round(seconds, step):
    assert tick(seconds) == pytest.approx(step)


def test_inks():
    assert [ink_on(c) for c in ('#ffffff', '#f0e442', '#000000', '#0072b2')] == [
        '#000',
        '#000',
        '#fff',
        '#fff',
    ]


def test_confusion_shows_shares_of_rows():
    counts = np.array([[100, 295, 4, 1], [0, 0, 0, 0]])
    svg = confusion_chart(['wave', 'run'], ['run', 'wave', 'x', 'rare'], counts, 'f')
    titles = [t.text for t in shapes(svg, 'title')]
    assert titles[:3] == [
        'wave called run: 100 f, 25%',
        'wave called wave: 295 f, 74%',
        'wave called x: 4 f, 1%',
    ]
    assert len(titles) == 6  # the answer that is nowhere half a per cent is left out
    numbers = [t.text for t in shapes(svg, 'text') if t.get('font-size') == '11']
    assert numbers == ['25', '74', '1']


def test_reliability_is_drawn_from_the_lower_left():
    bins = {'m': np.array([[1, 9], [0.0, 1.0], [0.0, 1.0]])}
    points = shapes(reliability_chart(bins, ['#123456']), 'circle')
    (x0, y0), (x1, y1) = [(float(p.get('cx')), float(p.get('cy'))) for p in points]
    assert x0 < x1
    assert y0 > y1
    assert float(points[1].get('r')) == 8


def test_histogram_counts_everything():
    values = [0.0, 0.1, 0.1, 1.0, 50.0]
    svg = histogram(values, 's', '#123456', bins=4)
    counts = [int(t.text.rpartition(': ')[2]) for t in shapes(svg, 'title')]
    assert sum(counts) == len(values)
    assert any('median 0.1 s' in (t.text or '') for t in shapes(svg, 'text'))


def test_labels_beyond_the_palette_are_hatched_and_never_alike():
    wheel = ('#102030', '#e0d0c0')
    colours = {f'l{k}': wheel[k % 2] for k in range(12)}
    fills, defs = hatches(colours, 2)
    assert list(fills.values())[:2] == list(wheel)
    patterns = dict(re.findall(r'<pattern id="(\w+)" (.*?)</pattern>', defs))
    assert len(set(patterns.values())) == len(patterns) == 10
    assert {fill[5:-1] for fill in fills.values() if fill.startswith('url')} == set(patterns)
    assert hatches({'a': '#102030'}, 2) == ({'a': '#102030'}, '')
    assert legend(fills).count('<rect') == 12
    page = tracks({'truth': [(0, 1, 'l5')]}, 2, colours, 'it', fills)
    assert f'fill="{fills["l5"]}"' in page
    assert '<title>l5: 0.00 to 1.00 s</title>' in page
