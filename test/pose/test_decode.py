"""Decoding: targets decode to the people they were made from; pieces against slow references."""

import numpy as np
import pytest
import torch
from slow_decode import slow_decode, slow_limb_scores

from action_recognition.pose import decode as decoding
from action_recognition.pose.decode import DecoderConfig, assemble, decode, find_peaks, limb_scores
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.targets import encode
from action_recognition.skeleton import LIMBS, Joint

CONFIG = DecoderConfig()
PERSON = np.array(
    [
        *[(50, 20), (50, 40), (35, 40), (28, 65), (25, 90), (65, 40), (72, 65), (75, 90)],
        *[(42, 95), (40, 130), (40, 165), (58, 95), (60, 130), (60, 165)],
    ],
    np.float32,
)


def maps_of(*people, cells=(28, 28)):
    labelled = torch.ones(1, len(people), dtype=torch.bool)
    targets = encode(torch.from_numpy(np.stack(people))[None], labelled, cells)
    return StageOutput(targets.joints.float(), targets.limbs.float())


def decode_one(output):
    (people,) = decode(output, CONFIG)
    return people


def by_left(xy):
    """People from left to right."""
    return xy[np.argsort(np.nanmean(xy[..., 0], 1))]


def test_one_person_comes_back_within_a_hundredth_of_a_pixel():
    xy, score = decode_one(maps_of(PERSON))
    assert xy.shape == (1, 14, 2)
    np.testing.assert_allclose(xy[0], PERSON, atol=0.01)
    assert (score > 0.7).all()


@pytest.mark.parametrize('count', [2, 3])
def test_people_side_by_side_come_back(count):
    people = [PERSON * 0.8 + (70 * i, 8 * i) for i in range(count)]
    xy, _ = decode_one(maps_of(*people))
    np.testing.assert_allclose(by_left(xy), people, atol=0.5)


def test_arms_that_reach_across_stay_with_their_owner():
    left, right = PERSON * 0.8, PERSON * 0.8 + (70, 0)
    left[Joint.LEFT_WRIST] = (90, 50)
    right[Joint.RIGHT_WRIST] = (70, 66)
    xy, _ = decode_one(maps_of(left, right))
    np.testing.assert_allclose(by_left(xy), [left, right], atol=1.0)


def test_joint_that_is_not_there_is_nan_with_score_zero():
    person = PERSON.copy()
    person[[Joint.NOSE, Joint.LEFT_ANKLE]] = np.nan
    xy, score = decode_one(maps_of(person))
    np.testing.assert_array_equal(np.isnan(xy[0, :, 0]), np.isnan(person[:, 0]))
    np.testing.assert_array_equal(score[0] == 0, np.isnan(person[:, 0]))


def test_images_of_a_batch_are_decoded_each_by_itself():
    one, two = maps_of(PERSON), maps_of(PERSON * 0.8, PERSON * 0.8 + (70, 8))
    batch = StageOutput(*(torch.cat(pair) for pair in zip(one, two, strict=True)))
    for got, alone in zip(decode(batch, CONFIG), (one, two), strict=True):
        for a, b in zip(got, decode_one(alone), strict=True):
            np.testing.assert_array_equal(a, b)


def test_nobody_gives_no_one():
    xy, score = decode_one(StageOutput(torch.zeros(1, 14, 28, 28), torch.zeros(1, 26, 28, 28)))
    assert xy.shape == (0, 14, 2)
    assert score.shape == (0, 14)


def without_limb(output, limb):
    output.limbs[:, 2 * limb : 2 * limb + 2] = 0
    return output


def test_joint_to_which_no_limb_leads_goes_to_the_person_round_it():
    forearm = LIMBS.index((Joint.LEFT_ELBOW, Joint.LEFT_WRIST))
    left, right = PERSON * 0.8, PERSON * 0.8 + (70, 0)
    xy, _ = decode_one(without_limb(maps_of(left, right), forearm))
    np.testing.assert_allclose(by_left(xy), [left, right], atol=1)


def test_joint_far_from_everybody_stays_alone():
    person = PERSON.copy()
    person[Joint.LEFT_WRIST] = (215, 215)
    forearm = LIMBS.index((Joint.LEFT_ELBOW, Joint.LEFT_WRIST))
    _, score = decode_one(without_limb(maps_of(person), forearm))
    assert np.flatnonzero(score[0] == 0).tolist() == [Joint.LEFT_WRIST]


def test_joint_that_somebody_has_is_not_given_twice():
    left, right = PERSON * 0.8, PERSON * 0.8 + (70, 0)
    left[Joint.LEFT_WRIST] = np.nan
    xy, _ = decode_one(maps_of(left, right))
    np.testing.assert_allclose(by_left(xy), [left, right], atol=1)


def test_fragment_of_a_person_is_dropped():
    person = PERSON.copy()
    person[CONFIG.min_joints - 1 :] = np.nan
    xy, _ = decode_one(maps_of(person))
    assert len(xy) == 0


