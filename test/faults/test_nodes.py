"""What happens to nodes: lost weights, a lost GPU, transitions at random, two robots, kills."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from sensor_msgs.msg import Image

from action_recognition import weights
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.nodes.recognizer import RecognizerNode
from action_recognition.pose.revival import FAILURES
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.stages.recognition import DEFAULT_RECOGNIZER

#: Set in a process that runs one test alone.
FRESH = 'ACTION_RECOGNITION_FRESH_PROCESS'
#: Frames of 40 ms within which labels are back.
SECOND = 25


def state(node):
    return node._state_machine.current_state[1]


@pytest.fixture
def copied(tmp_path):
    """A weights file of the tests' own."""
    path = tmp_path / 'mine.safetensors'
    shutil.copy(weights.find('online_union32'), path)
    return path


@pytest.mark.parametrize('way', ['deleted', 'emptied'])
def test_weights_lost_under_a_running_node(graph, people, copied, way):
    node = graph.node(RecognizerNode, parameters={'model': str(copied)})
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    publisher = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    content = copied.read_bytes()
    if way == 'deleted':
        copied.unlink()
    else:
        with copied.open('r+b') as file:
            file.truncate(0)
    publisher.publish(people.skeletons(0))  # it runs on
    graph.until(lambda: len(actions) == 1)
    node.trigger_deactivate()
    node.trigger_activate()
    assert state(node) == 'inactive'
    assert 'mine.safetensors' in node.health.report('', '').message
    copied.write_bytes(content)
    node.trigger_activate()
    assert state(node) == 'active'
    graph.until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(people.skeletons(1))
    graph.until(lambda: len(actions) == 2)
    assert [a.track_id for a in actions[1].actions] == [1, 2]


def test_the_gpu_is_lost(graph, people, estimator, handled):
    """The runtime of the estimator raises from now on; a new one takes over on the CPU."""
    devices = []

    class Lost(type(estimator)):
        device = 'cuda:0'
        lost = False

        def estimate(self, image, stamp=0):
            if self.lost:
                raise RuntimeError('CUDA error: an illegal memory access was encountered')
            return super().estimate(image, stamp)

    gpu = Lost()

    def factory(model, device, config):
        devices.append(device)
        if device == 'cpu':
            return estimator
        if gpu.lost:
            raise RuntimeError('CUDA error: no device')
        return gpu

    node = graph.node(PerceptionNode, estimator_factory=factory, parameters={'look.mode': 'full'})
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    publisher = graph.publisher(Image, 'image', image_qos())
    handled(node, publisher, people.image(0))
    gpu.lost = True
    handled(node, publisher, *(people.image(i) for i in range(1, FAILURES + 2)))
    graph.until(lambda: len(skeletons) == 2)
    assert skeletons[1].skeletons[0].track_id == skeletons[0].skeletons[0].track_id
    assert devices == ['auto', 'auto', 'cpu']
    assert node.health.counted('errors') == FAILURES
    assert node.health.counted('revivals') == 1
    facts = {item.key: item.value for item in node.health.report('', '').values}
    assert facts['device'] == 'cpu'


#: By the state a node is in: what a lifecycle manager may ask for, and where that leads.
WAYS = {
    'unconfigured': {'configure': 'inactive'},
    'inactive': {'activate': 'active', 'cleanup': 'unconfigured'},
    'active': {'deactivate': 'inactive'},
}
NAMES = ('configure', 'activate', 'deactivate', 'cleanup')


