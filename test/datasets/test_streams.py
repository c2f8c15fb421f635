"""Continuous streams: segments, PRECOG as a camera sees it, and clips strung together."""

from __future__ import annotations

import numpy as np
import pytest

from action_recognition.classes import background
from action_recognition.datasets import precog
from action_recognition.datasets.clips import SkeletonClip, frame_stamps
from action_recognition.datasets.streams import (
    DISTANCES,
    FOCAL,
    IMAGE_SIZE,
    MAX_YAW,
    SkeletonStream,
    precog_stream,
    precog_streams,
    segments,
    string_together,
)
from action_recognition.skeleton import NUM_JOINTS, Joint, torso_size

TORSO = [Joint.NECK, Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER, Joint.RIGHT_HIP, Joint.LEFT_HIP]


def clip(
    label: str,
    frames: int = 5,
    size: float = 1.0,
    place: tuple[float, float] = (0, 0),
    fps: float = 30,
) -> SkeletonClip:
    """Joints on a grid of this size, wide to run, moving right by one grid step a frame."""
    wide = 5 if label == 'run' else 3
    grid = np.stack(np.divmod(np.arange(NUM_JOINTS), wide), -1).astype(np.float32)
    xy = size * (grid + np.arange(frames)[:, None, None] * np.array([1, 0])) + np.array(place)
    stamps = frame_stamps(frames, fps) + 7
    return SkeletonClip(
        label, label, label, xy, np.full((frames, NUM_JOINTS), 0.9), stamps, (64, 48)
    )


def stream(**changes) -> SkeletonStream:
    values = {
        'name': 's',
        'group': 'g',
        'xy': np.ones((3, NUM_JOINTS, 2)),
        'score': np.ones((3, NUM_JOINTS)),
        'stamps': np.arange(3),
        'image_size': (64, 48),
        'classes': ('none', 'run'),
        'targets': np.array([-1, 0, 1]),
    }
    return SkeletonStream(**(values | changes))


def test_a_stream_follows_the_rule_of_unseen_joints_and_is_read_only():
    xy = np.ones((3, NUM_JOINTS, 2))
    xy[1] = np.nan
    made = stream(xy=xy)
    assert len(made) == 3
    assert made.score[1].tolist() == [0] * NUM_JOINTS
    assert made.xy.dtype == np.float32
    with pytest.raises(ValueError, match='read-only'):
        made.targets[0] = 1


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'stamps': np.arange(2)}, 'as many stamps'),
        ({'stamps': np.array([0, 2, 2])}, 'stamps must increase'),
        ({'targets': np.arange(2)}, 'as many targets'),
        ({'targets': np.array([0, 1, 2])}, r'lie in \[-1, 2\)'),
        ({'targets': np.array([0, 1, -2])}, r'lie in \[-1, 2\)'),
        ({'xy': np.ones((3, 13, 2))}, 'xy must have shape'),
    ],
)
def test_streams_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        stream(**changes)


def test_segments_against_a_plain_loop():
    assert segments([0, 0, 2, 2, 2, -1, 2, 0]) == [(0, 2, 0), (2, 5, 2), (6, 7, 2), (7, 8, 0)]
    assert segments([]) == []
    assert segments([-1, -1]) == []
    targets = np.random.default_rng(0).integers(-1, 2, 200)
    found = []
    for t, target in enumerate(targets):
        if t and target == targets[t - 1]:
            found[-1][1] = t + 1
        else:
            found.append([t, t + 1, target])
    assert segments(targets) == [tuple(s) for s in found if s[2] != -1]


def test_the_class_of_no_action():
    assert background(precog.LABELS) == 0
    assert background(('run', 'background')) == 1
    assert background(('run', 'sit')) is None


@pytest.fixture
def recording() -> precog.Recording:
    """Joint j 0.1 j m high, all 3 m away; the middle frame of three is not tracked."""
    xyz = np.zeros((3, NUM_JOINTS, 3), np.float32)
    xyz[..., 0] = 0.05 * np.arange(NUM_JOINTS)
    xyz[..., 1] = 0.1 * np.arange(NUM_JOINTS)
    xyz[..., 2] = 3
    xyz[1] = np.nan
    return precog.Recording(4, 2, xyz, np.array([0, 0, 5]), frame_stamps(3, 30))


def test_precog_from_the_front(recording):
    seen = precog_stream(recording)
    assert (seen.name, seen.group) == ('Seq2_4', 'person 4')
    assert seen.classes == precog.LABELS
    assert seen.targets.tolist() == [0, 0, 5]
    assert seen.score.tolist() == [[1] * 14, [0] * 14, [1] * 14]
    assert np.isnan(seen.xy[1]).all()
    # The mean of the hips, joints 8 and 11, is the image's centre.
    expected = (319.5 - FOCAL * 0.05 * (0 - 9.5) / 3, 239.5 - FOCAL * 0.1 * (0 - 9.5) / 3)
    np.testing.assert_allclose(seen.xy[0, 0], expected, rtol=1e-5)


