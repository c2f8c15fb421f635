"""Flip test: an image and its mirror image answered together."""

from __future__ import annotations

import numpy as np
import torch

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
    fields = mirrored_limbs.flip(-1).unflatten(1, (len(LIMBS), 2))[:, FLIPPED_LIMBS]
    towards = torch.tensor((-1.0, 1.0), device=fields.device).view(2, 1, 1)
    return StageOutput(
        (joints + mirrored_joints.flip(-1)[:, FLIP]) / 2,
        (limbs + (fields * towards).flatten(1, 2)) / 2,
    )
