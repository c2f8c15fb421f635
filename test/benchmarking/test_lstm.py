"""The windowed LSTM."""

from __future__ import annotations

import numpy as np
import torch

from action_recognition.benchmarking.lstm import WindowLstm, directions
from action_recognition.skeleton import part_directions


def test_directions_are_those_of_the_skeleton_in_units_of_pi():
    xy = torch.rand(2, 3, 14, 2)
    np.testing.assert_allclose(directions(xy) * np.pi, part_directions(xy.numpy()), atol=1e-5)


def test_shapes_and_parameters():
    network = WindowLstm(14).eval()
    assert network(torch.rand(3, 60, 14, 2)).shape == (3, 14)
    lstm = 4 * 128 * (34 + 128 + 2) + 2 * 4 * 128 * (128 + 128 + 2)
    attention = 128 * 128 + 128 + 128 + 1
    classifier = 128 * 14 + 14
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == lstm + attention + classifier == 366_607


def test_the_window_is_as_long_as_is_asked():
    network = WindowLstm(9, frames=30).eval()
    assert (WindowLstm(9).frames, network.frames) == (60, 30)
    assert network(torch.rand(2, 30, 14, 2)).shape == (2, 9)