def test_transitions_at_random(graph, people, estimator, handled):
    """500 of them, also those that the state does not allow, while images come."""
    estimator.close = lambda: None  # one stands for all
    node = graph.node(
        PerceptionNode, estimator_factory=lambda *_: estimator, parameters={'look.mode': 'full'}
    )
    publisher = graph.publisher(Image, 'image', image_qos())
    chance = random.Random(7)
    where, threads = 'active', threading.active_count()
    for i in range(500):
        name = chance.choice(NAMES)
        trigger = getattr(node, f'trigger_{name}')
        if name in WAYS[where]:
            trigger()
            where = WAYS[where][name]
        else:
            with pytest.raises(Exception, match=r'[Tt]ransition'):
                trigger()
        assert state(node) == where
        publisher.publish(people.image(i))
        graph.executor.spin_once(timeout_sec=0)
    for name in {'unconfigured': NAMES[:2], 'inactive': NAMES[1:2], 'active': ()}[where]:
        getattr(node, f'trigger_{name}')()
    assert threading.active_count() == threads
    assert len(node._owned_subscriptions) == 2
    assert len(node._owned_publishers) == 3
    graph.until(lambda: publisher.get_subscription_count() == 1)
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    handled(node, publisher, *(people.image(i) for i in range(1000, 1000 + SECOND)))
    graph.until(lambda: skeletons and skeletons[-1].skeletons)


def test_two_robots_do_not_hear_each_other(graph, people):
    robots = {}
    for name, ids in (('/one', (1, 2)), ('/two', (7, 9))):
        graph.node(RecognizerNode, namespace=name)
        actions = graph.collect(ActionLabelArray, f'{name}/actions', result_qos())
        publisher = graph.publisher(SkeletonArray, f'{name}/skeletons', result_qos())
        robots[name] = (ids, actions, publisher)
    for i in range(10):
        for j, (ids, _, publisher) in enumerate(robots.values()):
            publisher.publish(people.skeletons(i + 100 * j, ids))
    graph.until(lambda: all(len(actions) == 10 for _, actions, _ in robots.values()))
    for ids, actions, _ in robots.values():
        assert all([a.track_id for a in m.actions] == list(ids) for m in actions)


@pytest.fixture
def run_process(child_environment):
    """Starts a process; one that is left is killed."""
    processes = []

    def run(command):
        process = subprocess.Popen(command, env=child_environment())
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def start(run_process):
    """Starts a node as a process."""

    def start(node, *arguments, prefix=()):
        command = [*prefix, sys.executable, '-m', 'action_recognition.cli', 'run', node]
        return run_process([*command, *arguments])

    return start


@pytest.mark.usefixtures('no_shared_memory')
def test_killed_recognizer(graph, start, people):
    """Killed by -9 and started again, it answers the first good message."""
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    publisher = graph.peer.create_publisher(SkeletonArray, 'skeletons', result_qos())
    frame = 0
    for _ in range(2):
        process = start('recognizer')
        seen = len(actions)

        def answered(seen=seen):
            nonlocal frame
            if publisher.get_subscription_count():
                publisher.publish(people.skeletons(frame))
                frame += 1
            return len(actions) > seen

        graph.until(answered)
        assert {a.track_id for a in actions[-1].actions} == {1, 2}
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


#: A perception process whose network is the stand-in of the module that it is given.
PERCEPTION = """
import importlib.util, sys
from action_recognition.nodes.common import run
from action_recognition.nodes.perception import PerceptionNode
spec = importlib.util.spec_from_file_location('stand_ins', sys.argv[1])
stand_ins = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stand_ins)
sys.exit(run(
    lambda: [PerceptionNode(estimator_factory=lambda *_: stand_ins.FakeEstimator())],
    ['--ros-args', '-p', 'look.mode:=full'],
))
"""


@pytest.mark.usefixtures('no_shared_memory')
def test_killed_perception(graph, run_process, people, stand_ins):
    """Its ids begin anew; person 1 of the new process is nobody whom the recogniser knows."""
    taken = []

    class Recorder(StreamingRecognizer):
        def update(self, poses):
            taken.append(poses)
            return super().update(poses)

    node = graph.node(RecognizerNode, recognizer_factory=Recorder.from_weights)
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    publisher = graph.peer.create_publisher(Image, 'image', image_qos())
    frames = 0

    def show(images):
        """Images 40 ms apart, each sent until it is answered."""
        nonlocal frames
        for _ in range(images):
            image = people.image(frames)
            frames += 1

            def answered(image=image):
                publisher.publish(image)
                return actions and actions[-1].header.stamp == image.header.stamp

            graph.until(answered)

    for life in range(2):
        taken.clear()
        process = run_process([sys.executable, '-c', PERCEPTION, str(stand_ins)])
        show(SECOND)
        assert node.health.counted('resets') == life
        assert {a.track_id for a in actions[-1].actions} == {1}
        clean = StreamingRecognizer.from_weights(DEFAULT_RECOGNIZER)
        for poses in taken:  # of this life alone
            estimates = clean.update(poses)
        assert [list(a.scores) for a in actions[-1].actions] == [list(e.scores) for e in estimates]
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


