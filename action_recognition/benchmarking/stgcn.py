"""A small spatial-temporal graph network over the limbs of the skeleton.

Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action
Recognition", AAAI 2018, arXiv:1801.07455, with its spatial partition of neighbours in 3 subsets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from action_recognition.benchmarking.windows import WindowNetwork
from action_recognition.skeleton import LIMBS, NUM_JOINTS

SUBSETS = 3
#: Outputs and temporal stride of each block; the paper has 9 blocks of up to 256 channels.
BLOCKS = ((32, 1), (32, 1), (64, 2), (64, 1), (96, 2), (96, 1))


def adjacency() -> Tensor:
    """(3, 14, 14): entry [k, v, w] is the share of joint v in what joint w takes from subset k.

    Subset 0 is the joint itself, 1 its neighbours nearer to the neck, 2 those farther from it;
    the shares of a joint's neighbours in one subset add up to 1, or to 0 where it has none.
    """
    subsets = torch.zeros(SUBSETS, NUM_JOINTS, NUM_JOINTS)
    subsets[0] = torch.eye(NUM_JOINTS)
    for parent, child in LIMBS:  # the limbs are a tree that grows from the neck
        subsets[1, parent, child] = 1
        subsets[2, child, parent] = 1
    return subsets / subsets.sum(1, keepdim=True).clamp(min=1)


class _Block(nn.Module):
    """Graph convolution over joints, then convolution over 9 frames, with a way around both."""

    adjacency: Tensor

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.register_buffer('adjacency', adjacency())
        self.importance = nn.Parameter(torch.ones(SUBSETS, NUM_JOINTS, NUM_JOINTS))
        self.spread = nn.Conv2d(inputs, SUBSETS * outputs, 1)
        self.spatial = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
        self.temporal = nn.Sequential(
            nn.Conv2d(outputs, outputs, (9, 1), (stride, 1), (4, 0), bias=False),
            nn.BatchNorm2d(outputs),
            nn.Dropout(0.2),
        )
        self.around: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.around = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, (stride, 1), bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, T, 14) -> (n, outputs, T / stride, 14)."""
        subsets = self.spread(x).unflatten(1, (SUBSETS, -1))
        mixed = torch.einsum('nkctv,kvw->nctw', subsets, self.adjacency * self.importance)
        return torch.relu(self.temporal(self.spatial(mixed)) + self.around(x))


class StGcn(WindowNetwork):
    """Six blocks over 32 frames, about 0.3 M parameters."""

    frames = 32

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2 * NUM_JOINTS)
        blocks, inputs = [], 2
        for outputs, stride in BLOCKS:
            blocks.append(_Block(inputs, outputs, stride))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(inputs, num_classes)

    def forward(self, xy: Tensor) -> Tensor:
        """(n, 32, 14, 2) normalised joints to (n, classes) logits."""
        x = self.norm(xy.flatten(2).transpose(1, 2))  # (n, 28, T)
        x = x.unflatten(1, (NUM_JOINTS, 2)).permute(0, 2, 3, 1)  # (n, 2, T, 14)
        return self.classifier(self.blocks(x).mean((2, 3)))
