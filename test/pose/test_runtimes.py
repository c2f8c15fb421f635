"""What runs the pose network."""

import torch

from action_recognition.pose.heads import PoseNetwork
from action_recognition.pose.runtimes import fuse


def test_fused_network_says_the_same():
    torch.manual_seed(1)
    network = PoseNetwork(2)
    image = torch.randn(4, 3, 64, 64)
    network(image)  # gives the normalisations statistics worth folding
    network.eval()
    with torch.inference_mode():
        want = network(image)
        got = fuse(network)(image)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
