"""Augmentation of joints: each factor alone does what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from action_recognition.errors import UserError
from action_recognition.ranges import FLAG
from action_recognition.skeleton import FLIP, LIMBS, torso_size
from action_recognition.training.augment import AMOUNTS, Augmentation, Track


@pytest.fixture
def track() -> Track:
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 200, (14, 2)) + np.cumsum(rng.normal(0, 2, (60, 14, 2)), 0)
    score = np.full((60, 14), 0.9)
    xy[10:20, 4], score[10:20, 4] = np.nan, 0
    stamps = np.arange(60) * 33_333_333
    target = np.arange(60) // 20 - 1
    return Track(xy.astype(np.float32), score.astype(np.float32), stamps, target)


def change(track: Track, seed: int = 0, **amounts) -> Track:
    return Augmentation(**amounts)(track, np.random.default_rng(seed))


def test_nothing_asked_for_is_nothing_done(track):
    same = change(track)
    for a, b in zip(same, track, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_flip_mirrors_and_swaps_sides(track):
    flipped = change(track, flip=1.0)
    np.testing.assert_allclose(flipped.xy, track.xy[:, FLIP] * [-1, 1])
    np.testing.assert_array_equal(flipped.score, track.score[:, FLIP])


def test_targets_follow_their_frames_and_the_mirror(track):
    cut = change(track, seed=3, max_frames=30)
    np.testing.assert_array_equal(cut.target, track.target[np.isin(track.stamps, cut.stamps)])
    flipped = Augmentation(flip=1.0)(track, np.random.default_rng(0), np.array([1, 0]))
    np.testing.assert_array_equal(flipped.target, np.repeat([-1, 1, 0], 20))


def test_what_has_no_class_in_the_mirror_is_not_flipped(track):
    flip = Augmentation(flip=1.0)
    same = flip(track, np.random.default_rng(0), np.array([0, -1]))  # one of its classes
    np.testing.assert_array_equal(same.target, track.target)
    np.testing.assert_allclose(same.xy, track.xy)
    unscored = track._replace(target=np.full(len(track.stamps), -1))
    flipped = flip(unscored, np.random.default_rng(0), np.array([0, -1]))
    np.testing.assert_allclose(flipped.xy, track.xy[:, FLIP] * [-1, 1])


def bones(xy: np.ndarray) -> np.ndarray:
    return np.stack([xy[..., b, :] - xy[..., a, :] for a, b in LIMBS], -2)


def test_another_body_has_bones_of_other_lengths_that_point_the_same_way(track):
    track.xy[10:20, 4] = track.xy[9, 4]
    changed = change(track, proportions=0.2)
    before, after = bones(track.xy), bones(changed.xy)
    ratio = np.linalg.norm(after, axis=-1) / np.linalg.norm(before, axis=-1)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=1e-3)
    np.testing.assert_allclose(after, ratio[..., None] * before, atol=0.05)
    assert 0.02 < np.log(ratio[0]).std() < 0.4
    right, left = (LIMBS.index(pair) for pair in ((2, 3), (5, 6)))
    assert abs(np.log(ratio[0, right] / ratio[0, left])) < 0.3


def test_joints_without_a_seen_parent_stay(track):
    changed = change(track, proportions=0.2)
    track.xy[:, 1] = np.nan
    lonely = change(track, proportions=0.2)
    np.testing.assert_array_equal(lonely.xy[:, 0], track.xy[:, 0])
    assert not np.allclose(changed.xy[:, 0], track.xy[:, 0])


def test_warping_changes_the_pace_within_a_clip_but_not_the_order(track):
    changed = change(track, warp=0.4)
    pace = np.diff(changed.stamps) / np.diff(track.stamps)
    assert (pace > 0).all()
    assert pace.max() / pace.min() > 1.2
    assert np.abs(np.diff(np.log(pace))).max() < 0.2  # smooth
    assert np.log(pace).mean() == pytest.approx(0, abs=0.02)


def test_rotation_keeps_lengths(track):
    turned = change(track, rotation=30)
    np.testing.assert_allclose(torso_size(turned.xy), torso_size(track.xy), rtol=1e-4)
    assert not np.allclose(turned.xy, track.xy, equal_nan=True)


def test_speed_changes_the_stamps_alone(track):
    durations = [change(track, seed, speed=1.4).stamps[-1] for seed in range(200)]
    assert min(durations) >= track.stamps[-1] / 1.4 - 1
    assert max(durations) <= track.stamps[-1] * 1.4 + 1
    assert min(durations) < track.stamps[-1] < max(durations)
    np.testing.assert_array_equal(change(track, speed=1.4).xy, track.xy)


def test_frame_rate_drops_to_the_least_rate_but_not_below(track):
    rates = []
    for seed in range(200):
        slow = change(track, seed, least_rate=10)
        assert (np.diff(slow.stamps) > 0).all()
        assert np.isin(slow.stamps, track.stamps).all()
        rates.append(1e9 / np.diff(slow.stamps).mean())
    assert 9.5 < min(rates) < 12
    assert max(rates) > 27


def test_long_clips_are_cut_and_starts_are_late(track):
    lengths, starts = set(), set()
    for seed in range(100):
        cut = change(track, seed, late_start=0.5, max_frames=40)
        lengths.add(len(cut.stamps))
        starts.add(int(cut.stamps[0]) // 33_333_333)
    assert max(lengths) == 40
    assert min(lengths) >= 30
    assert min(starts) <= 2
    assert max(starts) > 20


def test_jitter_is_in_torso_sizes(track):
    size = np.nanmedian(torso_size(track.xy))
    ratios = [
        np.nanstd(change(track, seed, jitter=0.1).xy - track.xy) / size for seed in range(100)
    ]
    assert np.median(ratios) == pytest.approx(0.05, rel=0.5)
    assert max(ratios) < 0.25


def test_missing_and_hidden_joints_are_nan_with_score_zero(track):
    shares = []
    for seed in range(100):
        fewer = change(track, seed, missing=0.4, hidden=0.3)
        assert (np.isnan(fewer.xy).any(-1) == (fewer.score == 0)).all()
        shares.append((fewer.score == 0).mean())
    assert 0.1 < np.mean(shares) < 0.4


def test_swaps_exchange_sides_for_a_while(track):
    swapped = change(track, 1, swapped=0.5)
    same = np.isclose(swapped.xy, track.xy, equal_nan=True).all((1, 2))
    other = np.isclose(swapped.xy, track.xy[:, FLIP], equal_nan=True).all((1, 2))
    assert (same | other).all()
    assert same.any()
    assert other.any()


def test_scores_no_longer_tell_the_source(track):
    for seed in range(20):
        out = change(track, seed, scores=True, jitter=0.1)
        assert ((out.score == 0) == (track.score == 0)).all()
        assert (out.score <= 1).all()
        assert not np.allclose(out.score[out.score > 0], 0.9)
    certain = Track(track.xy, np.ceil(track.score), track.stamps)
    np.testing.assert_array_equal(
        change(certain, 3, scores=True).score, change(track, 3, scores=True).score
    )


@pytest.mark.parametrize('name', AMOUNTS)
def test_the_largest_amount_of_each_can_be_had(track, name):
    rule = AMOUNTS[name]
    most = True if rule is FLAG else min(rule.most, 1000) - (0.01 if rule.below else 0)
    for seed in range(5):
        out = change(track, seed, **{name: most})
        assert 0 < len(out.stamps) <= len(track.stamps)
        assert (np.diff(out.stamps) > 0).all()
        assert np.isfinite(out.xy[out.score > 0]).all()


@pytest.mark.parametrize(
    ('amounts', 'message'),
    [
        ({'flip': 1.5}, 'flip must be a number from 0 to 1, not 1.5'),
        ({'jitter': -0.1}, 'jitter must be a number from 0 to 10, not -0.1'),
        ({'missing': '0.3'}, "missing must be a number from 0 to 1, not the text '0.3'"),
        ({'speed': 0}, 'speed must be a number from 1 to 10, not 0'),
        ({'warp': 1000}, 'warp must be a number from 0 to 1, not 1000'),
        ({'scores': 1}, 'scores must be true or false, not 1'),
        ({'max_frames': -5}, 'max_frames must be a whole number from 0 on, not -5'),
        ({'max_frames': 9.5}, 'max_frames must be a whole number'),
    ],
)
def test_amounts_that_make_no_sense_are_refused(amounts, message):
    with pytest.raises(UserError, match=rf'augmentation\.{message}'):
        Augmentation(**amounts)
