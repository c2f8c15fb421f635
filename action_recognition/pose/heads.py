"""The paper's Pose module: two branches, six stages (section 3.2, Figure 2)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from action_recognition.pose.backbone import Backbone, conv_bn, separable
from action_recognition.skeleton import LIMBS, NUM_JOINTS

#: Stages of the paper.
STAGES = 6
#: Channels of branch L: a unit vector (x, y) for each limb.
LIMB_CHANNELS = 2 * len(LIMBS)
#: Width of the heads; with it the six stages and the backbone have 1.96 M parameters, three 1.49 M.
WIDTH = 128


class StageOutput(NamedTuple):
    """What one stage says.

    Attributes:
        joints: (n, 14, h, w) confidence maps S.
        limbs: (n, 26, h, w) part affinity fields L, x and y of limb 0, of limb 1, ...
    """

    joints: Tensor
    limbs: Tensor


def branch(inputs: int, outputs: int) -> nn.Sequential:
    """Three separable 3x3 convolutions and a two-layer pointwise read-out."""
    return nn.Sequential(
        separable(inputs, WIDTH),
        separable(WIDTH, WIDTH),
        separable(WIDTH, WIDTH),
        *conv_bn(WIDTH, WIDTH, 1),
        nn.Conv2d(WIDTH, outputs, 1),
    )


class PoseNetwork(nn.Module):
    """Backbone, a pointwise reduction of its features, and the stages of both branches.

    Stage 1 sees the features; every later stage sees the features and both branches of the
    stage before, so a joint can be placed by where its neighbours are.

    Args:
        stages: how many stages to build; fewer are faster and a little less accurate.

    Raises:
        ValueError: stages is not from 1 to the 6 of the paper.
    """

    def __init__(self, stages: int = STAGES) -> None:
        super().__init__()
        if not 1 <= stages <= STAGES:
            raise ValueError(f'stages must be from 1 to {STAGES}, not {stages}')
        self.backbone = Backbone()
        self.reduce = nn.Sequential(*conv_bn(Backbone.channels, WIDTH, 1))
        seen = [WIDTH] + [WIDTH + NUM_JOINTS + LIMB_CHANNELS] * (stages - 1)
        self.joint_stages = nn.ModuleList(branch(n, NUM_JOINTS) for n in seen)
        self.limb_stages = nn.ModuleList(branch(n, LIMB_CHANNELS) for n in seen)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
                if module.bias is not None:
                    # Read-outs start near the background they mostly predict.
                    nn.init.normal_(module.weight, std=0.01)
                    nn.init.zeros_(module.bias)

    def keep_stages(self, stages: int) -> None:
        """Drop the stages after the first `stages`: each stage is trained to stand alone."""
        self.joint_stages = self.joint_stages[:stages]
        self.limb_stages = self.limb_stages[:stages]

    def forward(self, image: Tensor) -> list[StageOutput]:
        """(n, 3, h, w) normalised RGB, h and w multiples of 8, to the output of every stage."""
        features = self.reduce(self.backbone(image))
        outputs: list[StageOutput] = []
        x = features
        for joints, limbs in zip(self.joint_stages, self.limb_stages, strict=True):
            outputs.append(StageOutput(joints(x), limbs(x)))
            x = torch.cat([features, *outputs[-1]], 1)
        return outputs


def place(network: PoseNetwork, device: torch.device) -> PoseNetwork:
    """Move a network to a device, in the memory layout that separable convolutions run best in."""
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


#: Mean and standard deviation of the RGB channels (ImageNet's), in [0, 255].
PIXEL_MEAN = (123.7, 116.3, 103.5)
PIXEL_STD = (58.4, 57.1, 57.4)


@lru_cache
@torch.inference_mode(False)  # what is kept must be of use in training as well
def _pixel_statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation as (3, 1, 1), made once on a device."""
    mean, std = torch.tensor([PIXEL_MEAN, PIXEL_STD], device=device)[..., None, None]
    return mean, std


def normalise(image: Tensor) -> Tensor:
    """(n, h, w, 3) uint8 BGR to (n, 3, h, w) float32 normalised RGB, channels last."""
    mean, std = _pixel_statistics(image.device)
    rgb = image.flip(-1).permute(0, 3, 1, 2).float()
    return ((rgb - mean) / std).contiguous(memory_format=torch.channels_last)