def test_more_complete_person_comes_first():
    half = PERSON + np.float32([100, 0])
    half[8:] = np.nan
    xy, _ = decode_one(maps_of(half, PERSON))
    np.testing.assert_allclose(xy[0], PERSON, atol=0.5)


def test_maps_that_are_not_square():
    xy, _ = decode_one(maps_of(PERSON, cells=(24, 32)))
    np.testing.assert_allclose(xy[0], PERSON, atol=0.01)


def test_peaks_at_the_border_and_at_the_corner_are_found():
    maps = torch.zeros(1, 6, 8)
    maps[0, 0, 0], maps[0, 5, 4] = 0.9, 0.8
    peaks = find_peaks(maps, 0.1, 4)
    np.testing.assert_allclose(peaks.score[0], [0.9, 0.8, 0, 0])
    np.testing.assert_allclose(peaks.cells[0, 0], (0, 0))
    np.testing.assert_allclose(peaks.cells[0, 1], (4, 5))


def test_of_equal_neighbours_one_is_the_peak():
    maps = torch.zeros(1, 6, 8)
    maps[0, 2, 3:5] = 0.9  # side by side
    maps[0, 4:6, 6] = 0.8  # one above the other
    maps[0, 0, 0] = maps[0, 1, 1] = 0.7  # across a corner
    peaks = find_peaks(maps, 0.1, 6)
    np.testing.assert_allclose(peaks.score[0], [0.9, 0.8, 0.7, 0, 0, 0])
    np.testing.assert_allclose(peaks.cells[0, :3], [(3.5, 2), (6, 4.5), (0, 0)], atol=1e-6)


def test_limb_scores_equal_a_plain_bilinear_walk():
    rng = np.random.default_rng(3)
    fields = rng.normal(size=(26, 9, 11)).astype(np.float32)
    cells = rng.uniform(-0.5, 8.5, size=(14, 3, 2)).astype(np.float32)
    got = limb_scores(torch.from_numpy(fields)[None], torch.from_numpy(cells)[None], 10)[0]
    np.testing.assert_allclose(got, slow_limb_scores(fields, cells, 10), atol=1e-5)


def test_nobody_gets_a_second_joint_of_a_kind():
    score = np.zeros((14, 2), np.float32)
    score[:, 0] = 0.9
    score[Joint.LEFT_KNEE, 1] = 0.8
    limbs = np.full((13, 2, 2), 0.9, np.float32)
    index = assemble(np.zeros((14, 2, 2)), score, limbs, CONFIG)
    assert len(index) == 1
    assert (index == 0).all()


def test_no_more_people_than_asked_for_however_many_pieces_there_are():
    """Without a neck an arm and a leg are pieces, and each might be a person of few joints."""
    score = np.full((14, 1), 0.9, np.float32)
    score[Joint.NECK] = 0
    score[[Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST]] = 0.95
    limbs = np.full((13, 1, 1), 0.9, np.float32)
    cells = np.stack([np.arange(14) * 1000.0, np.zeros(14)], 1)[:, None]
    found = [
        assemble(cells, score, limbs, DecoderConfig(min_joints=3, max_people=most)).tolist()
        for most in (16, 1)
    ]
    assert [len(people) for people in found] == [4, 1]
    assert found[1] == found[0][:1]
    assert np.flatnonzero(np.array(found[1][0]) == 0).tolist() == [5, 6, 7]


def test_a_limb_is_not_given_up_for_one_that_is_none():
    """The largest sum of all gains would pair both, by two limbs that hardly are."""
    score = np.zeros((14, 2), np.float32)
    score[:, 0] = 0.9
    score[Joint.LEFT_WRIST, 1] = score[Joint.LEFT_ELBOW, 1] = 0.8
    limbs = np.full((13, 2, 2), 0.9, np.float32)
    forearm = LIMBS.index((Joint.LEFT_ELBOW, Joint.LEFT_WRIST))
    limbs[forearm] = [[0.8, 0.1], [0.1, -0.9]]
    index = assemble(np.zeros((14, 2, 2)), score, limbs, CONFIG)
    assert index[0, Joint.LEFT_WRIST] == 0


def wrists(right, left):
    """Place and score of right and left wrist, by the heights of two peaks in the maps of each.

    The places are 27.5 and 75.5 pixels from the left; no limb leads to either.
    """
    person = PERSON.copy()
    person[Joint.RIGHT_WRIST], person[Joint.LEFT_WRIST] = (27.5, 91.5), (75.5, 91.5)
    joints, limbs = maps_of(person)
    one, other = joints[0, Joint.RIGHT_WRIST].clone(), joints[0, Joint.LEFT_WRIST].clone()
    for side, heights in ((Joint.RIGHT_WRIST, right), (Joint.LEFT_WRIST, left)):
        joints[0, side] = torch.maximum(heights[0] * one, heights[1] * other)
        limb = next(k for k, (_, end) in enumerate(LIMBS) if end == side)
        limbs[0, 2 * limb : 2 * limb + 2] = 0
    (xy,), (score,) = decode_one(StageOutput(joints, limbs))
    return [
        (round(float(xy[side, 0]), 1), round(float(score[side]), 2))
        for side in (Joint.RIGHT_WRIST, Joint.LEFT_WRIST)
    ]


