"""The deployed network says what the trained one says."""

import numpy as np
import pytest
import torch

from action_recognition.pose.deployed import Deployed, fuse
from action_recognition.pose.heads import PoseNetwork, normalise


@pytest.fixture
def network():
    """Its normalisations have statistics worth folding."""
    torch.manual_seed(1)
    network = PoseNetwork(2)
    network(torch.randn(4, 3, 64, 64))
    return network.eval()


def test_fused_network_says_the_same(network):
    image = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        want = network(image)
        got = fuse(network)(image)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_bytes_in_give_the_last_stage_of_the_normalised_image(network):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 64, 3), np.uint8)
    images = torch.from_numpy(pixels)
    with torch.inference_mode():
        got = Deployed(network)(images)
        want = network(normalise(images))[-1]
    assert got.joints.shape == (2, 14, 5, 8)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_the_trained_network_stays_as_it_is(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Deployed(network, half=True)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_half_precision_gives_float32_near_by(network):
    images = torch.full((1, 32, 32, 3), 77, dtype=torch.uint8)
    with torch.inference_mode():
        got = Deployed(network, half=True)(images)
        want = Deployed(network)(images)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=0.01, rtol=0.01)
        assert not torch.equal(a, b)
