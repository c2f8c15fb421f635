"""The timeline: what is drawn when, in whose colour, as SVG that follows the page."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from action_recognition.recognition.labels import UNKNOWN, ActionEstimate
from action_recognition.visualization.plots import INK, UNKNOWN_COLOUR, label_colours, timeline

SVG = '{http://www.w3.org/2000/svg}'


def estimate(label: str, confidence: float = 0.8, state: str = 'confirmed') -> ActionEstimate:
    class_id = UNKNOWN if label == 'unknown' else 0
    return ActionEstimate(1, class_id, label, confidence, state, 0, np.zeros(2, np.float32))


def draw(labels: list[ActionEstimate], rate: float = 10, end: float | None = None) -> str:
    seconds = [i / rate for i in range(len(labels))]
    colours = label_colours([e.label for e in labels])
    return timeline(seconds, labels, colours, end or len(labels) / rate)


def words(svg: str) -> list[str]:
    return [
        ''.join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter(f'{SVG}text')
    ]


def test_colours_are_stable_and_repeat() -> None:
    colours = label_colours(['walk', 'jump', 'walk', 'run'])
    assert list(colours) == ['walk', 'jump', 'run']
    assert len(set(colours.values())) == 3
    many = label_colours([str(i) for i in range(20)])
    assert len(set(many.values())) < 20
    assert all(colour[0] == '#' and len(colour) == 7 for colour in many.values())


def test_names_and_colours() -> None:
    svg = draw([estimate('walk')] * 20 + [estimate('swing_baseball')] * 20)
    assert {'walk', 'swing baseball', 'seconds', '100 %'} <= set(words(svg))
    for colour in label_colours(['walk', 'swing_baseball']).values():
        assert colour in svg


def test_lines_and_letters_take_the_colour_of_the_page() -> None:
    svg = draw([estimate('walk')] * 3)
    assert svg.startswith('<svg')
    assert INK not in svg
    assert 'currentColor' in svg
    assert '#ffffff' not in svg


def test_a_name_that_does_not_fit_is_left_out() -> None:
    svg = draw([estimate('walk')] * 98 + [estimate('swing_baseball')] * 2)
    assert 'walk' in words(svg)
    assert 'swing baseball' not in words(svg)


def test_the_unknown_is_grey() -> None:
    assert UNKNOWN_COLOUR in draw([estimate('unknown', state='candidate')] * 5)
    assert UNKNOWN_COLOUR not in draw([estimate('walk')] * 5)


def test_candidates_are_pale() -> None:
    assert 'opacity: 0.4' in draw([estimate('walk', state='candidate')] * 5)
    assert 'opacity: 0.4' not in draw([estimate('walk')] * 5)


def test_one_name_for_each_unbroken_span() -> None:
    """Out of sight for two seconds: two spans of the same label, nothing in between."""
    labels = [estimate('walk')] * 20
    seconds = [i / 10 if i < 10 else 2 + i / 10 for i in range(20)]
    svg = timeline(seconds, labels, label_colours(['walk']), 4.0)
    assert words(svg).count('walk') == 2


@pytest.mark.parametrize('count', [1, 2])
def test_the_shortest_recordings(count: int) -> None:
    assert draw([estimate('walk')] * count).startswith('<svg')


def test_deterministic() -> None:
    assert draw([estimate('walk')] * 5) == draw([estimate('walk')] * 5)