def test_random_views_are_those_of_a_turned_person_at_another_distance(recording):
    rng = np.random.default_rng(3)
    yaw, distance = rng.uniform(-MAX_YAW, MAX_YAW), rng.uniform(*DISTANCES)
    seen = precog_stream(recording, np.random.default_rng(3))
    expected = precog.project(recording.xyz, FOCAL, IMAGE_SIZE, yaw, distance)
    np.testing.assert_array_equal(seen.xy, expected)


def test_parts_of_precog(data_root):
    test = precog_streams(data_root / 'precog2016', 'test')
    train = precog_streams(data_root / 'precog2016', 'train', np.random.default_rng(0))
    assert (len(train), len(test)) == (36, 34)  # nobody was tracked in two of person 10
    assert {s.group for s in test} == {f'person {k}' for k in (2, 4, 6, 8, 10, 12)}
    assert {s.group for s in train} == {f'person {k}' for k in (1, 3, 5, 7, 9, 11)}
    for s in (*train, *test):
        inside = np.isfinite(s.xy).all(-1) == (s.score > 0)
        assert inside.all()
        assert 50 < np.nanmedian(torso_size(s.xy)) < 200
    with pytest.raises(ValueError, match="'train' or 'test'"):
        precog_streams(data_root / 'precog2016', 'all')


def test_a_string_of_clips_goes_on_where_the_last_one_ended():
    clips = [clip('run', 5, 10.0, (100, 50)), clip('sit', 4, 2.0, (3, 900), fps=15)]
    made = string_together(clips, np.random.default_rng(0), ('run', 'sit'))
    first, second = segments(made.targets)
    between = slice(first[1], second[0])
    assert (made.targets[between] == -1).all()
    assert {first[2], second[2]} == {0, 1}
    begins, goes_on = (clips[k] for k in (first[2], second[2]))
    np.testing.assert_array_equal(made.xy[: first[1]], begins.xy)

    # The second clip is the same motion at the scale of the first.
    scale = np.median(torso_size(begins.xy)) / np.median(torso_size(goes_on.xy))
    moved = made.xy[second[0] :] - made.xy[second[0], 0]
    np.testing.assert_allclose(moved, scale * (goes_on.xy - goes_on.xy[0, 0]), atol=1e-3)
    ends = made.xy[first[1] - 1, TORSO].mean(0), made.xy[second[0], TORSO].mean(0)
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-3)

    # 0.3 s later, with the frames between at the rate of the first clip, on a straight line.
    assert made.stamps[second[0]] - made.stamps[first[1] - 1] == 300_000_000
    steps = np.diff(made.stamps[first[1] - 1 : second[0] + 1])
    assert np.ptp(steps) <= 2
    assert np.median(steps) == pytest.approx(np.diff(begins.stamps).mean(), rel=0.15)
    line = made.xy[first[1] - 1 : second[0] + 1]
    assert np.ptp(np.diff(line, axis=0), axis=0).max() < 1e-3
    assert np.ptp(line, axis=0).max() > 10
    np.testing.assert_allclose(made.score[between], 0.9, rtol=1e-6)


def test_joints_that_one_side_of_a_gap_does_not_know_are_not_seen_in_it():
    half = clip('run')
    xy, score = half.xy.copy(), half.score.copy()
    xy[-1, :7], score[-1, :7] = np.nan, 0
    half = SkeletonClip('h', 'run', 'h', xy, score, half.stamps, half.image_size)
    made = string_together([half, half], np.random.default_rng(0), ('run',))
    (_, stop, _), _ = segments(made.targets)
    assert (made.score[stop, :7] == 0).all()
    assert (made.score[stop, 7:] > 0).all()


def test_clips_repeat_until_a_string_is_long_enough():
    clips = [clip('run', 30), clip('sit', 30), clip('run', 30, 3.0)]
    made = string_together(clips, np.random.default_rng(1), ('run', 'sit'), seconds=20)
    *_, (_, before, _), _ = segments(made.targets)
    assert made.stamps[before - 1] < 20e9 <= made.stamps[-1]
    assert made.stamps[0] == 0
    labels = [k for _, _, k in segments(made.targets)]
    for start in range(0, len(labels) - 2, 3):
        assert sorted(labels[start : start + 3]) == [0, 0, 1]
    assert (np.diff(made.stamps) > 0).all()
    # Sizes stay what they were, however long it goes on.
    np.testing.assert_allclose(torso_size(made.xy[:5]), torso_size(made.xy[-5:]), rtol=1e-3)


def test_clips_without_joints_are_left_out():
    empty = SkeletonClip(
        'e', 'sit', 'e', np.full((2, 14, 2), np.nan), np.zeros((2, 14)), np.arange(2), (64, 48)
    )
    made = string_together([empty, clip('run')], np.random.default_rng(0), ('run', 'sit'))
    assert segments(made.targets) == [(0, 5, 0)]
    with pytest.raises(ValueError, match='no clip has a joint'):
        string_together([empty], np.random.default_rng(0), ('sit',))
    with pytest.raises(ValueError, match='run is not among the classes'):
        string_together([clip('run')], np.random.default_rng(0), ('sit',))
