"""The pose network as it is deployed: bytes in, the maps of the last stage out."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from action_recognition.pose.heads import PIXEL_MEAN, PIXEL_STD, PoseNetwork, StageOutput

#: (n, h, w, 3) BGR pixels, h and w multiples of 8.
Images = npt.NDArray[np.uint8]


class Deployed(nn.Module):
    """A `PoseNetwork` that takes images as they come, without batch normalisations.

    The order of the channels and their standard deviation are folded into the first convolution.
    Their mean is not: it has to be subtracted before the image is padded with zeros.

    Args:
        network: trained; it is copied.
        half: compute in float16; bytes go in and float32 comes out all the same.
    """

    mean: Tensor

    def __init__(self, network: PoseNetwork, half: bool = False) -> None:
        super().__init__()
        self.half_precision = half
        self.network = fuse(deepcopy(network).eval()).requires_grad_(False)
        self.register_buffer('mean', torch.tensor(PIXEL_MEAN).flip(0))
        first = next(m for m in self.network.modules() if isinstance(m, nn.Conv2d))
        first.weight.copy_((first.weight / torch.tensor(PIXEL_STD).view(3, 1, 1)).flip(1))
        if half:
            self.network.half()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> StageOutput:
        """(n, h, w, 3) uint8 BGR, h and w multiples of 8, to float32 maps of the last stage."""
        x = (images.float() - self.mean).permute(0, 3, 1, 2)
        if self.half_precision:
            joints, limbs = self.network(x.half())[-1]
            return StageOutput(joints.float(), limbs.float())
        return self.network(x)[-1]


def fuse(network: PoseNetwork) -> PoseNetwork:
    """Fold every batch normalisation into the convolution before it: same result, less work."""
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for i, (first, second) in enumerate(pairwise(list(module))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[i], module[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network
