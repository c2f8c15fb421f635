"""How fast the pose network could be: its work, against what a chip can compute and move."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn

from action_recognition.pose.deployed import Deployed


class Chip(NamedTuple):
    """Published peaks of a chip.

    Attributes:
        name: of a GPU as its driver says it, less what `chip_of` knows to tell nothing.
        flops: per second, in float16 on its matrix units, dense.
        bandwidth: bytes per second of its memory.
    """

    name: str
    flops: float
    bandwidth: float


#: From the data sheets of NVIDIA; of several that fit, the first counts. Sparse figures and those
#: of int8 are halved, each. For the Orins `run` estimates what it cannot measure.
CHIPS = (
    Chip('H200', 989e12, 4.8e12),
    Chip('H100 PCIe', 756e12, 2.0e12),
    Chip('H100', 989e12, 3.35e12),
    Chip('A100', 312e12, 1.555e12),
    Chip('L40S', 362e12, 864e9),
    Chip('L4', 121e12, 300e9),
    Chip('RTX 4090', 165e12, 1.008e12),
)
ORINS = (
    Chip('Jetson AGX Orin 64GB', 42.5e12, 204.8e9),
    Chip('Jetson Orin NX 16GB', 15e12, 102.4e9),
    Chip('Jetson Orin Nano 8GB', 10e12, 68e9),
)


#: What a driver says beside the name of a chip: maker and line before it, build and memory after.
BEFORE, AFTER = r'(NVIDIA )?(GeForce )?', r'([ -](SXM\d|PCIE|PCIe|\d+GB|HBM\de?))*'


def chip_of(name: str) -> Chip | None:
    """The chip of a GPU by its name, such as 'NVIDIA H100 80GB HBM3'; None if it is not known.

    A name that says more, such as 'Laptop GPU' or 'MIG 1g.10gb', is that of less than the chip.
    """
    return next((chip for chip in CHIPS if re.fullmatch(BEFORE + chip.name + AFTER, name)), None)


class Work(NamedTuple):
    """What one convolution has to do.

    Attributes:
        flops: multiplications and additions.
        bytes: inputs, weights and outputs, each moved once, in float16.
    """

    flops: int
    bytes: int


def work(network: Deployed, shape: tuple[int, int, int]) -> list[Work]:
    """The work of every convolution for inputs of a shape (n, h, w) in pixels.

    What lies between convolutions is taken to be free.
    """
    done: list[Work] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        each = layer.weight[0].numel()
        moved = inputs[0].numel() + layer.weight.numel() + output.numel()
        done.append(Work(2 * each * output.numel(), 2 * moved))

    hooks = [
        layer.register_forward_hook(note)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.inference_mode():
        network(torch.zeros(*shape, 3, dtype=torch.uint8, device=network.mean.device))
    for hook in hooks:
        hook.remove()
    return done


def bound(layers: list[Work], chip: Chip) -> float:
    """Milliseconds that no program can beat which runs the layers one after the other.

    Each takes as long as its arithmetic or its traffic, whichever is longer.
    """
    return 1e3 * sum(
        max(layer.flops / chip.flops, layer.bytes / chip.bandwidth) for layer in layers
    )
