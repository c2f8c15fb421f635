"""Penn Action: hand-checked values of the real files, and a tree written here."""

from __future__ import annotations

import numpy as np
import pytest

from action_recognition.datasets.penn import CLASSES, GUESSED_SCORE, load_penn
from action_recognition.errors import UserError
from action_recognition.skeleton import Joint

#: Column of the files -> our joint. The files say "left" for the person's right.
COLUMNS = {
    0: Joint.NOSE,
    1: Joint.RIGHT_SHOULDER,
    2: Joint.LEFT_SHOULDER,
    3: Joint.RIGHT_ELBOW,
    4: Joint.LEFT_ELBOW,
    5: Joint.RIGHT_WRIST,
    6: Joint.LEFT_WRIST,
    7: Joint.RIGHT_HIP,
    8: Joint.LEFT_HIP,
    9: Joint.RIGHT_KNEE,
    10: Joint.LEFT_KNEE,
    11: Joint.RIGHT_ANKLE,
    12: Joint.LEFT_ANKLE,
}


def test_clip_of_a_written_tree(tmp_path, write_penn_clip):
    write_penn_clip(tmp_path, 1, 'bowl', 1)
    write_penn_clip(tmp_path, 2, 'squat', -1, frames=5)
    (clip,) = load_penn(tmp_path, 'train')
    assert (clip.name, clip.label, clip.group) == ('0001', 'bowl', '0001')
    assert clip.image_size == (320, 240)
    assert clip.stamps.tolist() == [0, 33_333_333, 66_666_667]
    for column, joint in COLUMNS.items():
        for frame in range(3):
            assert clip.xy[frame, joint].tolist() == [10 * column + 10 + frame, 10 * column + 20]
    assert clip.xy[0, Joint.NECK].tolist() == [25, 35]
    assert (clip.score == 1).all()
    (test,) = load_penn(tmp_path, 'test')
    assert (test.name, len(test)) == ('0002', 5)


def test_scores_of_invisible_joints(tmp_path, write_penn_clip):
    x = np.full((1, 13), 50.0)
    y = np.full((1, 13), 60.0)
    visibility = np.ones((1, 13), np.uint8)
    visibility[0, [3, 9, 11]] = 0  # elbow guessed, knee and ankle left at the corner
    x[0, 9] = y[0, 9] = 1
    x[0, 11] = y[0, 11] = 0.667
    write_penn_clip(tmp_path, 1, 'bowl', 1, frames=1, x=x, y=y, visibility=visibility)
    (clip,) = load_penn(tmp_path, 'train')
    assert clip.score[0, Joint.RIGHT_ELBOW] == pytest.approx(GUESSED_SCORE)
    assert clip.xy[0, Joint.RIGHT_ELBOW].tolist() == [49, 59]
    for joint in (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE):
        assert clip.score[0, joint] == 0
        assert np.isnan(clip.xy[0, joint]).all()
    assert clip.score[0].tolist().count(1) == 11


def test_coordinates_stored_as_small_integers_do_not_wrap(tmp_path, write_penn_clip):
    zero = np.zeros((1, 13), np.uint8)
    write_penn_clip(tmp_path, 1, 'bowl', 1, frames=1, x=zero, y=zero)
    (clip,) = load_penn(tmp_path, 'train')
    assert (clip.xy == -1).all()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'x': np.zeros((3, 12))}, r'shape \(frames, 13\)'),
        ({'visibility': np.zeros((2, 13))}, r'shape \(frames, 13\)'),
        ({'x': np.zeros((0, 13)), 'y': np.zeros((0, 13))}, r'shape \(frames, 13\)'),
        ({'action': 'yoga'}, "'yoga' is no action"),
    ],
)
def test_damaged_clip_is_named(tmp_path, write_penn_clip, changes, message):
    write_penn_clip(tmp_path, 7, **({'action': 'bowl', 'train': 1} | changes))
    with pytest.raises(UserError, match=rf'0007\.mat.*{message}'):
        load_penn(tmp_path, 'train')


def test_folder_that_is_not_penn(tmp_path, write_penn_clip):
    with pytest.raises(UserError, match='nowhere is not a folder; expected the Penn Action folder'):
        load_penn(tmp_path / 'nowhere', 'train')
    with pytest.raises(UserError, match='holds no labels; expected the Penn Action folder'):
        load_penn(tmp_path, 'train')
    write_penn_clip(tmp_path, 1, 'bowl', 1)
    with pytest.raises(UserError, match='holds no test clips'):
        load_penn(tmp_path, 'test')
    with pytest.raises(ValueError, match="'train' or 'test'"):
        load_penn(tmp_path, 'validation')


@pytest.fixture(scope='module')
def real(data_root):
    root = data_root / 'Penn_Action'
    return {part: load_penn(root, part) for part in ('train', 'test')}


def test_official_split(real):
    assert [len(real[part]) for part in ('train', 'test')] == [1258, 1068]
    assert sum(len(clip) for part in real.values() for clip in part) == 163_841
    assert {clip.label for clip in real['test']} == set(CLASSES)


def test_hand_checked_clip(real):
    """0001.mat, frame 0: 360 x 480 pixels, 151 frames; columns 2, 4, 6, 8 are invisible."""
    clip = next(clip for clip in real['test'] if clip.name == '0001')
    assert (clip.label, len(clip), clip.image_size) == ('baseball_pitch', 151, (480, 360))
    assert clip.xy[0, Joint.NOSE].tolist() == [135.5, 70.25]
    assert clip.xy[0, Joint.RIGHT_SHOULDER].tolist() == [134, 101.75]
    assert clip.xy[0, Joint.LEFT_SHOULDER].tolist() == [101.75, 98]
    assert clip.xy[0, Joint.NECK].tolist() == [117.875, 99.875]
    assert clip.xy[0, Joint.LEFT_ANKLE].tolist() == [92, 320]
    guessed = [Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_HIP, Joint.NECK]
    np.testing.assert_allclose(clip.score[0, guessed], GUESSED_SCORE)
    assert (np.delete(clip.score[0], guessed) == 1).all()


def test_corner_of_a_resized_clip_is_not_seen(real):
    """1801.mat, frame 0: both ankles at (0.954, 0.954), 1 scaled by 481 / 504."""
    clip = next(clip for clip in real['train'] if clip.name == '1801')
    assert clip.score[0, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]].tolist() == [0, 0]
    assert clip.score[0].tolist().count(1) == 12


def test_left_is_the_persons_left(real):
    """Jumping jacks are filmed from the front, all but a few: left is at the larger x."""
    shoulders = [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER]
    facing = []
    for clip in (*real['train'], *real['test']):
        visible = (clip.score[:, shoulders] == 1).all(1)
        if clip.label == 'jumping_jacks' and visible.any():
            left, right = np.moveaxis(clip.xy[visible][:, shoulders, 0], 1, 0)
            facing.append(left.mean() > right.mean())
    assert len(facing) > 100
    assert np.mean(facing) > 0.95
