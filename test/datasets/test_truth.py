"""Truth files: read and written, matched to bags, checked, and laid over the frames of a bag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from action_recognition.datasets.streams import UNSCORED
from action_recognition.datasets.truth import (
    ANY,
    Segment,
    class_index,
    faults,
    of_bag,
    read_truth,
    targets,
    write_truth,
)
from action_recognition.errors import UserError

CLASSES = ('background', 'pull_up', 'run', 'wave')
START = 1_700_000_000_123_456_789


def test_round_trip(tmp_path: Path) -> None:
    rows = [
        Segment('kitchen', 0.5, 2.25, ANY, 'wave'),
        Segment('a, b', 1_700_000_000.123456, 1_700_000_001.0, '12', 'run'),
        Segment('hall', 100, 200.000001, '3', 'unscored'),
    ]
    write_truth(tmp_path / 'new' / 'truth.csv', rows)
    assert read_truth(tmp_path / 'new' / 'truth.csv') == rows


def test_other_columns_their_order_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / 'truth.csv'
    text = '\ufefflabel,note,end,start,person,bag\nwave,loud,2, 1 ,,k\n\n,,,,,\nrun,,4,3,Any,k\n'
    path.write_text(text, encoding='utf-8')
    assert read_truth(path) == [Segment('k', 1, 2, ANY, 'wave'), Segment('k', 3, 4, ANY, 'run')]


def test_rttm(tmp_path: Path) -> None:
    path = tmp_path / 'truth.rttm'
    path.write_text(
        ';; a comment\n'
        'SPKR-INFO kitchen 1 <NA> <NA> <NA> unknown wave <NA>\n'
        'SPEAKER kitchen 1 2.50 1.25 <NA> <NA> wave <NA> <NA>\n'
        'NOSCORE kitchen 1 5 2 <NA> <NA> <NA> <NA>\n'
    )
    assert read_truth(path) == [
        Segment('kitchen', 2.5, 3.75, ANY, 'wave'),
        Segment('kitchen', 5, 7, ANY, 'unscored'),
    ]


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('bag,begin,end,person,label\n', 'lacks the column start'),
        ('', 'lacks the column'),
        ('bag,start,end,person,label\nk,1,2,any,wave\nk,two,3,any,wave\n', "line 3: .*'two'"),
        ('bag,start,end,person,label\nk,2,1,any,wave\n', r'line 2: end \(1\) must be after'),
        ('bag,start,end,person,label\nk,-1,1,any,wave\n', 'line 2: start and end must be seconds'),
        ('bag,start,end,person,label\nk,nan,1,any,wave\n', 'line 2: start and end must be seconds'),
        ('bag,start,end,person,label\nk,1,1700000000,any,wave\n', 'must both be stamps'),
        ('bag,start,end,person,label\nk,1,2,Bob,wave\n', "track id or 'any', not 'bob'"),
        ('bag,start,end,person,label\nk,1,2,any,\n', 'must not be empty'),
        ('bag,start,end,person,label\nk,1\n', 'line 2'),
    ],
)
def test_bad_files(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / 'truth.csv'
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_truth(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='cannot read the truth file'):
        read_truth(tmp_path / 'gone.csv')
    (tmp_path / 'binary.csv').write_bytes(bytes(range(128, 256)))
    with pytest.raises(UserError, match='cannot read the truth file'):
        read_truth(tmp_path / 'binary.csv')


@pytest.mark.parametrize('name', ['k', 'monday/k', './k', 'k/k_0', 'k_0.mcap', 'k/k_0.mcap'])
def test_names_of_a_bag(tmp_path: Path, name: str) -> None:
    bag = tmp_path / 'monday' / 'k'
    bag.mkdir(parents=True)
    (bag / 'k_0.mcap').touch()
    rows = [Segment(name, 0, 1, ANY, 'wave'), Segment('other', 0, 1, ANY, 'run')]
    assert of_bag(rows, bag / 'k_0.mcap') == rows[:1]
    assert of_bag(rows, bag) == (rows[:1] if 'k_0' not in name else [])


def test_labels_by_other_names() -> None:
    assert [class_index(name, CLASSES) for name in ('wave', 'none', 'background')] == [3, 0, 0]
    assert class_index('pullup', CLASSES) == 1
    assert class_index('pull_up', ('background', 'pullup')) == 1
    assert class_index('fly', CLASSES) is None
    assert class_index('background', CLASSES[1:]) is None


def test_faults_are_named() -> None:
    span = (START, START + 10 * 10**9)
    rows = [
        Segment('k', 0, 4, '1', 'wave'),
        Segment('k', 1, 2, '1', 'wave'),  # of the same label
        Segment('k', 3, 5, '1', 'run'),
        Segment('k', 3, 5, '2', 'run'),  # of somebody else
        Segment('k', 0, 9, '1', 'unscored'),
        Segment('k', 5, 10.9, '1', 'wavee'),
        Segment('k', 11, 14, '2', 'wave'),
    ]
    lines = faults(rows, CLASSES, span)
    assert len(lines) == 3
    assert "'wavee' is not a class of the model (did you mean wave?)" in lines[0]
    assert lines[1] == 'person 1: wave (0 to 4) and run (3 to 5) overlap'
    assert 'wave from 11 to 14 lies outside the bag, which goes from 0 to 10 s' in lines[2]
    assert faults(rows[:2], CLASSES, span) == []
    mixed = [Segment('k', 0, 1, ANY, 'wave'), Segment('k', 2, 3, '4', 'wave')]
    assert faults(mixed)[0] == "rows of 'any' and of people by id (4): use one or the other"
    stamps = [Segment('k', 1_600_000_000, 1_600_000_001, ANY, 'wave')]
    assert 'outside the bag, which goes from 17000000' in faults(stamps, CLASSES, span)[0]


def test_targets() -> None:
    stamps = START + np.arange(6) * 10**9
    begin = START * 1e-9
    rows = [
        Segment('k', 1, 3, '1', 'wave'),
        Segment('k', begin + 4, begin + 5, '1', 'pullup'),
        Segment('k', 0, 5, '2', 'run'),
        Segment('k', 2, 3, ANY, 'unscored'),
        Segment('k', 0, 1, '2', 'unscored'),
    ]
    assert targets(rows, '1', stamps, CLASSES).tolist() == [0, 3, UNSCORED, 0, 1, 0]
    assert targets(rows, '2', stamps, CLASSES).tolist() == [UNSCORED, 2, UNSCORED, 2, 2, 0]
    with pytest.raises(ValueError, match='fly'):
        targets([Segment('k', 0, 1, ANY, 'fly')], ANY, stamps, CLASSES)
    with pytest.raises(ValueError, match='background'):
        targets([], ANY, stamps, CLASSES[1:])
