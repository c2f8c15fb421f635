"""Whose left and right are doubted, by a network that sees the true places."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from action_recognition.datasets.people import MIN_JOINTS, Person
from action_recognition.evaluation.pose import fit_square
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.targets import encode
from action_recognition.skeleton import FLIP
from action_recognition.training.pose_sides import (
    ARMS,
    LEGS,
    MARGIN,
    evidence,
    without_doubtful_sides,
)

SIZE = 128
#: A person seen from the front, in an image of 240x220 pixels.
XY = np.array(
    [
        *[(110, 30), (110, 60), (80, 60), (60, 90), (40, 120), (140, 60), (160, 90), (180, 120)],
        *[(90, 130), (85, 170), (80, 210), (130, 130), (135, 170), (140, 210)],
    ],
    np.float32,
)


def person(xy):
    image = np.full((240, 220, 3), 90, np.uint8)
    return Person(cv2.imencode('.png', image)[1].tobytes(), xy)


def maps_of(xy):
    labelled = torch.ones(1, 1, dtype=torch.bool)
    return encode(torch.from_numpy(xy)[None, None], labelled, (SIZE // 8, SIZE // 8))


class Seer(nn.Module):
    """Says the true places in every image, and in the mirrored second half of a batch."""

    def forward(self, image):
        _, xy = fit_square(person(XY), SIZE)
        mirrored = xy[list(FLIP)] * (-1, 1) + (SIZE - 1, 0)
        truth, other = (maps_of(p.astype(np.float32)) for p in (xy, mirrored))
        half = len(image) // 2
        joints = torch.cat([truth.joints] * half + [other.joints] * half)
        limbs = torch.cat([truth.limbs] * half + [other.limbs] * half)
        return [StageOutput(joints, limbs)]


def exchanged(*groups):
    xy = XY.copy()
    for group in groups:
        xy[list(group)] = XY[[FLIP[j] for j in group]]
    return xy


def without(xy, joints):
    out = xy.copy()
    out[list(joints)] = np.nan
    return out


@pytest.mark.parametrize(
    ('groups', 'doubtful'),
    [((), (0, 0)), ((ARMS,), (1, 0)), ((LEGS,), (0, 1)), ((ARMS, LEGS), (1, 1))],
)
def test_exchanged_sides_are_left_out(groups, doubtful):
    people = [person(XY), person(exchanged(*groups)), person(XY)]
    kept, which = without_doubtful_sides(people, Seer(), torch.device('cpu'), SIZE, batch=2)
    assert which.tolist() == [[False, False], [bool(d) for d in doubtful], [False, False]]
    np.testing.assert_array_equal(kept[0].xy, XY)
    if len(groups) == 2:  # hardly a joint is left
        assert len(kept) == 2
    else:
        gone = [joint for group in groups for joint in group]
        np.testing.assert_array_equal(kept[1].xy, without(exchanged(*groups), gone))


def test_somebody_with_hardly_a_joint_left_is_left_out():
    few = without(exchanged(ARMS), LEGS[: 6 - (MIN_JOINTS - 3)])
    kept, which = without_doubtful_sides([person(few)], Seer(), torch.device('cpu'), SIZE)
    assert which.tolist() == [[True, False]]
    assert kept == []


def test_evidence_is_the_mean_over_the_labelled_joints():
    _, xy = fit_square(person(XY), SIZE)
    maps = maps_of(xy).joints
    # Truth: at every joint its own map is near 1 and, this far apart, the other side's near 0.
    assert (evidence(maps, torch.from_numpy(xy)[None]) > 0.5).all()
    half = xy.copy()
    half[list(ARMS[:3])] = xy[list(ARMS[3:])]  # the right arm is labelled at the left one
    half[list(ARMS[3:])] = np.nan
    arms, legs = evidence(maps, torch.from_numpy(half)[None])[0]
    assert arms < -MARGIN
    assert legs > 0.5
    nobody = torch.full((1, 14, 2), torch.nan)
    assert evidence(maps, nobody).tolist() == [[0, 0]]
