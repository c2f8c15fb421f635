"""Flip test: an image and its mirror image answered together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from action_recognition.pose.deployed import Images
from action_recognition.pose.heads import StageOutput
from action_recognition.skeleton import FLIP, LIMBS

#: For each limb the one on the other side, from the same end.
FLIPPED_LIMBS = tuple(LIMBS.index((FLIP[start], FLIP[end])) for start, end in LIMBS)


def with_mirrored(images: Images) -> Images:
    """(n, h, w, 3) images and after them their mirror images, (2n, h, w, 3)."""
    return np.concatenate([images, images[:, :, ::-1]])


def merge_mirrored(output: StageOutput) -> StageOutput:
    """The mean of what a network says of n images and of their mirror images.

    Args:
        output: (2n, 14, h, w) confidence maps and (2n, 26, h, w) affinity fields of images as
            `with_mirrored` orders them.

    Returns:
        (n, 14, h, w) and (n, 26, h, w). In the mirror left is right, and the fields' x runs the
        other way.
    """
    joints, mirrored_joints = output.joints.chunk(2)
    limbs, mirrored_limbs = output.limbs.chunk(2)
    flipped_joints, flipped_channels, towards = _constants(output.joints.device)
    mirrored_joints = mirrored_joints.flip(-1).index_select(1, flipped_joints)
    mirrored_limbs = mirrored_limbs.flip(-1).index_select(1, flipped_channels) * towards
    return StageOutput((joints + mirrored_joints) / 2, (limbs + mirrored_limbs) / 2)


@lru_cache
@torch.inference_mode(False)  # what is kept must be of use outside as well
def _constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of the other side, and the signs of the fields: made once on a device.

    Anything that is handed over in every image has a GPU waited for.
    """
    joints, limbs = (torch.tensor(order, device=device) for order in (FLIP, FLIPPED_LIMBS))
    channels = torch.stack([2 * limbs, 2 * limbs + 1], 1).flatten()
    return joints, channels, torch.tensor([-1.0, 1.0] * len(LIMBS), device=device).view(-1, 1, 1)
