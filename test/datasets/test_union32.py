"""The 32-class task."""

from __future__ import annotations

from collections import Counter

import pytest

from action_recognition.datasets.union32 import LABELS, load_union32
from action_recognition.errors import UserError


def test_labels_are_32_sorted_names():
    assert len(LABELS) == 32
    assert list(LABELS) == sorted(set(LABELS))
    assert all(label.replace('_', '').isalpha() and label.islower() for label in LABELS)
    joined = {'golf_swing', 'pull_up', 'baseball_swing', 'tennis_stroke'}
    assert joined < set(LABELS)
    assert not {'golf', 'pullup', 'swing_baseball', 'tennis_serve', 'pushup'} & set(LABELS)


def test_clips_of_both_sets_share_labels(tmp_path, jhmdb_tree, write_penn_clip):
    write_penn_clip(tmp_path / 'Penn_Action', 1, 'tennis_serve', 1)
    write_penn_clip(tmp_path / 'Penn_Action', 2, 'pullup', 1)
    write_penn_clip(tmp_path / 'Penn_Action', 3, 'pullup', -1)
    labels = {clip.name: clip.label for clip in load_union32(tmp_path, 'train')}
    assert labels == {
        'catch/a_catch_0': 'catch',
        'shoot_bow/b_shoot_bow_0': 'shoot_bow',
        '0001': 'tennis_stroke',
        '0002': 'pull_up',
    }
    assert len(load_union32(tmp_path, 'test')) == 2


def test_missing_set_is_named(tmp_path, jhmdb_tree):
    with pytest.raises(UserError, match='Penn_Action is not a folder; expected the Penn Action'):
        load_union32(tmp_path, 'train')


def test_official_splits(data_root):
    train, test = (load_union32(data_root, part) for part in ('train', 'test'))
    assert (len(train), len(test)) == (1918, 1336)
    names = [clip.name for clip in train + test]
    assert len(set(names)) == 3254
    assert {clip.label for clip in train} == {clip.label for clip in test} == set(LABELS)
    # golf: 42 clips of JHMDB and 166 of Penn Action.
    assert Counter(clip.label for clip in train + test)['golf_swing'] == 208
