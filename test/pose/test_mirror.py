"""Flip test: the mirror image's answer, turned back, is added to the image's own."""

import numpy as np
import pytest
import torch

from action_recognition.pose.heads import StageOutput
from action_recognition.pose.mirror import merge_mirrored, with_mirrored
from action_recognition.pose.targets import encode
from action_recognition.skeleton import FLIP, NUM_JOINTS

CELLS = (10, 12)
WIDTH = 8 * CELLS[1]


def maps_of(xy):
    """The ideal maps of one person, of images as `with_mirrored` orders them."""
    mirrored = (xy * (-1, 1) + (WIDTH - 1, 0))[list(FLIP)]
    people = torch.from_numpy(np.stack([xy, mirrored])).float()[:, None]
    targets = encode(people, torch.ones(2, 1, dtype=torch.bool), CELLS)
    return StageOutput(targets.joints, targets.limbs)


@pytest.fixture
def xy():
    return np.random.default_rng(0).uniform((5, 5), (WIDTH - 5, 75), (NUM_JOINTS, 2))


def test_with_mirrored():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 16, 3), np.uint8)
    both = with_mirrored(images)
    assert both.shape == (4, 8, 16, 3)
    assert (both[:2] == images).all()
    assert (both[3, :, 0] == images[1, :, -1]).all()
    assert both.flags.c_contiguous  # as runtimes want them


def test_merge_of_ideal_maps_changes_nothing(xy):
    """Left and right, and the x of the fields, are turned back: the two answers agree."""
    maps = maps_of(xy)
    merged = merge_mirrored(maps)
    assert merged.joints.shape == (1, NUM_JOINTS, *CELLS)
    torch.testing.assert_close(merged.joints[0], maps.joints[0])
    torch.testing.assert_close(merged.limbs[0], maps.limbs[0])


def test_merge_is_a_mean(xy):
    maps = maps_of(xy)
    blind = StageOutput(maps.joints.clone(), maps.limbs.clone())
    blind.joints[1], blind.limbs[1] = 0, 0
    merged = merge_mirrored(blind)
    torch.testing.assert_close(merged.joints[0], maps.joints[0] / 2)
    torch.testing.assert_close(merged.limbs[0], maps.limbs[0] / 2)
