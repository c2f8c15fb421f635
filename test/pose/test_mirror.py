"""Flip test: the mirror image's answer, turned back, is added to the image's own."""

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

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


class Called(TorchFunctionMode):
    """Notes what is called in torch, `functions`."""

    def __init__(self):
        super().__init__()
        self.functions = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.functions.add(func)
        return func(*args, **kwargs or {})


def test_no_numbers_of_python_are_handed_to_the_device_in_every_image(xy):
    """`tensor` and an index of numbers have a GPU waited for."""
    maps = maps_of(xy)
    merge_mirrored(maps)
    with Called() as called:
        merge_mirrored(maps)
    assert torch.Tensor.flip in called.functions
    assert not called.functions & {torch.tensor, torch.as_tensor, torch.Tensor.__getitem__}


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_is_not_waited_for(xy):
    maps = StageOutput(*(part.cuda() for part in maps_of(xy)))
    merge_mirrored(maps)
    try:
        torch.cuda.set_sync_debug_mode('error')
        merged = merge_mirrored(maps)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.testing.assert_close(merged.joints[0], maps.joints[0])
    torch.testing.assert_close(merged.limbs[0], maps.limbs[0])
