"""DD-Net: its features by hand, its size as its paper gives it."""

from __future__ import annotations

import pytest
import torch

from action_recognition.benchmarking.ddnet import JCD_FEATURES, DdNet, joint_distances, motion


def test_joint_distances_are_those_of_all_pairs():
    xy = torch.zeros(1, 1, 14, 2)
    xy[0, 0, 1] = torch.tensor([3.0, 4.0])
    xy[0, 0, 2] = torch.tensor([3.0, 0.0])
    distances = joint_distances(xy)
    assert distances.shape == (1, 1, JCD_FEATURES) == (1, 1, 91)
    assert distances[0, 0, :3].tolist() == [5, 3, 4]  # (1, 0), (2, 0), (2, 1)
    # Of the other 11 joints, all at the origin, each is 5 from joint 1 and 3 from joint 2.
    assert distances.sum().item() == pytest.approx(5 + 3 + 4 + 11 * (5 + 3))


def test_distances_do_not_change_when_the_body_moves():
    xy = torch.rand(2, 3, 14, 2)
    assert torch.allclose(joint_distances(xy), joint_distances(xy + 7), atol=1e-5)


def test_motion_is_the_difference_of_frames_stretched_over_the_window():
    xy = torch.zeros(1, 4, 14, 2)
    xy[0, :, 5, 1] = torch.tensor([0.0, 1.0, 3.0, 6.0])
    slow = motion(xy, 1, 5)  # 1 2 3, stretched
    fast = motion(xy, 2, 2)  # 3 5
    assert slow.shape == (1, 28, 5)
    assert slow[0, 11].tolist() == [1, 1.5, 2, 2.5, 3]
    assert fast[0, 11].tolist() == [3, 5]
    assert slow.sum() == slow[0, 11].sum()


@pytest.mark.parametrize(('filters', 'count'), [(64, 1_792_533), (32, 485_205), (16, 147_189)])
def test_parameters_are_about_those_of_the_paper(filters, count):
    network = DdNet(21, filters)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    published = {64: 1.82e6, 32: 0.50e6, 16: 0.15e6}[filters]  # of more joints than ours
    assert count == pytest.approx(published, rel=0.04)


def test_logits_of_every_class():
    assert DdNet(5).eval()(torch.rand(3, 32, 14, 2)).shape == (3, 5)
