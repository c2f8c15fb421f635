"""Messages to arrays and back: nothing is lost, and what makes no sense is refused."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from action_recognition.errors import UserError
from action_recognition.msg import ActionLabel, ActionLabelArray, SkeletonArray
from action_recognition.nodes.convert import (
    captions,
    estimates_to_msg,
    labels_to_msg,
    msg_to_estimates,
    msg_to_poses,
    ns_to_stamp,
    poses_to_msg,
    stamp_to_ns,
)
from action_recognition.recognition.labels import ActionEstimate
from action_recognition.skeleton import NUM_JOINTS, Poses, part_directions
from action_recognition.visualization.overlay import Caption

STAMP = 1_700_000_000_123_456_789


def header():
    return Header(stamp=ns_to_stamp(STAMP), frame_id='eye')


def people(count=3):
    random = np.random.default_rng(1)
    xy = random.uniform(-10, 700, (count, NUM_JOINTS, 2)).astype(np.float32)
    score = random.uniform(0.01, 1, (count, NUM_JOINTS)).astype(np.float32)
    xy[:, 3] = np.nan
    return Poses(xy, score, np.array([4, -1, 2**40])[:count], STAMP, (640, 480))


@pytest.mark.parametrize('ns', [0, 1, 999_999_999, 1_000_000_000, STAMP])
def test_stamps_keep_every_nanosecond(ns):
    assert stamp_to_ns(ns_to_stamp(ns)) == ns


def test_poses_survive_the_wire_bit_by_bit():
    poses = people()
    message = poses_to_msg(poses, header())
    assert message.header == header()
    back = msg_to_poses(deserialize_message(serialize_message(message), SkeletonArray))
    np.testing.assert_array_equal(back.xy, poses.xy)
    np.testing.assert_array_equal(back.score, poses.score)
    np.testing.assert_array_equal(back.track_id, poses.track_id)
    assert (back.stamp, back.image_size) == (STAMP, (640, 480))


def test_what_a_skeleton_says_of_itself():
    poses = people()
    message = poses_to_msg(poses, header())
    for person, xy, score in zip(message.skeletons, poses.xy, poses.person_score, strict=True):
        np.testing.assert_array_equal(person.part_direction, part_directions(xy))
        assert person.score == score
        assert np.isnan(person.joints[3].x)
        assert person.joints[3].score == 0


def test_nobody():
    empty = Poses.empty(STAMP, (640, 480))
    back = msg_to_poses(poses_to_msg(empty, header()))
    assert len(back) == 0
    assert (back.stamp, back.image_size) == (STAMP, (640, 480))


def test_joints_not_seen():
    message = poses_to_msg(people(1), header())
    message.skeletons[0].joints[0].x = float('nan')
    message.skeletons[0].joints[1].score = 0.0
    message.skeletons[0].joints[2].score = float('nan')
    assert not msg_to_poses(message).seen[0, :4].any()
    assert msg_to_poses(message).seen[0, 4:].all()


@pytest.mark.parametrize(
    ('field', 'value', 'reason'),
    [
        ('x', float('inf'), 'infinite'),
        ('y', float('-inf'), 'infinite'),
        ('score', 1.5, r'\[0, 1\]'),
        ('score', -0.1, r'\[0, 1\]'),
    ],
)
def test_bad_joints(field, value, reason):
    message = poses_to_msg(people(2), header())
    setattr(message.skeletons[1].joints[5], field, value)
    with pytest.raises(UserError, match=reason):
        msg_to_poses(message)


def test_wrong_number_of_joints():
    message = poses_to_msg(people(1), header())
    # Nodes run without field checks, so Python lets this pass.
    message.skeletons[0]._joints = message.skeletons[0].joints[:13]
    with pytest.raises(UserError, match='13 joints, not 14'):
        msg_to_poses(message)


def test_one_identity_for_two():
    message = poses_to_msg(people(2), header())
    for person in message.skeletons:
        person.track_id = 7
    with pytest.raises(UserError, match='share a track id'):
        msg_to_poses(message)
    for person in message.skeletons:
        person.track_id = -1
    assert len(msg_to_poses(message)) == 2


def estimates():
    scores = np.array([0.25, 0.5, 0.25], np.float32)
    return [
        ActionEstimate(3, 1, 'wave', 0.5, 'confirmed', STAMP - 5, scores),
        ActionEstimate(4, -1, 'unknown', 0.25, 'candidate', STAMP, scores),
        ActionEstimate(5, 2, 'run', 0.75, 'ended', STAMP - 9, np.empty(0, np.float32)),
    ]


def test_estimates_survive_the_wire():
    message = estimates_to_msg(estimates(), header())
    assert message.header == header()
    assert [action.state for action in message.actions] == [
        ActionLabel.CONFIRMED,
        ActionLabel.CANDIDATE,
        ActionLabel.ENDED,
    ]
    assert message.actions[1].label == ''
    message = deserialize_message(serialize_message(message), ActionLabelArray)
    for back, there in zip(msg_to_estimates(message), estimates(), strict=True):
        np.testing.assert_array_equal(back.scores, there.scores)
        for name in ('track_id', 'class_id', 'label', 'confidence', 'state', 'began'):
            assert getattr(back, name) == getattr(there, name)


@pytest.mark.parametrize(
    ('field', 'value'), [('confidence', 1.5), ('confidence', float('nan')), ('state', 3)]
)
def test_bad_estimates(field, value):
    message = estimates_to_msg(estimates(), header())
    setattr(message.actions[0], field, value)
    with pytest.raises(UserError, match='person 3'):
        msg_to_estimates(message)


def test_captions_leave_out_unknown_and_ended():
    message = estimates_to_msg(estimates(), header())
    assert captions(message) == {3: Caption('wave', 0.5, True)}


def test_labels():
    message = labels_to_msg(('run', 'wave'), 0.6, Time(sec=1))
    assert [(c.class_id, c.class_name) for c in message.class_map] == [(0, 'run'), (1, 'wave')]
    assert message.threshold == pytest.approx(0.6)
    assert message.header.stamp.sec == 1
