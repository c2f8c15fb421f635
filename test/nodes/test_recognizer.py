"""The recognizer node: one answer a message, latched labels, resets, bad skeletons survived."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from node_recipes import header
from rclpy.parameter import Parameter
from visualization_msgs.msg import MarkerArray

from action_recognition.errors import UserError
from action_recognition.msg import ActionLabel, ActionLabelArray, LabelInfo, SkeletonArray
from action_recognition.nodes import recognizer as recognizer_module
from action_recognition.nodes.convert import msg_to_poses, poses_to_msg
from action_recognition.nodes.qos import latched_qos, result_qos
from action_recognition.nodes.recognizer import RecognizerNode
from action_recognition.skeleton import NUM_JOINTS, Poses


def skeletons(ms, ids=(1,)):
    count = len(ids)
    poses = Poses(
        np.full((count, NUM_JOINTS, 2), 20.0),
        np.ones((count, NUM_JOINTS)),
        np.array(ids),
        image_size=(64, 48),
    )
    return poses_to_msg(poses, header(ms))


@pytest.fixture
def node(graph, recognizer):
    return graph.node(RecognizerNode, recognizer_factory=lambda *args: recognizer)


@pytest.fixture
def actions(graph, node):
    return graph.collect(ActionLabelArray, 'actions', result_qos())


@pytest.fixture
def send(graph, node):
    return graph.publisher(SkeletonArray, 'skeletons', result_qos()).publish


def test_one_answer_a_message_under_the_header_of_the_image(graph, node, actions, send):
    send(skeletons(0, ids=(3, 5)))
    send(skeletons(40, ids=()))
    graph.until(lambda: len(actions) == 2)
    assert [message.header for message in actions] == [header(0), header(40)]
    assert [action.track_id for action in actions[0].actions] == [3, 5]
    action = actions[0].actions[0]
    assert (action.label, action.class_id, action.state) == ('wave', 1, ActionLabel.CONFIRMED)
    assert action.confidence == pytest.approx(0.5)
    assert sum(action.scores) == pytest.approx(1)
    assert actions[1].actions == []


def test_labels_reach_those_who_come_later(graph, node):
    late = graph.collect(LabelInfo, 'labels', latched_qos())
    graph.until(lambda: late)
    assert [entry.class_name for entry in late[0].class_map] == ['run', 'wave']
    assert late[0].threshold == pytest.approx(node.value('labels.enter'))


@pytest.mark.parametrize(
    ('field', 'value', 'reason'),
    [('x', float('inf'), 'infinite'), ('score', 1.5, 'score'), ('score', -1.0, 'score')],
)
def test_bad_skeletons_are_reported_and_survived(graph, node, actions, send, field, value, reason):
    bad = skeletons(40)
    setattr(bad.skeletons[0].joints[4], field, value)
    send(skeletons(0))
    send(bad)
    send(skeletons(80))
    graph.until(lambda: len(actions) == 2)
    assert [message.header for message in actions] == [header(0), header(80)]
    assert node.health.counted('rejected') == 1
    # The report of every second may have told it already.
    facts = {item.key: item.value for item in node.health.report('', 'active').values}
    assert reason in facts['last_problem']


def test_nan_means_not_seen(graph, actions, send, recognizer):
    message = skeletons(0)
    message.skeletons[0].joints[4].x = float('nan')
    send(message)
    graph.until(lambda: actions)
    assert not recognizer.seen[0].seen[0, 4]


def test_a_message_that_comes_again_is_answered_as_before(graph, node, actions, send, recognizer):
    send(skeletons(0))
    send(skeletons(0))
    graph.until(lambda: len(actions) == 2)
    assert actions[0] == actions[1]
    assert len(recognizer.seen) == 1
    assert node.health.counted('repeated') == 1


def test_clock_jump(graph, node, actions, send):
    for ms in (1000, 1040, 1080, 20):
        send(skeletons(ms))
    graph.until(lambda: len(actions) == 4)
    confidences = [message.actions[0].confidence for message in actions]
    assert confidences == pytest.approx([1 / 2, 2 / 3, 3 / 4, 1 / 2])
    assert node.health.counted('resets') == 1


def test_another_sender_begins_with_everybody_anew(graph, node, actions, send):
    for ms in (0, 40, 80):
        send(skeletons(ms))
    other = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    graph.until(lambda: len(actions) == 3)
    bad = skeletons(100)
    bad.skeletons[0].joints[4].score = 2.0
    for message in (bad, skeletons(80), skeletons(60)):  # refused, known and late
        other.publish(message)
    graph.until(lambda: node.health.counted('rejected') == 2)
    send(skeletons(120))
    send(skeletons(160))
    graph.until(lambda: len(actions) == 6)
    assert node.health.counted('resets') == 0
    assert actions[-1].actions[0].confidence == pytest.approx(5 / 6)
    other.publish(skeletons(200))
    graph.until(lambda: len(actions) == 7)
    assert node.health.counted('resets') == 1
    old, new = actions[-1].actions
    assert (old.track_id, old.state) == (new.track_id, ActionLabel.ENDED)
    assert new.confidence == pytest.approx(1 / 2)


def test_people_from_a_stage_in_this_process_are_refused_while_inactive(graph, node, recognizer):
    message = skeletons(0)
    node.accept(message.header, msg_to_poses(message))
    node.trigger_deactivate()
    node.accept(message.header, msg_to_poses(message))
    counts = {kind: node.health.counted(kind) for kind in ('received', 'processed', 'refused')}
    assert counts == {'received': 2, 'processed': 1, 'refused': 1}


def test_thresholds_at_run_time(graph, node, recognizer):
    labels = graph.collect(LabelInfo, 'labels', latched_qos())
    (result,) = node.set_parameters([Parameter('labels.enter', value=0.8)])
    assert result.successful
    assert recognizer.config.enter == 0.8
    graph.until(lambda: labels and labels[-1].threshold == pytest.approx(0.8))
    (result,) = node.set_parameters([Parameter('labels.exit', value=0.9)])
    assert not result.successful
    assert 'exit' in result.reason
    (result,) = node.set_parameters([Parameter('forget_after', value=9.0)])
    assert recognizer.forget_after == 9.0
    assert recognizer.config.enter == 0.8


def test_markers(graph, node, send):
    markers = graph.collect(MarkerArray, 'markers', result_qos())
    send(skeletons(0))
    graph.until(lambda: markers)
    assert [marker.text for marker in markers[0].markers] == ['1 wave 50%']


def test_markers_that_fail_are_no_second_count(graph, node, actions, send, monkeypatch):
    graph.collect(MarkerArray, 'markers', result_qos())
    monkeypatch.setattr(recognizer_module, 'label_markers', lambda *_: 1 / 0)
    send(skeletons(0))
    graph.until(lambda: node.health.counted('late_errors') == 1)
    assert (node.health.counted('errors'), node.health.counted('processed')) == (0, 1)


def test_deactivation_frees_the_model(graph, node, recognizer):
    node.trigger_deactivate()
    assert recognizer.closed
    graph.until(lambda: graph.peer.count_subscribers('skeletons') == 0)


def test_weights_of_another_model(graph):
    def factory(*args):
        raise UserError('pose.safetensors holds pose weights, but action weights are needed')

    node = graph.node(RecognizerNode, active=False, recognizer_factory=factory)
    assert not node.autostart()
    assert 'action weights are needed' in node.health.report('', '').message
