"""SkeletonClip, the validation split, and reading of array files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from action_recognition.datasets.clips import (
    SkeletonClip,
    frame_stamps,
    natural_key,
    read_mat,
    read_npz,
    require_files,
    train_validation,
)
from action_recognition.errors import UserError
from action_recognition.skeleton import Joint


def make_clip(
    name: str = 'clip', label: str = 'walk', group: str = 'video', frames: int = 3
) -> SkeletonClip:
    xy = np.arange(frames * 28, dtype=np.float32).reshape(frames, 14, 2)
    return SkeletonClip(
        name, label, group, xy, np.ones((frames, 14)), frame_stamps(frames, 30), (64, 48)
    )


def test_clip_gives_each_frame_as_one_tracked_person():
    clip = make_clip()
    poses = clip.poses(2, track_id=7)
    assert len(clip) == 3
    np.testing.assert_array_equal(poses.xy, clip.xy[2:3])
    np.testing.assert_array_equal(poses.score, clip.score[2:3])
    assert poses.track_id.tolist() == [7]
    assert poses.stamp == 66_666_667
    assert poses.image_size == (64, 48)
    assert clip.poses(0).track_id.tolist() == [1]


def test_joint_without_score_or_coordinates_is_not_seen():
    xy = np.ones((1, 14, 2))
    score = np.ones((1, 14))
    xy[0, Joint.NECK] = np.nan
    score[0, Joint.NOSE] = 0
    clip = SkeletonClip('a', 'b', 'c', xy, score, np.array([0]), (10, 10))
    assert np.isnan(clip.xy[0, :2]).all()
    assert clip.score[0].tolist() == [0, 0, *[1] * 12]


def test_inside_is_true_for_pixels_of_the_image_only():
    xy = np.full((1, 14, 2), 5.0)
    xy[0, :5] = [(-0.5, 0), (-0.6, 0), (63.5, 47.5), (63.6, 0), (0, 47.6)]
    xy[0, 5] = np.nan
    clip = SkeletonClip('a', 'b', 'c', xy, np.ones((1, 14)), np.array([0]), (64, 48))
    assert clip.inside[0].tolist() == [True, False, True, False, False, False, *[True] * 8]


@pytest.mark.parametrize(
    ('xy', 'stamps', 'message'),
    [
        (np.zeros((2, 13, 2)), [0, 1], 'xy must have shape'),
        (np.zeros((2, 14, 2)), [0], 'stamps'),
        (np.zeros((2, 14, 2)), [5, 5], 'increase'),
        (np.zeros((0, 14, 2)), [], 'stamps'),
    ],
)
def test_clip_refuses_wrong_shapes(xy, stamps, message):
    with pytest.raises(ValueError, match=message):
        SkeletonClip('a', 'b', 'c', xy, np.ones((len(xy), 14)), np.array(stamps), (1, 1))


def test_clip_cannot_be_written_to():
    clip = make_clip()
    for array in (clip.xy, clip.score, clip.stamps):
        with pytest.raises(ValueError, match='read-only'):
            array[0] = 0


def test_frame_stamps_do_not_drift():
    stamps = frame_stamps(30_001, 30)
    assert stamps[:3].tolist() == [0, 33_333_333, 66_666_667]
    assert stamps[30_000] == 1000 * 10**9


@pytest.fixture
def labelled_clips() -> list[SkeletonClip]:
    """Ten groups of three clips of 'walk', four single ones of 'run', one group of 'sit'.

    Group 'shared' has clips of 'walk' and of 'run'.
    """
    clips = [make_clip(f'w{g}{i}', 'walk', f'w{g}') for g in range(10) for i in range(3)]
    clips += [make_clip(f'r{i}', 'run', f'r{i}') for i in range(4)]
    clips += [make_clip(f's{i}', 'sit', 's') for i in range(3)]
    clips += [make_clip('x0', 'walk', 'shared'), make_clip('x1', 'run', 'shared')]
    return clips


@pytest.mark.parametrize('seed', range(20))
def test_no_group_straddles_and_every_label_gets_its_share(labelled_clips, seed):
    train, validation = train_validation(labelled_clips, 0.25, seed)
    assert sorted(clip.name for clip in train + validation) == sorted(
        clip.name for clip in labelled_clips
    )
    assert not {clip.group for clip in train} & {clip.group for clip in validation}
    held = Counter(clip.label for clip in validation)
    assert 6 <= held['walk'] <= 9
    assert 1 <= held['run'] <= 2
    assert held['sit'] == 0


def test_split_depends_on_the_seed_and_not_on_the_order_of_clips(labelled_clips):
    def names(clips, seed):
        return {clip.name for clip in train_validation(clips, 0.25, seed)[1]}

    assert names(labelled_clips, 1) == names(labelled_clips[::-1], 1)
    assert len({frozenset(names(labelled_clips, seed)) for seed in range(5)}) > 1


def test_label_with_two_large_groups_still_has_one_in_validation():
    clips = [make_clip(f'{group}{i}', 'walk', group) for group in 'ab' for i in range(10)]
    train, validation = train_validation(clips, 0.1, 0)
    assert (len(train), len(validation)) == (10, 10)


@pytest.mark.parametrize(('groups', 'held'), [('a', 0), ('ab', 1), ('abcde', 4)])
def test_a_large_fraction_leaves_something_to_learn_from(groups, held):
    clips = [make_clip(f'{group}{i}', 'walk', group) for group in groups for i in range(4)]
    train, validation = train_validation(clips, 0.97, 0)
    assert len({clip.group for clip in validation}) == held
    assert len({clip.group for clip in train}) == len(groups) - held


@pytest.mark.parametrize('fraction', [0, 1, -0.1, 1.5, float('nan')])
def test_split_refuses_a_fraction_that_is_none(labelled_clips, fraction):
    with pytest.raises(ValueError, match='fraction'):
        train_validation(labelled_clips, fraction, 0)


def test_natural_order_counts_numbers():
    names = ['frame10.png', 'Frame2.png', 'frame1.png', 'a.png', '10.png', '9.png']
    ordered = sorted(map(Path, names), key=natural_key)
    assert [path.name for path in ordered] == [
        *('9.png', '10.png', 'a.png', 'frame1.png', 'Frame2.png', 'frame10.png')
    ]


def test_read_mat_reports_missing_variables_and_damage(tmp_path):
    path = tmp_path / 'a.mat'
    savemat(path, {'x': np.arange(3000.0), 'unused': 1})
    assert read_mat(path, 'x')[0].shape == (1, 3000)
    with pytest.raises(UserError, match=r'a\.mat lacks the variable y'):
        read_mat(path, 'x', 'y')
    path.write_bytes(path.read_bytes()[:2000])
    for content in (path.read_bytes(), b'', b'no MATLAB file at all'):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r'cannot read .*a\.mat as a MATLAB file') as caught:
            read_mat(path, 'x')
        assert '\n' not in str(caught.value)


def test_read_npz_reports_damage_and_refuses_pickles(tmp_path):
    path = tmp_path / 'a.npz'
    with pytest.raises(UserError, match='does not exist; expected boxes'):
        read_npz(path, 'boxes')
    np.savez(path, a=np.arange(5))
    assert read_npz(path, 'boxes')['a'].tolist() == [0, 1, 2, 3, 4]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r'cannot read .*a\.npz'):
        read_npz(path, 'boxes')
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(UserError, match=r'cannot read .*a\.npz'):
        read_npz(path, 'boxes')


def test_require_files_names_the_layout(tmp_path):
    with pytest.raises(UserError, match=r'nowhere is not a folder; expected a set'):
        require_files(tmp_path / 'nowhere', '*.mat', 'a set')
    with pytest.raises(UserError, match=r'holds no \*\.mat; expected a set'):
        require_files(tmp_path, '*.mat', 'a set')
