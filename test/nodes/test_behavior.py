"""The behavior node: events by rules, unknown labels reported by rule."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header

from action_recognition.msg import ActionLabel, ActionLabelArray, BehaviorEvent, LabelInfo
from action_recognition.nodes.behavior import BehaviorNode
from action_recognition.nodes.convert import labels_to_msg, ns_to_stamp
from action_recognition.nodes.qos import latched_qos, result_qos

RULES = """
rules:
  greet: {label: wave, event: 'hello {person}', dwell: 0.1}
  dance: {label: tango, event: olé}
"""


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / 'rules.yaml'
    path.write_text(RULES)
    return str(path)


def actions(ms, confidence=0.9):
    action = ActionLabel(
        track_id=4, label='wave', class_id=1, confidence=confidence, state=ActionLabel.CONFIRMED
    )
    header = Header(stamp=ns_to_stamp(ms * 1_000_000), frame_id='eye')
    return ActionLabelArray(header=header, actions=[action])


def test_events(graph, rules):
    node = graph.node(BehaviorNode, parameters={'rules': rules})
    events = graph.collect(BehaviorEvent, 'events', result_qos())
    send = graph.publisher(ActionLabelArray, 'actions', result_qos()).publish
    send(actions(0))
    send(actions(50, confidence=float('nan')))
    send(actions(90))
    send(actions(100, confidence=0.75))
    graph.until(lambda: events)
    assert events == [
        BehaviorEvent(
            header=actions(100).header,
            rule='greet',
            track_id=4,
            label='wave',
            confidence=0.75,
            text='hello 4',
        )
    ]
    assert (node.health.counted('rejected'), node.health.counted('processed')) == (1, 3)


def test_a_rule_with_an_unknown_label(graph, rules):
    node = graph.node(BehaviorNode, parameters={'rules': rules})
    labels = graph.peer.create_publisher(LabelInfo, 'labels', latched_qos())
    labels.publish(labels_to_msg(('run', 'wave'), 0.6, ns_to_stamp(0)))

    def level():
        return node.health.report('', 'active').level

    graph.until(lambda: level() == DiagnosticStatus.ERROR)
    status = node.health.report('', 'active')
    assert "'dance' waits for the label 'tango'" in status.message
    assert 'it knows run, wave' in status.message
    labels.publish(labels_to_msg(('tango', 'wave'), 0.6, ns_to_stamp(0)))
    graph.until(lambda: level() != DiagnosticStatus.ERROR)


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [({}, 'parameter rules is empty'), ({'rules': '/no/such.yaml'}, 'cannot read')],
)
def test_no_rules(graph, parameters, reason):
    node = graph.node(BehaviorNode, active=False, parameters=parameters)
    assert not node.autostart()
    assert reason in node.health.report('', '').message
