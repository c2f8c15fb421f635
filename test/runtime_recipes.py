"""What the tests of runtimes share: images, the maps to expect, and a runtime that is off."""

from __future__ import annotations

import numpy as np
import torch

from action_recognition.pose.heads import StageOutput, normalise
from action_recognition.pose.runtimes import TOLERANCE
from action_recognition.pose.torch_runtime import TorchRuntime

CPU = torch.device('cpu')


def images_of(n, height, width):
    coarse = np.random.default_rng(n).integers(0, 256, (n, height // 8, width // 8, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 1).repeat(8, 2))


def expected(network, images):
    with torch.inference_mode():
        return network(normalise(torch.from_numpy(images)))[-1]


def assert_agrees(runtime, network, images):
    tolerance = TOLERANCE[runtime.name.split()[1]]
    for got, want in zip(runtime(images), expected(network, images), strict=True):
        assert got.dtype == torch.float32
        np.testing.assert_allclose(got.cpu(), want, atol=tolerance * want.abs().max(), rtol=0)


class Off(TorchRuntime):
    """Its maps lie a bit too high."""

    def __init__(self, network, threads=0, by=0.01):
        super().__init__(network, CPU)
        self.by = by
        self.closed = False

    def __call__(self, images):
        joints, limbs = super().__call__(images)
        return StageOutput(joints + self.by, limbs)

    def close(self):
        self.closed = True
