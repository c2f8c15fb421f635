"""The paper's 34 numbers and the streaming features."""

from __future__ import annotations

import numpy as np
import pytest

from action_recognition.recognition import features as F
from action_recognition.skeleton import NUM_JOINTS, TORSO_JOINTS, Joint

#: A person facing the camera: (14, 2) pixels.
STANDING = np.array(
    [
        *[(100, 40), (100, 60)],
        *[(85, 60), (80, 85), (78, 110)],
        *[(115, 60), (120, 85), (122, 110)],
        *[(90, 110), (88, 145), (87, 180)],
        *[(110, 110), (112, 145), (113, 180)],
    ],
    np.float32,
)


def block(out: np.ndarray, name: str) -> np.ndarray:
    """One block of the streaming features."""
    start = 0
    for key, width in F.BLOCKS.items():
        if key == name:
            return out[..., start : start + width]
        start += width
    raise KeyError(name)


def clip(steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A noisy walk with missing joints at an uneven frame rate."""
    rng = np.random.default_rng(seed)
    xy = STANDING + np.arange(steps)[:, None, None] * [2.0, 0.0]
    xy = (xy + rng.normal(0, 2, xy.shape)).astype(np.float32)
    score = rng.uniform(0.1, 1, (steps, NUM_JOINTS)).astype(np.float32)
    score[rng.random(score.shape) < 0.2] = 0
    xy[score == 0] = np.nan
    stamps = np.cumsum(rng.integers(30, 100, steps)) * 1_000_000
    return xy, score, stamps


@pytest.mark.parametrize(
    ('length', 'steps', 'expected'),
    [(7, 4, [0, 2, 4, 6]), (3, 5, [0, 0, 1, 2, 2]), (1, 3, [0, 0, 0]), (60, 60, [*range(60)])],
)
def test_uniform_sampling_keeps_both_ends(length, steps, expected):
    assert F.sample_uniformly(length, steps).tolist() == expected


def test_sampling_an_empty_clip_is_refused():
    with pytest.raises(ValueError, match='at least one frame'):
        F.sample_uniformly(0)


def test_paper_features_of_a_known_pose():
    out = F.paper_features(np.stack([STANDING, STANDING]), np.ones((2, 14)))
    assert out.shape == (2, F.PAPER_FEATURES) == (2, 34)
    torso = np.hypot(25, 50)  # shoulder to opposite hip
    expected = (STANDING - STANDING.mean(0)) / torso
    np.testing.assert_allclose(out[0, :28], expected.ravel(), rtol=1e-4, atol=1e-6)
    head, trunk, right_arm, left_arm, right_leg, left_leg = out[0, 28:] * np.pi
    assert head == pytest.approx(-np.pi / 2)
    assert trunk == pytest.approx(np.pi / 2)
    assert right_arm == pytest.approx(np.arctan2(50, -7))
    assert left_arm == pytest.approx(np.arctan2(50, 7))
    assert right_leg == pytest.approx(np.arctan2(70, -3))
    assert left_leg == pytest.approx(np.arctan2(70, 3))


def test_paper_features_do_not_depend_on_place_and_size_but_keep_root_motion():
    xy, score, _ = clip(30)
    one = F.paper_features(xy, score)
    two = F.paper_features(xy * 3 + 40, score)
    np.testing.assert_allclose(one, two, atol=1e-4)
    assert one[-1, 0] - one[0, 0] > 0.5


def test_interpolation_fills_gaps_linearly_and_holds_the_ends():
    xy = np.full((5, 14, 2), np.nan, np.float32)
    xy[1, 3], xy[3, 3] = (10, 20), (30, 0)
    xy[:, 0] = 7
    out = F.interpolate(xy)
    np.testing.assert_allclose(out[:, 3, 0], [10, 10, 20, 30, 30])
    np.testing.assert_allclose(out[:, 3, 1], [20, 20, 10, 0, 0])
    np.testing.assert_allclose(out[2, 9], [(7 + 20) / 2, (7 + 10) / 2])  # never seen: the mean
    assert (F.interpolate(np.full((3, 14, 2), np.nan)) == 0).all()


def test_streaming_features_frame_by_frame_equal_those_of_the_sequence():
    clips = [clip(25, seed) for seed in range(3)]
    xy, score, stamps = (np.stack(part) for part in zip(*clips, strict=True))
    whole = F.online_features(xy, score, stamps)
    assert whole.shape == (3, 25, F.ONLINE_FEATURES)
    assert np.isfinite(whole).all()
    for k in range(3):
        state = F.FeatureState.initial(1)
        for t in range(25):
            elapsed = np.float32([(stamps[k, t] - stamps[k, t - 1]) / 1e9 if t else 0])
            out, state = F.online_step(xy[k, t][None], score[k, t][None], elapsed, state)
            np.testing.assert_allclose(out[0], whole[k, t], atol=1e-5)


def test_streaming_features_of_a_known_pose():
    out = F.online_features(STANDING[None], np.full((1, 14), 0.25), [0])[0]
    bones = [STANDING[b] - STANDING[a] for a, b in F.LIMBS]
    lengths = np.linalg.norm(bones, axis=1)
    scale = lengths.sum() / np.sum(F.BONE_LENGTHS)
    centre = STANDING[list(TORSO_JOINTS)].mean(0)
    np.testing.assert_allclose(
        block(out, 'position').reshape(14, 2), (STANDING - centre) / scale, rtol=1e-4, atol=1e-6
    )
    assert sorted(map(sorted, F.PAIRS)) == [[a, b] for a in range(14) for b in range(a + 1, 14)]
    distances = [np.linalg.norm(STANDING[b] - STANDING[a]) / scale for a, b in F.PAIRS]
    np.testing.assert_allclose(block(out, 'distance'), distances, rtol=1e-5)
    np.testing.assert_allclose(block(out, 'distance')[: len(F.LIMBS)], lengths / scale, rtol=1e-5)
    np.testing.assert_allclose(np.hypot(*block(out, 'direction').reshape(13, 2).T), 1, rtol=1e-5)
    np.testing.assert_allclose(block(out, 'score'), 0.5)
    assert (block(out, 'velocity') == 0).all()
    assert (block(out, 'root') == 0).all()


@pytest.mark.parametrize('rate', [10, 15, 30])
def test_velocity_is_in_body_scales_per_second_at_any_frame_rate(rate):
    seconds = np.arange(0, 6, 1 / rate)
    xy = STANDING + seconds[:, None, None] * np.array([50.0, -20.0])
    out = F.online_features(xy, np.ones(xy.shape[:2]), (seconds * 1e9).astype(np.int64))
    scale = np.linalg.norm([STANDING[b] - STANDING[a] for a, b in F.LIMBS], axis=1).sum()
    scale /= np.sum(F.BONE_LENGTHS)
    velocity = block(out[-1], 'velocity').reshape(len(F.VELOCITY_SCALES), 14, 2)
    expected = np.broadcast_to([50 / scale, -20 / scale], velocity.shape)
    np.testing.assert_allclose(velocity, expected, rtol=1e-3)


def test_streaming_features_do_not_depend_on_place_and_size():
    xy, score, stamps = clip(20)
    one = F.online_features(xy, score, stamps)
    two = F.online_features(xy * 2 + 100, score, stamps)
    np.testing.assert_allclose(one, two, atol=1e-3)


def test_a_missing_joint_moves_with_the_body_and_has_score_zero():
    xy = STANDING + np.arange(4)[:, None, None] * np.array([5.0, 0.0], np.float32)
    xy[2:, Joint.LEFT_WRIST] = np.nan
    score = np.where(np.isnan(xy[..., 0]), 0, 1)
    out = F.online_features(xy, score, np.arange(4) * 33_000_000)
    position = block(out, 'position').reshape(4, 14, 2)
    np.testing.assert_allclose(position[3], position[0], atol=1e-4)
    assert block(out, 'score')[3, Joint.LEFT_WRIST] == 0


@pytest.mark.filterwarnings('error')
def test_a_person_without_any_joint_gives_finite_features():
    xy = np.full((3, 14, 2), np.nan)
    out = F.online_features(xy, np.zeros((3, 14)), [0, 33_000_000, 66_000_000])
    assert np.isfinite(out).all()
    xy[2] = STANDING
    out = F.online_features(xy, np.isfinite(xy[..., 0]), [0, 33_000_000, 66_000_000])
    assert np.isfinite(out).all()
    assert (block(out[2], 'velocity') == 0).all()


def test_feature_states_are_gathered_scattered_and_joined_by_person():
    xy, score, _ = clip(3)
    _, state = F.online_step(xy, score, np.zeros(3, np.float32), F.FeatureState.initial(3))
    swapped = state[[2, 0]]
    np.testing.assert_array_equal(swapped.place, state.place[[2, 0]])
    joined = F.FeatureState.concatenate([swapped, state[[1]]])
    np.testing.assert_array_equal(joined.rest, state.rest[[2, 0, 1]])
    back = F.FeatureState.initial(3).replace([2, 0, 1], joined)
    np.testing.assert_array_equal(back.log_scale, state.log_scale)
