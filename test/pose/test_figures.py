"""Drawn people: the network that ships sees them as people."""

import numpy as np
import pytest
import torch

from action_recognition.pose.decode import DecoderConfig, decode
from action_recognition.pose.deployed import Deployed
from action_recognition.pose.estimator import load_network
from action_recognition.pose.figures import STANDING, figures


@pytest.mark.parametrize('shape', [(3, 160, 160, 3), (1, 200, 264, 3)])
def test_the_network_finds_the_person_of_every_figure(shape):
    images = figures(shape)
    assert (images.shape, images.dtype) == (shape, np.uint8)
    with torch.inference_mode():
        maps = Deployed(load_network('pose').network)(torch.from_numpy(images))
    for found in decode(maps, DecoderConfig()):
        (xy,) = found.xy
        height = shape[1] * 0.75
        size = height / 2.4
        wanted = (np.array(STANDING) - (0, 0.9)) * size + [shape[2] / 2, 0.52 * shape[1]]
        seen = np.isfinite(xy).all(-1)
        assert seen.sum() >= 8
        assert np.median(np.linalg.norm(xy - wanted, axis=-1)[seen]) < 0.2 * size


def test_figures_take_turns_and_fit_the_smallest_images():
    images = figures((7, 32, 40, 3))
    np.testing.assert_array_equal(images[0], images[3])
    assert (images[0] != images[1]).any()
    assert figures((1, 8, 8, 3)).shape == (1, 8, 8, 3)
