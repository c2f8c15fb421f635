"""A stacked LSTM with attention that works through its whole window at every frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from action_recognition.benchmarking.windows import WindowNetwork
from action_recognition.skeleton import NUM_JOINTS, NUM_PARTS, PARTS


def directions(xy: Tensor) -> Tensor:
    """(n, T, 14, 2) to (n, T, 6): as `skeleton.part_directions`, but in units of pi."""
    angles = []
    for start, end in PARTS.values():
        vector = xy[..., list(end), :].mean(-2) - xy[..., list(start), :].mean(-2)
        angles.append(torch.atan2(vector[..., 1], vector[..., 0]) / torch.pi)
    return torch.stack(angles, -1)


class WindowLstm(WindowNetwork):
    """3 x LSTM 128 (tanh) over 60 frames of 34 features, and attention over their outputs."""

    def __init__(self, num_classes: int, units: int = 128, frames: int = 60) -> None:
        super().__init__()
        self.frames = frames
        inputs = 2 * NUM_JOINTS + NUM_PARTS
        self.lstm = nn.LSTM(inputs, units, num_layers=3, batch_first=True, dropout=0.3)
        self.attention = nn.Sequential(nn.Linear(units, units), nn.Tanh(), nn.Linear(units, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(units, num_classes))

    def forward(self, xy: Tensor) -> Tensor:
        """(n, frames, 14, 2) normalised joints to (n, classes) logits."""
        outputs, _ = self.lstm(torch.cat([xy.flatten(2), directions(xy)], -1))
        weight = self.attention(outputs).softmax(1)
        return self.classifier((weight * outputs).sum(1))
