"""What runs the pose network: one interface, whatever computes behind it."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from action_recognition.pose.heads import PoseNetwork, StageOutput, normalise, place

#: (n, h, w, 3) BGR pixels, h and w multiples of 8.
Images = npt.NDArray[np.uint8]


class Runtime(Protocol):
    """The network of one weights file, ready to run on one device.

    Attributes:
        name: what computes and in which precision, for logs and diagnostics.
        device: where, e.g. 'cpu' or 'cuda:0'.
    """

    name: str
    device: str

    def __call__(self, images: Images) -> StageOutput:
        """The maps of the last deployed stage, float32 on the device, for (n, h, w, 3) uint8 BGR
        images whose sides are multiples of 8. They hold until the next call.
        """

    def close(self) -> None:
        """Give back the memory of the device; the runtime cannot be used after."""


class TorchRuntime:
    """The network in PyTorch."""

    def __init__(self, network: PoseNetwork, device: torch.device) -> None:
        self.name = 'torch'
        self.device = str(device)
        self._device = device
        self._network: PoseNetwork | None = place(fuse(network.eval()), device)

    @torch.inference_mode()
    def __call__(self, images: Images) -> StageOutput:
        if self._network is None:
            raise RuntimeError('the estimator is closed')
        return self._network(normalise(torch.from_numpy(images).to(self._device)))[-1]

    def close(self) -> None:
        """Give back the memory of the device; the runtime cannot be used after."""
        self._network = None
        if self._device.type == 'cuda':
            torch.cuda.empty_cache()


def fuse(network: PoseNetwork) -> PoseNetwork:
    """Fold every batch normalisation into the convolution before it: same result, less work."""
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for i, (first, second) in enumerate(pairwise(list(module))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[i], module[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network
