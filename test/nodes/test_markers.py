"""Markers: where they stand in the optical frame, and whose they are."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from action_recognition.nodes.markers import label_markers, skeleton_markers
from action_recognition.skeleton import LIMBS, NUM_JOINTS, Joint, Poses
from action_recognition.visualization.overlay import Caption


@pytest.fixture
def poses():
    xy = np.full((2, NUM_JOINTS, 2), (100.5, 40.0), np.float32)
    xy[0, Joint.NECK] = (0, 0)
    xy[0, Joint.NOSE] = (200, 149)
    xy[1, Joint.RIGHT_WRIST] = np.nan
    return Poses(xy, np.ones((2, NUM_JOINTS)), np.array([8, -1]), 5, (201, 150))


def test_skeletons_lie_on_a_plane_before_the_camera(poses):
    header = Header(frame_id='eye')
    first, second = skeleton_markers(poses, header).markers
    assert first.header == header
    assert (first.ns, first.id, first.type) == ('skeletons', 8, Marker.LINE_LIST)
    assert second.id < 0
    neck, nose = first.points[:2]  # the first limb: x right, y down, z forward
    assert (neck.x, neck.y, neck.z) == pytest.approx((-100 / 201, -74.5 / 201, 1))
    assert (nose.x, nose.y, nose.z) == pytest.approx((100 / 201, 74.5 / 201, 1))
    assert len(first.points) == 2 * len(LIMBS)
    assert len(second.points) == 2 * (len(LIMBS) - 1)


def test_labels_stand_over_the_head(poses):
    captions = {8: Caption('wave', 0.876), 9: Caption('run', 0.5)}
    (marker,) = label_markers(poses, captions, Header(frame_id='eye')).markers
    assert (marker.ns, marker.id, marker.text) == ('labels', 8, '8 wave 88%')
    assert marker.pose.position.x == pytest.approx(0)
    assert marker.pose.position.y < -74.5 / 201


def test_nobody():
    nobody = Poses.empty(0, (0, 0))
    assert skeleton_markers(nobody, Header()).markers == []
    assert label_markers(nobody, {}, Header()).markers == []
