"""A user's own `<class>/<clip>` folders."""

from __future__ import annotations

import pytest

from action_recognition.datasets.folder import load_folder
from action_recognition.errors import UserError


def test_videos_by_label_in_natural_order(tmp_path):
    for name in (
        'wave/clip10.mp4',
        'wave/clip9.MP4',
        'bow/a.webm',
        'bow/b.mov',
        'bow/c.mkv',
        'bow/d.avi',
        'bow/notes.txt',
        'bow/._a.webm',
        '.hidden/a.mp4',
        'empty/readme.md',
        'stray.mp4',
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [(label, path.name) for label, path in load_folder(tmp_path)]
    assert found == [
        ('bow', 'a.webm'),
        ('bow', 'b.mov'),
        ('bow', 'c.mkv'),
        ('bow', 'd.avi'),
        ('wave', 'clip9.MP4'),
        ('wave', 'clip10.mp4'),
    ]


def test_missing_and_empty_folder(tmp_path):
    with pytest.raises(UserError, match='nowhere is not a folder; expected folders named after'):
        load_folder(tmp_path / 'nowhere')
    (tmp_path / 'clip.mp4').touch()
    with pytest.raises(UserError, match='holds no <class>/<clip> videos; expected folders'):
        load_folder(tmp_path)


def test_real_videos(data_root):
    clips = load_folder(data_root / 'jhmdb' / 'ReCompress_Videos')
    assert len(clips) == 928
    assert len({label for label, _ in clips}) == 21
