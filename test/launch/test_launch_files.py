"""Launch files: they compile everywhere; where launch_ros is installed they are described."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from action_recognition import fastdds
from action_recognition.cli import play as cli_play
from action_recognition.cli.sample import SAMPLE_INPUT_SIZE

LAUNCH = Path(__file__).resolve().parents[2] / 'launch'
FILES = sorted(LAUNCH.glob('*.launch.py'))
RULES = {'behaviors': 'rules.yaml', 'rviz': 'true'}


def test_there_are_three():
    assert [path.name.partition('.')[0] for path in FILES] == [
        'action_recognition',
        'demo',
        'replay',
    ]


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_it_compiles_and_says_how_it_is_used(path):
    source = path.read_text()
    compile(source, path, 'exec')
    assert f'ros2 launch action_recognition {path.name}' in source


def load(path):
    spec = importlib.util.spec_from_file_location(path.name.replace('.', '_'), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """Runs the demo on a machine with or without a camera; what it hands on."""
    launch = pytest.importorskip('launch', reason='launch is not installed')
    pytest.importorskip('launch_ros', reason='launch_ros is not installed')
    module = load(LAUNCH / 'demo.launch.py')
    monkeypatch.setattr(module, 'fetch_sample', lambda: Path('/cache/sample.mp4'))

    def demo(camera, **arguments):
        monkeypatch.setattr(module, 'CAMERA', str(tmp_path if camera else tmp_path / 'none'))
        context = launch.LaunchContext()
        given = {'source': '', **module.ARGUMENTS, 'behaviors': 'rules.yaml', **arguments}
        context.launch_configurations.update(given)
        (graph,) = module.start(context)
        handed_on = dict(graph.launch_arguments)
        assert handed_on.keys() == given.keys()
        changed = {name: value for name, value in handed_on.items() if value != given[name]}
        return {**changed, 'source': handed_on['source']}

    return demo


@pytest.fixture
def describe(monkeypatch, tmp_path):
    """Runs the main launch file with these arguments; its nodes, with what they were made of."""
    launch = pytest.importorskip('launch', reason='launch is not installed')
    pytest.importorskip('launch_ros', reason='launch_ros is not installed')
    for name in list(os.environ):
        if name.startswith(('FASTRTPS_', 'FASTDDS_', 'RMW_')):
            monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    module = load(LAUNCH / 'action_recognition.launch.py')
    monkeypatch.setattr(module, 'share', lambda *path: str(LAUNCH.parent.joinpath(*path)))

    class Node(module.Node):
        def __init__(self, **options):
            super().__init__(**options)
            self.options = options

    monkeypatch.setattr(module, 'Node', Node)

    def describe(**arguments):
        context = launch.LaunchContext()
        for argument in module.ARGUMENTS:
            if argument.name in arguments:
                context.launch_configurations[argument.name] = arguments[argument.name]
            else:
                argument.visit(context)
        return {node.node_executable: node for node in module.start_nodes(context)}

    describe.module = module
    return describe


def overrides(nodes):
    """The parameters given to all of our nodes, by node."""
    ours = [node.options['parameters'] for node in nodes.values() if 'parameters' in node.options]
    assert all(files == ours[0] for files in ours)
    sections = yaml.safe_load(Path(ours[0][1]).read_text())
    return {
        name.removeprefix('/**/'): values['ros__parameters'] for name, values in sections.items()
    }


def test_nodes_of_the_arguments(describe):
    assert set(describe()) == {'perception', 'recognizer'}
    assert set(describe(source='0')) == {'camera', 'perception', 'recognizer'}
    assert set(describe(source='0', composed='true')) == {'pipeline'}
    assert set(describe(composed='true', behaviors='rules.yaml')) == {'pipeline', 'behavior'}
    assert set(describe(rviz='true')) == {'perception', 'recognizer', 'rviz2'}
    assert set(describe(source='0', rviz='true', composed='true')) == {'pipeline', 'rviz2'}


@pytest.mark.parametrize(
    ('source', 'composed', 'executable', 'topic', 'parameter'),
    [
        ('', 'false', 'perception', 'image', 'image_transport'),
        ('', 'true', 'pipeline', 'image', 'image_transport'),
        ('topic', 'false', 'camera', 'image_in', 'transport'),
        ('topic', 'true', 'pipeline', 'image_in', 'transport'),
    ],
)
def test_the_images_of_a_driver(describe, source, composed, executable, topic, parameter):
    nodes = describe(
        source=source, composed=composed, image='/eye/image_raw', image_transport='compressed'
    )
    remappings = {name: node.options.get('remappings') for name, node in nodes.items()}
    assert remappings.pop(executable) == [(topic, '/eye/image_raw')]
    assert not any(remappings.values())
    given = overrides(nodes)
    receiver = 'camera' if source else 'perception'
    assert given.pop(receiver)[parameter] == 'compressed'
    assert not any(name.endswith('transport') for values in given.values() for name in values)
    nodes = describe(source=source, composed=composed)  # or `image` would be its own image_in
    assert not any(node.options.get('remappings') for node in nodes.values())


@pytest.mark.parametrize('composed', ['false', 'true'])
@pytest.mark.parametrize(
    ('content', 'arguments', 'fault'),
    [
        ('/**/camera: {ros__parameters: {source: 0}}', {}, 'source 0, .* give source:=0'),
        ('/robot/camera: {ros__parameters: {source: topic}}', {}, 'give source:=topic'),
        ('robot: {camera: {ros__parameters: {source: a.mp4}}}', {}, 'give source:=a.mp4'),
        ('/**: {ros__parameters: {source: a.mp4}}', {}, 'give source:=a.mp4'),
        ('/**/behavior: {ros__parameters: {rules: a.yaml}}', {}, 'give behaviors:=a.yaml'),
        ('', {'source': '0', 'image': '/eye'}, 'image:=/eye .* source:=0 .* source:=topic'),
        # These are not in vain.
        ('/**/camera: {ros__parameters: {source: a.mp4}}', {'source': 'b.mp4'}, ''),
        ('/**/eye: {ros__parameters: {source: a.mp4}}', {}, ''),
        ('/**/camera: {ros__parameters: {max_size: 320}}', {'image': '/eye'}, ''),
        ('/**/behavior: {ros__parameters: {rules: a.yaml}}', {'behaviors': 'b.yaml'}, ''),
        ('', {'image': '/eye'}, ''),
    ],
)
def test_what_would_be_given_in_vain(describe, tmp_path, composed, content, arguments, fault):
    path = tmp_path / 'mine.yaml'
    path.write_text(content)
    refused = pytest.raises(ValueError, match=fault) if fault else contextlib.nullcontext()
    with refused:
        describe(params_file=str(path), composed=composed, **arguments)


@pytest.mark.parametrize(
    ('content', 'body', 'frame'),
    [
        ('', 'camera_link', 'camera_optical_frame'),
        ('/**/camera: {ros__parameters: {frame_id: eye_optical_frame}}', 'eye_link', None),
    ],
)
def test_the_frame_of_our_camera(describe, tmp_path, content, body, frame):
    path = tmp_path / 'mine.yaml'
    path.write_text(content)
    frame = frame or 'eye_optical_frame'

    def fixed_frame(**arguments):
        return describe(params_file=str(path), **arguments)['rviz2'].options['arguments'][2:]

    assert fixed_frame(source='0', rviz='true') == ['-f', frame]
    assert fixed_frame(source='0', rviz='true', publish_tf='true') == ['-f', body]
    assert fixed_frame(rviz='true') == []
    assert fixed_frame(rviz='true', source='topic') == []
    nodes = describe(params_file=str(path), source='0', publish_tf='true')
    arguments = nodes['static_transform_publisher'].options['arguments']
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert (given['--frame-id'], given['--child-frame-id']) == (body, frame)
    # Where x is forward of the body, z is forward in the image, and down there is y here.
    turns = [float(given[f'--{name}']) for name in ('roll', 'yaw')]
    turn = Rotation.from_euler('xz', turns)
    np.testing.assert_allclose(
        turn.apply([[0, 0, 1], [0, 1, 0]]), [[1, 0, 0], [0, 0, -1]], atol=1e-5
    )


@pytest.mark.parametrize(
    ('source', 'frame', 'fault'),
    [
        ('', 'eye_optical_frame', 'is for the images of a source'),
        ('topic', 'eye_optical_frame', 'is for the images of a source'),
        ('0', 'eye', 'ends in _optical_frame, not eye'),
    ],
)
def test_a_transform_that_would_be_wrong(describe, tmp_path, source, frame, fault):
    path = tmp_path / 'mine.yaml'
    path.write_text(f'/**/camera: {{ros__parameters: {{frame_id: {frame}}}}}')
    with pytest.raises(ValueError, match=fault):
        describe(params_file=str(path), source=source, publish_tf='true')


def test_the_frame_of_the_launch_file_is_that_of_the_node(describe):
    pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    from action_recognition.nodes.camera import CameraNode

    (frame,) = [setting.default for setting in CameraNode.SETTINGS if setting.name == 'frame_id']
    assert frame == describe.module.FRAME_ID


def test_every_node_has_an_enclave_in_the_policy(describe):
    policy = ElementTree.parse(LAUNCH.parent / 'config' / 'sros2' / 'policy.xml')
    paths = {enclave.get('path') for enclave in policy.iter('enclave')}
    given = {'source': '0', 'behaviors': 'rules.yaml'}
    nodes = [
        node
        for composed in ('false', 'true')
        for node in describe(composed=composed, enclaves='true', **given).values()
    ]
    arguments = [node.options['ros_arguments'] for node in nodes]
    assert {text[text.index('--enclave') + 1] for text in arguments} == paths
    for name, node in describe(**given).items():
        assert '--enclave' not in node.options['ros_arguments'], name


def test_the_transport_of_images_is_that_of_our_nodes_alone(describe, monkeypatch):
    nodes = describe(source='0', **RULES)
    given = {name: node.options.get('additional_env') for name, node in nodes.items()}
    ours = ('camera', 'perception', 'recognizer', 'behavior')
    assert {name: env for name, env in given.items() if env} == dict.fromkeys(
        ours, dict.fromkeys(fastdds.PROFILE_VARIABLES, str(fastdds.resources.find(fastdds.PROFILE)))
    )
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert not any(node.options.get('additional_env') for node in describe(source='0').values())


def test_what_is_launched_later_keeps_its_environment(describe):
    launch = pytest.importorskip('launch')
    context, before = launch.LaunchContext(), dict(os.environ)
    for entity in describe.module.generate_launch_description().entities:
        entity.visit(context)
    assert 'source' in context.launch_configurations
    assert dict(os.environ) == before


@pytest.mark.parametrize('name', ['max_size', 'input_size'])
def test_a_size_that_is_no_number_is_named(describe, name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of pixels, not 'big'"):
        describe(source='0', **{name: 'big'})


@pytest.mark.parametrize('composed', ['false', 'true'])
def test_what_is_given_reaches_the_node_that_has_it(describe, composed):
    """And what is not is left to the parameter file, save whether there is a camera node."""
    assert overrides(describe(composed=composed)) == {'camera': {'source': ''}}
    given = {'source': 'off', 'lockstep': 'off', 'max_size': '320', 'exit_at_end': 'true'}
    given |= {'device': 'cuda', 'input_size': '160', 'behaviors': 'rules.yaml'}
    nodes = describe(composed=composed, autostart='false', use_sim_time='true', **given)
    shared = {'autostart': False, 'use_sim_time': True}
    player = {'source': 'off', 'lockstep': 'off', 'max_size': 320, 'exit_at_end': True}
    assert overrides(nodes) == {
        'camera': {**player, **shared},
        'perception': {'device': 'cuda', 'input_size': 160, **shared},
        'recognizer': shared,
        'behavior': {'rules': 'rules.yaml', **shared},
    }


def test_what_is_given_goes_before_the_parameter_file(describe, domain_id):
    rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    from rclpy.node import Node

    files = describe(source='0', max_size='320')['camera'].options['parameters']
    context = rclpy.Context()
    arguments = [part for path in files for part in ('--params-file', path)]
    context.init(['--ros-args', *arguments], domain_id=domain_id)
    node = Node(
        'camera',
        context=context,
        namespace='/robot/head',
        automatically_declare_parameters_from_overrides=True,
    )
    values = [node.get_parameter(name).value for name in ('source', 'max_size', 'jpeg_quality')]
    node.destroy_node()
    context.try_shutdown()
    assert values == ['0', 320, 90]  # a camera's number is the text that `source` is


@pytest.mark.parametrize(
    ('arguments', 'ending', 'again'),
    [
        ({}, '', ''),
        ({'required': 'true'}, 'camera perception recognizer behavior', ''),
        ({'respawn': 'true'}, '', 'camera perception recognizer behavior'),
        ({'respawn': 'true', 'exit_at_end': 'true'}, 'camera', 'perception recognizer behavior'),
        ({'composed': 'true', 'exit_at_end': 'true'}, 'pipeline', ''),
        ({'composed': 'true', 'respawn': 'true'}, '', 'pipeline behavior'),
        ({'required': 'true', 'respawn': 'true'}, 'camera perception recognizer behavior', ''),
    ],
)
def test_what_the_end_of_a_node_leads_to(describe, arguments, ending, again):
    from launch.actions import Shutdown

    nodes = describe(source='0', **RULES, **arguments)
    ends = {name for name, node in nodes.items() if 'on_exit' in node.options}
    assert ends == set(ending.split())
    assert all(isinstance(nodes[name].options['on_exit'], Shutdown) for name in ends)
    respawned = {name for name, node in nodes.items() if node.options.get('respawn')}
    assert respawned == set(again.split())
    assert all(nodes[name].options['respawn_delay'] > 0 for name in respawned)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_every_argument_is_described(path):
    pytest.importorskip('launch_ros', reason='launch_ros is not installed')
    from launch.actions import DeclareLaunchArgument

    entities = load(path).generate_launch_description().entities
    arguments = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    assert len(arguments) > 5
    assert all(argument.description for argument in arguments)


def test_what_the_demo_plays(demo, tmp_path):
    assert demo(camera=True) == {'source': str(tmp_path)}
    sample = {'source': '/cache/sample.mp4'}
    assert demo(camera=False) == {**sample, 'input_size': str(SAMPLE_INPUT_SIZE)}
    assert demo(camera=False, input_size='160') == sample
    assert demo(camera=False, source='clip.mp4') == {'source': 'clip.mp4'}


@pytest.mark.parametrize(
    ('around', 'namespace', 'full'),
    [
        (None, '', ''),
        (None, 'robot', '/robot'),
        (None, '/robot/head', '/robot/head'),
        ('/robot', 'head', '/robot/head'),
        ('robot', '', '/robot'),
    ],
)
def test_the_player_waits_for_both_nodes_and_comes_from_where_colcon_puts_it(
    around, namespace, full
):
    launch = pytest.importorskip('launch', reason='launch is not installed')
    pytest.importorskip('launch_ros', reason='launch_ros is not installed')
    from launch.utilities import perform_substitutions
    from launch_ros.substitutions import ExecutableInPackage

    context = launch.LaunchContext()
    context.launch_configurations.update({'namespace': namespace, 'rate': '2.0', 'bag': 'walk'})
    if around is not None:
        context.launch_configurations['ros_namespace'] = around
    ((program,), *arguments) = load(LAUNCH / 'replay.launch.py').play(context)[0].cmd
    assert isinstance(program, ExecutableInPackage)
    parser = argparse.ArgumentParser()
    cli_play.add_arguments(parser)
    asked = parser.parse_args([perform_substitutions(context, part) for part in arguments[1:]])
    assert asked.active == [f'{full}/perception', f'{full}/recognizer']
    assert (asked.bag, asked.rate, asked.clock, asked.lockstep) == (Path('walk'), 2.0, True, None)
    assert asked.wait > 60


def test_a_replay_hands_on_all_it_is_told_about_the_nodes():
    pytest.importorskip('launch_ros', reason='launch_ros is not installed')
    from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription

    entities = load(LAUNCH / 'replay.launch.py').generate_launch_description().entities
    declared = {e.name for e in entities if isinstance(e, DeclareLaunchArgument)}
    (graph,) = [e for e in entities if isinstance(e, IncludeLaunchDescription)]
    handed_on = dict(graph.launch_arguments)
    assert {'namespace', 'image', 'params_file'} <= declared
    fixed = {name: handed_on.pop(name) for name in ('use_sim_time', 'autostart', 'required')}
    assert declared - {'bag', 'rate'} == handed_on.keys()
    assert set(fixed.values()) == {'true'}