def test_left_and_right_that_chose_one_place_get_two():
    assert wrists((0.7, 0.1), (0.1, 0.6)) == [(27.5, 0.7), (75.5, 0.6)]  # each its own
    # Both prefer the first: .7 + .55 is more than .58 + .65.
    assert wrists((0.7, 0.58), (0.65, 0.55)) == [(27.5, 0.7), (75.5, 0.55)]
    assert wrists((0.7, 0.65), (0.65, 0.55)) == [(75.5, 0.65), (27.5, 0.65)]
    # The second peak of neither is a rival: they may well be in one place.
    assert wrists((0.7, 0.5), (0.65, 0.5)) == [(27.5, 0.7), (27.5, 0.65)]


def test_no_place_is_taken_from_somebody_else():
    score = np.zeros((14, 2), np.float32)
    score[:, 0], score[:, 1] = 0.9, 0.8
    cells = np.zeros((14, 2, 2))
    cells[:, 0] = PERSON
    cells[:, 1] = PERSON + np.array([100, 0])
    cells[Joint.LEFT_KNEE, 0] = cells[Joint.RIGHT_KNEE, 0]
    limbs = np.tile(np.eye(2, dtype=np.float32), (13, 1, 1))
    index = assemble(cells, score, limbs, CONFIG)
    assert index.tolist() == [[0] * 14, [1] * 14]


def assert_same_people(people, rows):
    assert len(people.xy) == len(rows)
    assert people.xy.dtype == people.score.dtype == np.float32
    order = np.argsort(np.nanmean(people.xy[..., 0], 1))
    rows = sorted(rows, key=lambda row: np.mean([x for x, _, _ in row.values()]))
    for xy, score, row in zip(people.xy[order], people.score[order], rows, strict=True):
        assert set(np.flatnonzero(score)) == set(row)
        np.testing.assert_array_equal(np.isnan(xy[:, 0]), score == 0)
        for joint, (x, y, height) in row.items():
            np.testing.assert_allclose(xy[joint], (x, y), atol=0.01)
            assert score[joint] == pytest.approx(height, abs=1e-5)


@pytest.mark.parametrize('seed', range(6))
def test_decoding_equals_the_slow_way_on_people_with_missing_joints_and_noise(seed):
    rng = np.random.default_rng(seed)
    people = []
    for i in range(1 + seed % 4):
        person = PERSON * rng.uniform(0.5, 0.9) + (50 * i, rng.uniform(0, 30))
        person = person + rng.normal(0, 3, person.shape)
        person[rng.random(14) < 0.2] = np.nan
        people.append(person.astype(np.float32))
    joints, limbs = maps_of(*people, cells=(20, 32))
    joints = (joints + torch.from_numpy(rng.uniform(0, 0.1, joints.shape))).float()
    limbs = (limbs + torch.from_numpy(rng.normal(0, 0.05, limbs.shape))).float()
    rows = slow_decode(joints[0].numpy(), limbs[0].numpy(), CONFIG)
    assert len(rows) > 0
    assert_same_people(decode_one(StageOutput(joints, limbs)), rows)


@pytest.mark.parametrize('seed', range(4))
def test_decoding_equals_the_slow_way_on_random_maps(seed):
    rng = np.random.default_rng(seed)
    config = DecoderConfig(0.9, 0.02, 5, 3, 0.5, 4)
    joints = rng.uniform(0, 1, (14, 7, 9)).astype(np.float32)
    limbs = rng.normal(0, 0.5, (26, 7, 9)).astype(np.float32)
    rows = slow_decode(joints, limbs, config)
    assert len(rows) > 1
    (people,) = decode(
        StageOutput(torch.from_numpy(joints)[None], torch.from_numpy(limbs)[None]), config
    )
    assert_same_people(people, rows)


def test_decoding_equals_the_slow_way_on_maps_in_steps():
    """Half-precision maps have few heights, and so neighbours that are equally high."""
    person = PERSON + np.float32(0.5)  # midway between cells
    joints, limbs = maps_of(person, person * 0.8 + (110, 4))
    joints = (joints * 16).round() / 16
    rows = slow_decode(joints[0].numpy(), limbs[0].numpy(), CONFIG)
    assert len(rows) == 2
    assert_same_people(decode_one(StageOutput(joints, limbs)), rows)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_decoding_on_a_gpu_is_that_on_the_cpu():
    output = maps_of(PERSON * 0.8, PERSON * 0.8 + (70, 8))
    (people,) = decode(StageOutput(*(maps.cuda() for maps in output)), CONFIG)
    for got, want in zip(people, decode_one(output), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-3)


def test_decoding_uses_one_thread_and_leaves_the_number_as_it_was(monkeypatch):
    inside = []

    def find(*args):
        inside.append(torch.get_num_threads())
        return find_peaks(*args)

    monkeypatch.setattr(decoding, 'find_peaks', find)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        decode(StageOutput(torch.zeros(1, 14, 6, 6), torch.zeros(1, 26, 6, 6)), DecoderConfig())
        assert (inside, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
