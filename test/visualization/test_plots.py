"""Timelines: what is drawn when, in whose colour; and pictures of figures: what they show."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest

from action_recognition.recognition.labels import UNKNOWN, ActionEstimate
from action_recognition.visualization.plots import (
    INK,
    UNKNOWN_COLOUR,
    accuracy_curve,
    confusion_matrix,
    curves,
    label_colours,
    reliability_diagram,
    timeline,
    write_report,
)

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


def test_confusion_matrix_is_in_percent_of_each_row() -> None:
    (axes,) = confusion_matrix(['run', 'sit_up', 'walk'], np.diag([4, 3, 0]) + [[0, 1, 0]] * 3).axes
    cells = {tuple(int(x) for x in text.get_position()): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): '80', (1, 0): '20', (1, 1): '100', (1, 2): '100'}  # column, row
    assert [text.get_text() for text in axes.get_xticklabels()] == ['run', 'sit up', 'walk']
    rows = [text.get_text() for text in axes.get_yticklabels()]
    assert rows == ['run (5)', 'sit up (4)', 'walk (1)']


def test_a_class_that_never_was_leaves_its_row_empty() -> None:
    (axes,) = confusion_matrix(['run', 'sit'], np.array([[2, 0], [0, 0]])).axes
    assert [text.get_text() for text in axes.texts] == ['100']


def test_confusion_of_many_classes_keeps_the_size_of_its_cells() -> None:
    sizes = []
    for count in (10, 40):
        figure = confusion_matrix(['baseball_swing'] * count, np.eye(count, dtype=int))
        figure.draw_without_rendering()
        sizes.append(figure.axes[0].get_window_extent().width / figure.dpi / count)
    assert min(sizes) > 0.25  # inches: three digits of 7 points fit
    assert sizes[1] == pytest.approx(sizes[0], rel=0.25)


def test_reliability_diagram_draws_the_points_it_is_given() -> None:
    bins = np.array([[30, 10], [0.2, 0.9], [0.1, 0.8]])
    above, below = reliability_diagram({'frames': bins}).axes
    diagonal, curve = above.get_lines()
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert curve.get_xydata().tolist() == [[0.2, 0.1], [0.9, 0.8]]
    assert below.get_lines()[0].get_xydata().tolist() == [[0.2, 0.75], [0.9, 0.25]]
    assert [t.get_text() for t in above.get_legend().get_texts()] == ['perfect', 'frames']


def test_accuracy_curve_in_percent() -> None:
    (axes,) = accuracy_curve({'0.1': 0.25, '1.0': 0.875}).axes
    assert axes.get_lines()[0].get_xydata().tolist() == [[10, 25], [100, 87.5]]
    assert [text.get_text() for text in axes.texts] == ['25.0', '87.5']


def test_report_of_three_pictures(tmp_path: Path) -> None:
    bins = np.array([[30.0], [0.2], [0.1]])
    write_report(tmp_path, ['run', 'sit'], np.eye(2, dtype=int), {'frames': bins}, {'1.0': 0.5})
    for name in ('confusion', 'reliability', 'accuracy_at'):
        picture = cv2.imread(str(tmp_path / f'{name}.png'))
        assert picture is not None
        assert picture.std() > 5


def test_curves_of_a_training_keep_losses_and_accuracies_apart() -> None:
    rows = [
        {'epoch': 1, 'loss': 2.0, 'accuracy': 0.2},
        {'epoch': '2', 'loss': '1.5', 'accuracy': '0.4', 'val_loss': ''},
        {'epoch': 3, 'loss': 1.0, 'accuracy': 0.5, 'val_loss': 1.25},
    ]
    above, below = curves(rows).axes
    loss, validation = above.lines
    assert loss.get_xydata().tolist() == [[1, 2], [2, 1.5], [3, 1]]
    assert validation.get_xydata().tolist() == [[3, 1.25]]
    assert [line.get_label() for line in below.lines] == ['accuracy']
