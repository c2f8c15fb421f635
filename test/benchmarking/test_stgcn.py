"""The graph network and its graph."""

from __future__ import annotations

import pytest
import torch

from action_recognition.benchmarking.stgcn import StGcn, adjacency
from action_recognition.skeleton import NUM_JOINTS, Joint


def test_the_subsets_are_the_joint_those_nearer_to_the_neck_and_those_farther():
    own, nearer, farther = adjacency()
    assert torch.equal(own, torch.eye(NUM_JOINTS))
    elbow = nearer[:, Joint.LEFT_ELBOW]
    assert elbow.nonzero().flatten().tolist() == [Joint.LEFT_SHOULDER]
    elbow = farther[:, Joint.LEFT_ELBOW]
    assert elbow.nonzero().flatten().tolist() == [Joint.LEFT_WRIST]
    # The neck has five neighbours, none of which is nearer to it than itself.
    assert nearer[:, Joint.NECK].sum() == 0
    assert farther[farther[:, Joint.NECK] > 0, Joint.NECK].tolist() == pytest.approx([0.2] * 5)


def test_shapes_and_parameters():
    network = StGcn(14).eval()
    assert network(torch.rand(2, 32, 14, 2)).shape == (2, 14)
    assert sum(parameter.numel() for parameter in network.parameters()) == 342_094
