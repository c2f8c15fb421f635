"""Exports of annotation tools, as their manuals show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from action_recognition.datasets.annotators import read_export
from action_recognition.datasets.truth import ANY, Segment
from action_recognition.errors import UserError


def export(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'export.csv'
    path.write_text(text)
    return path


def test_elan(tmp_path: Path) -> None:
    """Tab-delimited text with a header, in the three forms of time."""
    for form, begin, end in (
        ('ss.msec', '1.25', '62.5'),
        ('msec', '1250', '62500'),
        ('hh:mm:ss.ms', '00:00:01.250', '00:01:02.500'),
    ):
        header = f'Tier\tBegin Time - {form}\tEnd Time - {form}\tAnnotation\n'
        path = export(tmp_path, header + f'actions\t{begin}\t{end}\twave\n3\t{begin}\t{end}\trun\n')
        assert read_export(path, 'k') == [
            Segment('k', 1.25, 62.5, ANY, 'wave'),
            Segment('k', 1.25, 62.5, '3', 'run'),
        ]


def test_boris(tmp_path: Path) -> None:
    path = export(
        tmp_path,
        'Observation id,Subject,Behavior,Behavior type,Start (s),Stop (s)\n'
        'one,No focal subject,wave,STATE,1.5,2.5\n'
        'one,2,run,STATE,3,4\n'
        'one,2,jump,POINT,5,5\n',
    )
    assert read_export(path, 'k') == [
        Segment('k', 1.5, 2.5, ANY, 'wave'),
        Segment('k', 3, 4, '2', 'run'),
    ]


def test_label_studio(tmp_path: Path) -> None:
    seconds = '"[{""start"": 1.5, ""end"": 2.5, ""labels"": [""wave""]}]"'
    path = export(tmp_path, f'id,audio,label\n1,k.wav,{seconds}\n')
    assert read_export(path, 'k') == [Segment('k', 1.5, 2.5, ANY, 'wave')]
    ranges = '"[{""ranges"": [{""start"": 31, ""end"": 60}], ""timelinelabels"": [""run""]}]"'
    path = export(tmp_path, f'id,video,videoLabels\n1,k.mp4,{ranges}\n')
    assert read_export(path, 'k', fps=30) == [Segment('k', 1, 2, ANY, 'run')]
    with pytest.raises(UserError, match=r'line 2: frames need --fps'):
        read_export(path, 'k')


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('a,b\n1,2\n', 'holds no segments of ELAN .* its columns are a, b'),
        ('', 'its columns are none'),
        ('Behavior,Start (s),Stop (s)\nwave,x,2\n', "line 2: .*'x'"),
        ('Behavior,Start (s),Stop (s)\nwave,3,2\n', r'line 2: end \(2\) must be after'),
        ('Tier\tBegin Time - frames\tEnd Time - frames\tAnnotation\na\t1\t2\tb\n', 'no column'),
        ('id,label\n1,"[{""start"": 1"\n', 'line 2'),
    ],
)
def test_bad_exports(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_export(export(tmp_path, text), 'k')
