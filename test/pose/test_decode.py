"""Decoding: targets decode to the people they were made from; pieces against slow references."""

import numpy as np
import pytest
import torch

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
    return StageOutput(targets.joints, targets.limbs)


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


def test_limb_scores_equal_a_plain_bilinear_walk():
    rng = np.random.default_rng(3)
    fields = rng.normal(size=(26, 9, 11)).astype(np.float32)
    cells = rng.uniform(1, 7, size=(14, 3, 2)).astype(np.float32)
    got = limb_scores(torch.from_numpy(fields), torch.from_numpy(cells), 10).numpy()

    def at(plane, x, y):
        x0, y0 = int(x), int(y)
        fx, fy = x - x0, y - y0
        top = plane[y0, x0] * (1 - fx) + plane[y0, x0 + 1] * fx
        bottom = plane[y0 + 1, x0] * (1 - fx) + plane[y0 + 1, x0 + 1] * fx
        return top * (1 - fy) + bottom * fy

    for limb, (a, b) in enumerate(LIMBS):
        for i in range(3):
            for j in range(3):
                vector = cells[b, j] - cells[a, i]
                unit = vector / np.linalg.norm(vector)
                total = 0.0
                for step in np.linspace(0, 1, 10):
                    x, y = cells[a, i] + step * vector
                    total += unit[0] * at(fields[2 * limb], x, y)
                    total += unit[1] * at(fields[2 * limb + 1], x, y)
                assert got[limb, i, j] == pytest.approx(total / 10, abs=1e-5)


def test_nobody_gets_a_second_joint_of_a_kind():
    score = np.zeros((14, 2), np.float32)
    score[:, 0] = 0.9
    score[Joint.LEFT_KNEE, 1] = 0.8
    limbs = np.full((13, 2, 2), 0.9, np.float32)
    index, mean = assemble(score, limbs, CONFIG)
    assert len(index) == 1
    assert (index >= 0).all()
    assert mean[0] == pytest.approx(0.9, abs=0.01)