@pytest.fixture
def other_host():
    """Words before a command that run it on another host: a network namespace, one cable away."""
    name, here, there = 'ar_other_host', 'ar_here', 'ar_there'
    steps = (
        f'netns add {name}',
        f'link add {here} type veth peer name {there} netns {name}',
        f'addr add 10.213.77.1/30 dev {here}',
        f'link set {here} up',
        f'-n {name} addr add 10.213.77.2/30 dev {there}',
        f'-n {name} link set lo up',
        f'-n {name} link set {there} up',
        f'-n {name} route add default via 10.213.77.1',
    )
    if shutil.which('ip') is None:
        pytest.skip('no `ip` to make a second network with')
    try:
        for step in steps:
            made = subprocess.run(['ip', *step.split()], capture_output=True, text=True)
            if made.returncode:
                pytest.skip(f'a second network may not be made here: {made.stderr.strip()}')
        yield ('ip', 'netns', 'exec', name)
    finally:
        subprocess.run(['ip', 'netns', 'delete', name], capture_output=True)


@pytest.mark.usefixtures('no_shared_memory')
def test_recognizer_on_another_host(
    request, make_graph, start, run_process, people, stand_ins, monkeypatch
):
    """Perception here, recogniser there: skeletons go over a network and labels come back.

    By the default settings of DDS, for processes that each know of their own network only.
    """
    if FRESH not in os.environ:
        # DDS looks for networks once in a process, which earlier tests have used up.
        command = [sys.executable, '-m', 'pytest', '-rs', f'{__file__}::{request.node.name}']
        made = subprocess.run(
            command, env=os.environ | {FRESH: '1'}, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stdout
        if '1 passed' not in made.stdout:
            pytest.skip(made.stdout.partition('SKIPPED')[2].splitlines()[0])
        return
    other_host = request.getfixturevalue('other_host')
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    processes = [
        start('recognizer', prefix=other_host),
        run_process([sys.executable, '-c', PERCEPTION, str(stand_ins)]),
    ]
    # After the cable: a participant knows the networks that there were when it began.
    graph = make_graph()
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    publisher = graph.publisher(Image, 'image', image_qos())
    frame = 0

    def answered():
        nonlocal frame
        publisher.publish(people.image(frame))
        frame += 1
        return sum(bool(message.actions) for message in actions) >= 5

    graph.until(answered)
    assert [process.poll() for process in processes] == [None, None]
    assert {message.header.frame_id for message in actions} == {'eye'}


@pytest.mark.usefixtures('no_shared_memory')
def test_killed_camera(graph, start, estimator, tmp_path):
    """Started again it sends other stamps at another size; people are found in the next images."""
    for i in range(5):
        picture = np.full((48, 64, 3), 90 + i, np.uint8)
        cv2.imwrite(str(tmp_path / f'{i}.png'), picture)
    graph.node(
        PerceptionNode, estimator_factory=lambda *_: estimator, parameters={'look.mode': 'full'}
    )
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    source = ['-p', f'source:={tmp_path}', '-p', 'loop:=true', '-p', 'exit_at_end:=false']
    for start_time, size in (('100.0', 64), ('50.0', 32)):
        camera = start(
            'camera', *source, '-p', f'start_time:={start_time}', '-p', f'max_size:={size}'
        )
        since = len(skeletons)

        def found(since=since, size=size):
            return any(m.skeletons and m.image_width == size for m in skeletons[since:])

        graph.until(found)
        new = [m for m in skeletons[since:] if m.image_width == size]
        assert any(m.skeletons for m in new[:SECOND])
        camera.kill()
        camera.wait()
