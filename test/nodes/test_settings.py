"""Parameters that are set and that nobody has."""

from __future__ import annotations

import pytest
import yaml

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from action_recognition.nodes import common
from action_recognition.nodes.behavior import BehaviorNode
from action_recognition.nodes.settings import Setting, declare, undeclared

SETTINGS = {
    'recognizer': (
        Setting('labels.enter', 0.85, 'Threshold.', 0, 1),
        Setting('model', '', 'Name.'),
    ),
    'camera': (Setting('source', '', 'What is played.', lenient=True),),
}


@pytest.fixture
def start(tmp_path, domain_id):
    """Makes nodes of one process with this parameter file; the lines about it, by node."""
    context = rclpy.Context()
    nodes = []

    def start(content, names=tuple(SETTINGS), arguments=()):
        path = tmp_path / 'parameters.yaml'
        path.write_text(yaml.safe_dump(content))
        context.init(['--ros-args', '--params-file', str(path), *arguments], domain_id=domain_id)
        for name in names:
            nodes.append(Node(name, namespace='/robot', context=context))
            declare(nodes[-1], SETTINGS[name])
        return [(node.get_name(), text) for node, text in undeclared(nodes)]

    yield start
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


def section(**values):
    return {'ros__parameters': values}


def test_a_typo_is_named_with_what_was_meant(start):
    labels = section(label={'enter': 0.9}, labels={'enter': 0.9}, colour='red')
    assert start({'/**/recognizer': labels}) == [
        ('recognizer', 'parameter colour is set, but recognizer has none of this name'),
        (
            'recognizer',
            'parameter label.enter is set, but recognizer has none of this name (did you mean '
            'labels.enter?)',
        ),
    ]


def test_what_is_right_or_of_another_node_is_not_named(start):
    qos = {'/robot/image': {'subscription': {'reliability': 'reliable'}}}
    content = {
        '/**': section(use_sim_time=True, source='0', model='mine'),
        '/**/recognizer': section(labels={'enter': 0.9}, qos_overrides=qos),
        '/elsewhere/recognizer': section(label={'enter': 0.9}),
        '/**/perception': section(devise='cpu'),
    }
    assert start(content, arguments=['-p', 'source:=a.mp4']) == []


def test_what_is_set_for_a_node_of_another_process_is_named(start):
    content = {'/**': section(source='0')}
    assert start(content, names=['recognizer']) == [
        ('recognizer', 'parameter source is set, but recognizer has none of this name')
    ]


def test_a_process_says_so(monkeypatch, domain_id, capfd):
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))
    monkeypatch.setattr(SingleThreadedExecutor, 'spin', lambda executor: None)
    monkeypatch.setattr(common.signal, 'signal', lambda *_: None)
    reported = []

    def build():
        reported.append(BehaviorNode())
        return reported

    arguments = ['--ros-args', '-p', 'autostart:=false', '-p', 'rule:=a.yaml']
    assert common.run(build, arguments) == 0
    line = 'parameter rule is set, but behavior has none of this name (did you mean rules?)'
    assert line in capfd.readouterr().err
    report = reported[0].health.report('behavior', 'unconfigured')
    assert line in [item.value for item in report.values]
