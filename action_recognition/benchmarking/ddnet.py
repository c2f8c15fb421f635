"""DD-Net, a convolutional network over distances between joints and two speeds of motion.

Yang, Sakti, Wu, Nakamura, "Make Skeleton-based Action Recognition Model Smaller, Faster and
Better", ACM Multimedia Asia 2019, arXiv:1907.09658.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from action_recognition.benchmarking.windows import WindowNetwork
from action_recognition.skeleton import NUM_JOINTS

JCD_FEATURES = NUM_JOINTS * (NUM_JOINTS - 1) // 2


def joint_distances(xy: Tensor) -> Tensor:
    """Joint Collection Distances: (n, T, 14, 2) to (n, T, 91) distances of all pairs of joints.

    In the order of the lower triangle of the matrix of distances: (1, 0), (2, 0), (2, 1), ...
    """
    one, two = torch.tril_indices(NUM_JOINTS, NUM_JOINTS, -1)
    return (xy[..., one, :] - xy[..., two, :]).norm(dim=-1)


def motion(xy: Tensor, apart: int, frames: int) -> Tensor:
    """Differences between frames that are `apart`, stretched linearly over `frames`.

    Args:
        xy: (n, T, 14, 2).

    Returns:
        (n, 28, frames).
    """
    difference = (xy[:, apart:] - xy[:, :-apart]).flatten(2).transpose(1, 2)
    return functional.interpolate(difference, frames, mode='linear', align_corners=True)


class _Convolution(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(
            nn.Conv1d(inputs, outputs, kernel, padding='same', bias=False),
            nn.BatchNorm1d(outputs),
            nn.LeakyReLU(0.2, inplace=True),
        )


def _embedding(inputs: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        _Convolution(inputs, 2 * filters, 1),
        _Convolution(2 * filters, filters, 3),
        _Convolution(filters, filters, 1),
    )


def _dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, outputs, bias=False),
        nn.BatchNorm1d(outputs),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.5),
    )


class DdNet(WindowNetwork):
    """The network of the paper's figure 4; it gives no rates of dropout, ours is 0.5.

    With 64 filters 1.8 M parameters, with 32 filters 0.5 M.
    """

    frames = 32

    def __init__(self, num_classes: int, filters: int = 64) -> None:
        super().__init__()
        self.distances = _embedding(JCD_FEATURES, filters)
        self.slow = _embedding(2 * NUM_JOINTS, filters)
        self.fast = _embedding(2 * NUM_JOINTS, filters)
        trunk: list[nn.Module] = []
        inputs = 3 * filters
        for outputs in (2 * filters, 4 * filters, 8 * filters):
            trunk += [_Convolution(inputs, outputs, 3), _Convolution(outputs, outputs, 3)]
            trunk.append(nn.MaxPool1d(2))
            inputs = outputs
        self.trunk = nn.Sequential(*trunk[:-1])
        self.head = nn.Sequential(_dense(inputs, 128), _dense(128, 128))
        self.classifier = nn.Linear(128, num_classes)

    def forward(self, xy: Tensor) -> Tensor:
        """(n, 32, 14, 2) normalised joints to (n, classes) logits."""
        distances = self.distances(joint_distances(xy).transpose(1, 2))
        slow = self.slow(motion(xy, 1, self.frames))
        fast = self.fast(motion(xy, 2, self.frames // 2))
        # The fast motion comes with half the frames; the others are halved to meet it.
        halved = [functional.max_pool1d(part, 2) for part in (distances, slow)]
        return self.classifier(self.head(self.trunk(torch.cat([*halved, fast], 1)).mean(-1)))
