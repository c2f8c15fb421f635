"""The files of config/ say what the nodes and the topics are."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from action_recognition.behavior_rules import load_rules, unknown_labels
from action_recognition.datasets.union32 import LABELS

CONFIG = Path(__file__).resolve().parents[2] / 'config'
PARAMETERS = CONFIG / 'action_recognition.yaml'
NODES = ('camera', 'perception', 'recognizer', 'behavior')


@pytest.fixture
def settings():
    """Every parameter of every node: name -> Setting."""
    pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    from action_recognition.nodes.behavior import BehaviorNode
    from action_recognition.nodes.camera import CameraNode
    from action_recognition.nodes.common import AUTOSTART, TRACE
    from action_recognition.nodes.perception import PerceptionNode
    from action_recognition.nodes.recognizer import RecognizerNode

    return {
        kind.NAME: {setting.name: setting for setting in (AUTOSTART, TRACE, *kind.SETTINGS)}
        for kind in (CameraNode, PerceptionNode, RecognizerNode, BehaviorNode)
    }


def flat(values, prefix=''):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f'{prefix}{key}.')
        else:
            yield prefix + key, value


def test_parameter_file_is_that_of_the_nodes(settings):
    content = yaml.safe_load(PARAMETERS.read_text())
    assert set(content) == {f'/**/{node}' for node in NODES} == {f'/**/{n}' for n in settings}
    for node, table in settings.items():
        written = dict(flat(content[f'/**/{node}']['ros__parameters']))
        assert written == {name: setting.default for name, setting in table.items()}, node
        types = {name: type(value) for name, value in written.items()}
        assert types == {name: type(setting.default) for name, setting in table.items()}, node


def test_every_parameter_is_commented(settings):
    lines = PARAMETERS.read_text().splitlines()
    for before, line in pairwise(lines):
        key, separator, value = line.strip().partition(':')
        if line.startswith('    ') and separator and value.strip() and not key.startswith('#'):
            assert before.strip().startswith('#'), f'{key} has no comment'
    live = [setting for table in settings.values() for setting in table.values() if setting.live]
    assert PARAMETERS.read_text().count('[live]') == len(live) + 1  # and the explanation


@pytest.mark.parametrize('namespace', ['/', '/robot/head'])
def test_parameter_file_applies_in_every_namespace(tmp_path, domain_id, namespace):
    rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    from action_recognition.nodes.camera import CameraNode

    path = tmp_path / 'parameters.yaml'
    path.write_text(PARAMETERS.read_text().replace('jpeg_quality: 90', 'jpeg_quality: 12'))
    context = rclpy.Context()
    context.init(['--ros-args', '--params-file', str(path)], domain_id=domain_id)
    node = CameraNode(context=context, namespace=namespace)
    assert node.value('jpeg_quality') == 12
    assert node.value('source') == ''
    node.destroy_node()
    context.try_shutdown()


def test_example_rules_fit_the_labels():
    assert unknown_labels(load_rules(CONFIG / 'behaviors.yaml'), LABELS) == []


def test_no_example_rule_acts_on_a_single_image():
    assert all(rule.dwell >= 0.2 for rule in load_rules(CONFIG / 'behaviors.yaml'))


def test_rviz_shows_our_topics():
    displays = yaml.safe_load((CONFIG / 'action_recognition.rviz').read_text())
    topics = [
        (display['Topic']['Value'], display['Topic']['Reliability Policy'])
        for display in displays['Visualization Manager']['Displays']
        if 'Topic' in display
    ]
    # A reliable subscription to best-effort images would stay empty.
    assert topics == [('annotated', 'Best Effort'), ('markers', 'Reliable')]


def test_foxglove_layout_is_whole():
    layout = json.loads((CONFIG / 'foxglove_layout.json').read_text())

    def panels(part):
        return {part} if isinstance(part, str) else panels(part['first']) | panels(part['second'])

    assert panels(layout['layout']) == set(layout['configById'])


def topics(part):
    """The topics that panels of Foxglove show."""
    if isinstance(part, list):
        return set().union(*map(topics, part))
    if not isinstance(part, dict):
        return set()
    here = {part[key] for key in ('imageTopic', 'topicPath', 'topicToRender') if key in part}
    here |= {path['value'] for path in part.get('paths', ())}
    return here.union(*map(topics, part.values()))


def test_the_docs_say_how_foxglove_follows_a_namespace():
    """By a command, which is run here: every topic of ours moves, and that of all nodes stays."""
    path = CONFIG / 'foxglove_layout.json'
    text = (CONFIG.parent / 'docs' / 'robot.md').read_text()
    (command,) = re.findall(r"^sed '([^']*)' \\\n .*/config/foxglove_layout\.json", text, re.M)
    moved = subprocess.run(['sed', command, path], capture_output=True, text=True, check=True)
    before, after = topics(json.loads(path.read_text())), topics(json.loads(moved.stdout))
    assert {'/annotated', '/diagnostics'} <= before
    assert after == {
        name if name == '/diagnostics' else f'/action_recognition{name}' for name in before
    }
