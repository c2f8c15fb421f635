"""The least time of a network, by hand."""

import pytest
from torch import nn

from action_recognition.benchmarking.pose_roofline import Chip, Work, bound, chip_of, work
from action_recognition.pose.deployed import Deployed
from action_recognition.pose.heads import PoseNetwork


def test_work_of_a_layer_by_hand():
    network = Deployed(PoseNetwork(1))
    first, depthwise, *_ = work(network, (2, 32, 64))
    # 3x3 over 3 channels to 24, on a grid of half the size.
    assert first.flops == 2 * 9 * 3 * 24 * 16 * 32 * 2
    assert first.bytes == 2 * (2 * 32 * 64 * 3 + 9 * 3 * 24 + 2 * 16 * 32 * 24)
    assert depthwise.flops == 2 * 9 * 24 * 16 * 32 * 2
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(work(network, (1, 32, 32))) == len(layers)
    assert not any(layer._forward_hooks for layer in layers)


def test_work_grows_with_the_pixels():
    network = Deployed(PoseNetwork(2))
    one, four = (sum(w.flops for w in work(network, (1, s, s))) for s in (32, 64))
    assert four == 4 * one


def test_bound_takes_the_longer_of_arithmetic_and_traffic():
    chip = Chip('slow', flops=1e9, bandwidth=1e6)
    assert bound([Work(2_000_000, 10)], chip) == pytest.approx(2)
    assert bound([Work(10, 3_000)], chip) == pytest.approx(3)
    assert bound([Work(2_000_000, 10), Work(10, 3_000)], chip) == pytest.approx(5)


@pytest.mark.parametrize(
    ('name', 'chip'),
    [
        ('NVIDIA H200', 'H200'),
        ('NVIDIA H100 80GB HBM3', 'H100'),
        ('NVIDIA H100 PCIe', 'H100 PCIe'),
        ('NVIDIA A100-SXM4-40GB', 'A100'),
        ('A100-PCIE-40GB', 'A100'),
        ('NVIDIA L40S', 'L40S'),
        ('NVIDIA L4', 'L4'),
        ('NVIDIA GeForce RTX 4090', 'RTX 4090'),
    ],
)
def test_chips_are_known_by_what_their_driver_calls_them(name, chip):
    assert chip_of(name).name == chip


@pytest.mark.parametrize(
    'name',
    [
        *['Radeon', 'Orin', 'NVIDIA L40', 'NVIDIA RTX A1000', 'NVIDIA GH200 480GB'],
        *['NVIDIA GeForce RTX 4090 Laptop GPU', 'NVIDIA H100 80GB HBM3 MIG 1g.10gb'],
    ],
)
def test_chips_with_like_names_are_not_taken_for_them(name):
    assert chip_of(name) is None
