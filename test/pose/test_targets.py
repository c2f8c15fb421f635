"""Targets against plain loops over cells, and the loss against equations (1)-(3)."""

import math

import numpy as np
import pytest
import torch

from action_recognition.pose.heads import StageOutput
from action_recognition.pose.targets import (
    ELSEWHERE,
    LIMB_WIDTH,
    PEAK_WEIGHT,
    SIGMA,
    encode,
    loss,
    to_cells,
    to_pixels,
)
from action_recognition.skeleton import LIMBS, Joint

SIZE = 224
CELLS = (28, 28)


@pytest.fixture
def person():
    """One standing person, (14, 2) pixels."""
    return np.array(
        [
            *[(50, 20), (50, 40), (35, 40), (28, 65), (25, 90), (65, 40), (72, 65), (75, 90)],
            *[(42, 95), (40, 130), (40, 165), (58, 95), (60, 130), (60, 165)],
        ],
        np.float32,
    )


def encode_people(*people):
    labelled = torch.ones(1, len(people), dtype=torch.bool)
    return encode(torch.from_numpy(np.stack(people))[None], labelled, CELLS)


def cell_centres():
    for row in range(CELLS[0]):
        for column in range(CELLS[1]):
            yield row, column, 8 * column + 3.5, 8 * row + 3.5


def test_cells_and_pixels_are_inverse_and_centred():
    assert to_pixels(torch.tensor(0.0)) == 3.5  # the middle of pixels 0 to 7
    pixels = torch.tensor([0.0, 3.5, 100.0])
    torch.testing.assert_close(to_pixels(to_cells(pixels)), pixels)


def test_confidence_maps_are_the_greatest_gaussian_of_any_person(person):
    people = [person, person + np.float32([100, 20])]
    maps = encode_people(*people).joints[0].numpy()
    want = np.zeros_like(maps)
    for row, column, x, y in cell_centres():
        for joint in range(14):
            want[joint, row, column] = max(
                math.exp(-(math.dist((x, y), p[joint]) ** 2) / (2 * (8 * SIGMA) ** 2))
                for p in people
            )
    np.testing.assert_allclose(maps, want, atol=1e-5)


def test_affinity_fields_are_the_mean_unit_vector_of_the_limbs_through_a_cell(person):
    people = [person, person + np.float32([20, 5])]
    fields = encode_people(*people).limbs[0].numpy().reshape(len(LIMBS), 2, *CELLS)
    want = np.zeros_like(fields)
    for limb, (a, b) in enumerate(LIMBS):
        for row, column, x, y in cell_centres():
            vectors = []
            for p in people:
                vector = p[b] - p[a]
                length = np.linalg.norm(vector)
                unit = vector / length
                offset = (x, y) - p[a]
                along, across = offset @ unit, offset[0] * unit[1] - offset[1] * unit[0]
                if -4 <= along <= length + 4 and abs(across) <= 8 * LIMB_WIDTH:
                    vectors.append(unit)
            if vectors:
                want[limb, :, row, column] = np.mean(vectors, 0)
    np.testing.assert_allclose(fields, want, atol=1e-5)


def test_weight_is_full_near_the_person_small_elsewhere_and_greatest_at_the_peak(person):
    targets = encode_people(person)
    weight = targets.joint_weight[0]
    peak = 1 + PEAK_WEIGHT * targets.joints[0]
    torch.testing.assert_close(weight[:, 12, 6], peak[:, 12, 6])
    torch.testing.assert_close(weight[:, 2, 26], ELSEWHERE * peak[:, 2, 26])
    assert weight[Joint.NECK, 5, 6] > 4  # the neck is at (50, 40), in cell (5, 6)


def test_unlabelled_joint_has_no_weight_near_its_person_in_its_own_maps(person):
    person[Joint.RIGHT_WRIST] = np.nan
    targets = encode_people(person)
    near = (12, 6)
    assert targets.joint_weight[0, Joint.RIGHT_WRIST][near] == 0
    assert targets.joint_weight[0, Joint.RIGHT_ELBOW][near] >= 1
    forearm = LIMBS.index((Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST))
    assert (targets.limb_weight[0, 2 * forearm : 2 * forearm + 2, 12, 6] == 0).all()
    assert not targets.joints[0, Joint.RIGHT_WRIST].any()
    assert not targets.limbs[0, 2 * forearm : 2 * forearm + 2].any()


def test_labelled_joint_counts_where_another_persons_is_missing(person):
    other = person + np.float32([8, 0])
    other[Joint.RIGHT_WRIST] = np.nan
    weight = encode_people(person, other).joint_weight[0, Joint.RIGHT_WRIST]
    x, y = person[Joint.RIGHT_WRIST]
    assert weight[round((y - 3.5) / 8), round((x - 3.5) / 8)] > 1
    assert weight[8, 8] == 0


def test_rows_without_a_person_change_nothing(person):
    alone = encode_people(person)
    nobody = np.full_like(person, np.nan)
    people = torch.from_numpy(np.stack([person, nobody]))[None]
    padded = encode(people, torch.tensor([[True, False]]), CELLS)
    for got, want in zip(padded, alone, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize('limb_weight', [1.0, 0.3])
def test_loss_is_the_weighted_squared_error_summed_over_stages(person, limb_weight):
    person[Joint.LEFT_ANKLE] = np.nan
    targets = encode_people(person)
    rng = np.random.default_rng(0)
    stages = [
        StageOutput(
            torch.from_numpy(rng.normal(size=(1, 14, *CELLS)).astype(np.float32)),
            torch.from_numpy(rng.normal(size=(1, 26, *CELLS)).astype(np.float32)),
        )
        for _ in range(3)
    ]
    weights = torch.from_numpy(rng.uniform(0.5, 2, 14).astype(np.float32))
    want = 0.0
    for stage in stages:
        for j in range(14):
            error = (stage.joints[0, j].double() - targets.joints[0, j]) ** 2
            want += weights[j].item() * (targets.joint_weight[0, j] * error).sum().item()
        for c in range(26):
            a, b = LIMBS[c // 2]
            error = (stage.limbs[0, c].double() - targets.limbs[0, c]) ** 2
            mean = (weights[a].item() + weights[b].item()) / 2
            want += limb_weight * mean * (targets.limb_weight[0, c] * error).sum().item()
    got = loss(stages, targets, weights, limb_weight)
    assert got.item() == pytest.approx(want, rel=1e-5)


def test_loss_of_the_targets_themselves_is_zero(person):
    targets = encode_people(person)
    assert loss([StageOutput(targets.joints, targets.limbs)], targets, torch.ones(14)) == 0


def test_an_empty_image_says_so_everywhere(person):
    xy = torch.from_numpy(np.stack([person, person]))[:, None].clone()
    xy[1] = torch.nan
    labelled = torch.tensor([[True], [False]])
    targets = encode(xy, labelled, CELLS)
    assert (targets.joint_weight[0] == ELSEWHERE).any()
    for maps, weight in (
        (targets.joints, targets.joint_weight),
        (targets.limbs, targets.limb_weight),
    ):
        assert (maps[1] == 0).all()
        assert (weight[1] == 1).all()
