"""Decoding: targets decode to the people they were made from; pieces against slow references."""

from itertools import permutations

import numpy as np
import pytest
import torch

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


# The slow way: one cell, one sample, one candidate, one permutation at a time.


def slow_peaks(plane, threshold, count):
    """(x, y, height) of the peaks of one map, highest first."""
    height, width = plane.shape
    log = np.log(np.maximum(plane, 1e-4))
    peaks = []
    for y in range(height):
        for x in range(width):
            value = plane[y, x]
            neighbours = [
                (v, u)
                for v in range(max(y - 1, 0), min(y + 2, height))
                for u in range(max(x - 1, 0), min(x + 2, width))
                if (v, u) != (y, x)
            ]
            if value < threshold or any(
                plane[n] > value or (plane[n] == value and n < (y, x)) for n in neighbours
            ):
                continue
            dx = dy = 0.0
            if 0 < x < width - 1:
                dx = slow_vertex(*log[y, x - 1 : x + 2])
            if 0 < y < height - 1:
                dy = slow_vertex(*log[y - 1 : y + 2, x])
            peaks.append((x + dx, y + dy, min(value, 1.0)))
    return sorted(peaks, key=lambda peak: -peak[2])[:count]


def slow_vertex(before, middle, after):
    return np.clip((after - before) / (2 * max(2 * middle - before - after, 1e-3)), -0.5, 0.5)


def slow_limb_scores(fields, cells, samples):
    """(13, k, k) means of the fields along the lines; outside the maps the fields are 0."""
    height, width = fields.shape[1:]

    def at(plane, x, y):
        total = 0.0
        for v in (int(np.floor(y)), int(np.floor(y)) + 1):
            for u in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= u < width and 0 <= v < height:
                    total += plane[v, u] * (1 - abs(x - u)) * (1 - abs(y - v))
        return total

    count = cells.shape[1]
    out = np.zeros((13, count, count))
    for limb, (a, b) in enumerate(LIMBS):
        for i in range(count):
            for j in range(count):
                vector = cells[b, j] - cells[a, i]
                unit = vector / max(np.linalg.norm(vector), 1e-3)
                for step in np.linspace(0, 1, samples):
                    x, y = cells[a, i] + step * vector
                    out[limb, i, j] += unit[0] * at(fields[2 * limb], x, y) / samples
                    out[limb, i, j] += unit[1] * at(fields[2 * limb + 1], x, y) / samples
    return out


def slow_matching(gain):
    """The pairs (row, column) with the largest sum, by trying them all."""
    turned = gain.shape[0] > gain.shape[1]
    wide = gain.T if turned else gain
    best = max(
        permutations(range(wide.shape[1]), wide.shape[0]),
        key=lambda columns: sum(wide[row, column] for row, column in enumerate(columns)),
    )
    return [(column, row) if turned else (row, column) for row, column in enumerate(best)]


def slow_decode(joints, limbs, config):
    """The people of one image as rows of {joint: (x, y, score)}."""
    peaks = [slow_peaks(plane, config.joint_threshold, config.max_people) for plane in joints]
    count = max(1, *map(len, peaks))
    cells = np.zeros((14, count, 2))
    for joint, found in enumerate(peaks):
        for k, (x, y, _) in enumerate(found):
            cells[joint, k] = x, y
    strength = slow_limb_scores(limbs, cells, config.samples)
    links = []
    for limb, (a, b) in enumerate(LIMBS):
        gain = strength[limb, : len(peaks[a]), : len(peaks[b])]
        gain = np.where(gain >= config.limb_threshold, gain, 0)
        links += [(gain[i, j], (a, i), (b, j)) for i, j in slow_matching(gain)]
    people = [{(joint, k)} for joint in range(14) for k in range(len(peaks[joint]))]
    for value, first, second in sorted(links, reverse=True):
        one = next(person for person in people if first in person)
        two = next(person for person in people if second in person)
        if value >= config.limb_threshold and not {j for j, _ in one} & {j for j, _ in two}:
            people = [p for p in people if p is not one and p is not two] + [one | two]
    rows, taken = [], set()
    for person in people:
        row = {}
        for joint, k in person:
            x, y, score = peaks[joint][k]
            row[joint] = 8 * x + 3.5, 8 * y + 3.5, score
        mean = np.mean([score for _, _, score in row.values()])
        if len(row) >= config.min_joints and mean >= config.min_score:
            rows.append(row)
            taken |= person
    spots = []
    for row in rows:
        box = np.array([(x, y) for x, y, _ in row.values()])
        spots.append((box.mean(0), 0.7 * (box.max(0) - box.min(0)).max()))
    for joint in range(14):
        for k, (x, y, score) in enumerate(peaks[joint]):
            place = np.array([8 * x + 3.5, 8 * y + 3.5])
            distances = [
                np.linalg.norm(place - middle) / reach if joint not in row else np.inf
                for row, (middle, reach) in zip(rows, spots, strict=True)
            ]
            if (joint, k) not in taken and min(distances, default=1) < 1:
                rows[int(np.argmin(distances))][joint] = (*place, score)
    for row in rows:
        for name in ('SHOULDER', 'ELBOW', 'WRIST', 'HIP', 'KNEE', 'ANKLE'):
            slow_part(rows, row, Joint[f'RIGHT_{name}'], Joint[f'LEFT_{name}'], peaks)
    return rows


def slow_part(rows, row, right, left, peaks):
    """Two places for a right and a left joint of a person that are within a cell of each other."""
    if right not in row or left not in row or slow_distance(row[right], row[left]) >= 8:
        return
    choices = {}
    for joint in (right, left):
        held = [other[joint] for other in rows if other is not row and joint in other]
        places = [(8 * x + 3.5, 8 * y + 3.5, score) for x, y, score in peaks[joint]]
        choices[joint] = [p for p in places if p not in held and p[2] >= 0.8 * row[joint][2]]
    pairs = [
        (one[2] + two[2], one, two)
        for one in choices[right]
        for two in choices[left]
        if slow_distance(one, two) > 12
    ]
    if pairs:
        _, row[right], row[left] = max(pairs)


def slow_distance(one, two):
    return np.hypot(one[0] - two[0], one[1] - two[1])


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
