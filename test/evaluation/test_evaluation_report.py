"""The files for people: the table of labels, and a page that stands alone."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from action_recognition.evaluation.report import (
    LABEL_COLUMNS,
    Moment,
    deeds,
    people,
    stills,
    write_labels,
    write_page,
)
from action_recognition.recognition.labels import ActionEstimate
from action_recognition.visualization.film import Film

FRAME = 100_000_000


def estimate(
    person: int, label: str, state: str = 'confirmed', began: int = 0, confidence: float = 0.5
) -> ActionEstimate:
    return ActionEstimate(person, 0, label, confidence, state, began, np.zeros(2, np.float32))


def moments(*rows: list[ActionEstimate], start: int = 0) -> list[Moment]:
    return [Moment(start + i * FRAME, tuple(row)) for i, row in enumerate(rows)]


def test_people_in_order_without_those_who_ended() -> None:
    rows = moments([estimate(7, 'a')], [estimate(3, 'b'), estimate(7, 'a', 'ended')])
    found = people(rows)
    assert list(found) == [3, 7]
    assert [stamp for stamp, _ in found[7]] == [0]


def test_deeds() -> None:
    """Two people on a clock far from 0; 2 switches once, and candidates do not count."""
    start = 10**18
    rows = moments(
        [estimate(1, 'walk', 'candidate', start), estimate(2, 'run', began=start)],
        [estimate(1, 'walk', began=start, confidence=0.4), estimate(2, 'run', began=start)],
        [
            estimate(1, 'walk', began=start, confidence=0.8),
            estimate(2, 'jump', began=start + FRAME),
        ],
        start=start,
    )
    found = [(d.person, d.label, d.begin, d.end, d.confidence) for d in deeds(rows)]
    assert found == [
        (1, 'walk', 0.0, pytest.approx(0.2), pytest.approx(0.6)),
        (2, 'run', 0.0, pytest.approx(0.1), 0.5),
        (2, 'jump', pytest.approx(0.1), pytest.approx(0.2), 0.5),
    ]


@pytest.mark.parametrize(('missing', 'count'), [(4, 1), (6, 2)])
def test_a_short_break_does_not_break_a_deed(missing: int, count: int) -> None:
    begins = (missing + 1) * FRAME
    rows = moments([estimate(1, 'walk')], *[[]] * missing, [estimate(1, 'walk', began=begins)])
    assert len(deeds(rows)) == count


def test_labels_keep_every_nanosecond(tmp_path: Path) -> None:
    stamp = 1_700_000_000_123_456_789
    rows = moments([estimate(1, 'a, b', confidence=0.12345)], [], start=stamp)
    write_labels(tmp_path / 'labels.csv', rows)
    with (tmp_path / 'labels.csv').open() as file:
        table = list(csv.reader(file))
    assert table == [
        list(LABEL_COLUMNS),
        ['1700000000.123456789', '1', 'a, b', '0.1235', 'confirmed'],
    ]


def test_stills(tmp_path: Path) -> None:
    path = tmp_path / 'film.mp4'
    with Film(path, 10, (64, 48)) as film:
        for i in range(20):
            film.add(np.full((48, 64, 3), 10 * i, np.uint8), i * FRAME)
    pictures = [cv2.imdecode(np.frombuffer(p, np.uint8), 1) for p in stills(path, 4)]
    assert [round(float(p.mean()), -1) for p in pictures] == [20, 70, 120, 170]
    assert all(p.shape == (360, 480, 3) for p in pictures)


def test_stills_of_a_video_that_is_not_there(tmp_path: Path) -> None:
    assert stills(tmp_path / 'film.mp4') == []


class Page(HTMLParser):
    """Words of a page, its tags, and whatever it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.loads += [v for k, v in attrs if k in ('src', 'href') and not v.startswith('data:')]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page(tmp_path: Path) -> None:
    rows = moments(*[[estimate(1, 'swing_baseball'), estimate(4, 'walk', 'candidate')]] * 30)
    tables = {'Frames': {'in': 30, 'processed': 30}}
    write_page(tmp_path / 'p.html', 'a <b> & c', rows, tables, pictures=[b'jpeg'])
    page = Page(tmp_path / 'p.html')
    text = ' '.join(page.words)
    assert 'a <b> & c' in text
    assert 'b' not in page.tags
    assert '2 people were seen. Confirmed actions: swing baseball.' in text
    assert page.tags.count('svg') == 2
    assert page.tags.count('img') == 1
    for word in ('Person 4', 'Who did what when', '2.90 s', 'processed'):
        assert word in text
    assert all(target.startswith('#') for target in page.loads)  # nothing from elsewhere
    assert 'prefers-color-scheme: dark' in (tmp_path / 'p.html').read_text()


def test_page_with_a_video(tmp_path: Path) -> None:
    write_page(tmp_path / 'p.html', 'x', [], {}, pictures=[b'jpeg'], video='annotated.mp4')
    page = Page(tmp_path / 'p.html')
    assert page.loads == ['annotated.mp4']
    assert 'img' not in page.tags


@pytest.mark.parametrize('rows', [[], moments([]), moments([], [])])
def test_page_of_nobody(tmp_path: Path, rows: list[Moment]) -> None:
    write_page(tmp_path / 'p.html', 'x', rows, {})
    page = Page(tmp_path / 'p.html')
    assert 'Nobody was seen.' in page.words
    assert 'svg' not in page.tags


def test_page_of_one_frame_and_a_candidate(tmp_path: Path) -> None:
    write_page(tmp_path / 'p.html', 'x', moments([estimate(1, 'walk', 'candidate')]), {})
    assert 'no action was held long enough' in ' '.join(Page(tmp_path / 'p.html').words)
