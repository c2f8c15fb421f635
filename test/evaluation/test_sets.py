"""Sets of labelled clips, and the weights that ship for them."""

from __future__ import annotations

import numpy as np
import pytest

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.sets import SETS, default_model, load_set, relabel


def clip(label: str) -> SkeletonClip:
    return SkeletonClip(
        name=label,
        label=label,
        group='',
        xy=np.ones((3, 14, 2), np.float32),
        score=np.ones((3, 14), np.float32),
        stamps=np.arange(3) * 100_000_000,
        image_size=(100, 100),
    )


def test_labels_are_joined_only_where_the_model_does_not_know_them():
    clips = [clip('golf'), clip('tennis_serve')]
    own = relabel(clips, ('golf', 'tennis_serve'))
    assert [c.label for c in own] == ['golf', 'tennis_serve']
    joined = relabel(clips, ('golf_swing', 'tennis_stroke'))
    assert [c.label for c in joined] == ['golf_swing', 'tennis_stroke']
    with pytest.raises(UserError, match='does not know golf_swing, tennis_stroke'):
        relabel(clips, ('sit',))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'name': 'kinetics'}, 'known: penn'),
        ({'name': 'penn', 'split': 2}, 'one official split'),
        ({'name': 'penn', 'joints': 'teacher'}, 'annotated joints only'),
        ({'name': 'jhmdb21'}, 'expected the JHMDB folder'),
        ({'name': 'jhmdb14', 'split': 4}, 'splits 1, 2 and 3, not 4'),
    ],
)
def test_sets_that_do_not_exist_are_refused(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        load_set(data=tmp_path, part='test', **arguments)


@pytest.mark.parametrize(
    ('set_name', 'split', 'joints', 'name'),
    [
        ('penn', 1, None, 'online_union32'),
        ('union32', 1, 'estimated', 'online_union32'),
        ('jhmdb14', 1, None, 'online_jhmdb14'),
        ('jhmdb14', 2, None, 'online_jhmdb14_split2'),
        ('jhmdb21', 3, 'best', 'online_union32_split3'),
        ('jhmdb21', 1, 'estimated', 'online_jhmdb21_video'),
        ('jhmdb21', 3, 'estimated', 'online_jhmdb21_video_split3'),
        ('precog', 1, None, 'online_precog'),
        ('penn', 2, None, 'online_union32'),  # refused later: there is one split
    ],
)
def test_weights_that_ship_for_a_set(set_name, split, joints, name):
    assert default_model(set_name, split, joints) == name


@pytest.mark.parametrize(
    ('name', 'count'), [('penn', 1068), ('jhmdb14', 176), ('jhmdb21', 268), ('union32', 1336)]
)
def test_official_test_parts(data_root, name, count):
    clips = load_set(name, data_root, 'test')
    assert len(clips) == count
    assert {c.label for c in clips} == set(SETS[name])
