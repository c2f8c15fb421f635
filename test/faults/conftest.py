"""The graph and the stand-ins of the tests of the nodes, and people who are good input."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

NODES = Path(__file__).resolve().parents[1] / 'nodes' / 'conftest.py'
_spec = importlib.util.spec_from_file_location('nodes_conftest', NODES)
_nodes = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _nodes
_spec.loader.exec_module(_nodes)
graph, estimator, make_source = _nodes.graph, _nodes.estimator, _nodes.make_source

#: Says by what a participant of Fast DDS sends, in place of the profile.
TRANSPORTS = 'FASTDDS_BUILTIN_TRANSPORTS'
MS = 1_000_000
START = 10**18


class People:
    """Two people who move, as messages by the number of the frame, 40 ms apart."""

    def __init__(self):
        self._body = np.random.default_rng(1).uniform(100, 300, (2, 14, 2))

    def skeletons(self, i, ids=(1, 2), stamp=None):
        from std_msgs.msg import Header

        from action_recognition.nodes.convert import ns_to_stamp, poses_to_msg
        from action_recognition.skeleton import Poses

        xy = self._body + np.array([3 * np.sin(0.3 * i), 2 * i % 50])
        poses = Poses(xy, np.full((2, 14), 0.9), ids, image_size=(640, 480))
        stamp = START + 40 * MS * i if stamp is None else stamp
        return poses_to_msg(poses, Header(stamp=ns_to_stamp(stamp), frame_id='eye'))

    def image(self, i, size=(48, 64), stamp=None):
        from std_msgs.msg import Header

        from action_recognition.nodes.convert import ns_to_stamp
        from action_recognition.nodes.images import bgr_to_image

        stamp = START + 40 * MS * i if stamp is None else stamp
        picture = np.full((*size, 3), 90 + i % 50, np.uint8)
        return bgr_to_image(picture, Header(stamp=ns_to_stamp(stamp), frame_id='eye'))


class RecognizerReference:
    """The recogniser alone, without a node and without faults."""

    def __init__(self):
        from action_recognition.recognition.stream import StreamingRecognizer
        from action_recognition.stages.recognition import DEFAULT_RECOGNIZER, Recognition

        self._stage = Recognition(StreamingRecognizer.from_weights(DEFAULT_RECOGNIZER))

    def answer(self, message):
        from action_recognition.nodes.convert import msg_to_poses
        from action_recognition.recognition.labels import UNKNOWN

        verdict = self._stage.process(msg_to_poses(message))
        return [
            ('' if e.class_id == UNKNOWN else e.label, [float(s) for s in e.scores])
            for e in verdict.estimates
        ]


@pytest.fixture
def no_shared_memory(monkeypatch):
    """In the process of the tests: Fast DDS may crash when it gives shared memory back.

    It does once in a while where a process that shared it was killed (docs/faults.md).
    """
    monkeypatch.setenv(TRANSPORTS, 'UDPv4')


@pytest.fixture
def child_environment(domain_id):
    """Gives that of processes, which have shared memory, as on a robot."""

    def environment():
        own = {name: value for name, value in os.environ.items() if name != TRANSPORTS}
        return own | {'ROS_DOMAIN_ID': str(domain_id)}

    return environment


@pytest.fixture
def make_reference():
    """Makes a recogniser alone, that knows nobody yet."""
    return RecognizerReference


@pytest.fixture
def stand_ins():
    """The module that has the stand-ins, for processes of their own."""
    return NODES


@pytest.fixture
def people():
    """Good input."""
    return People()


@pytest.fixture
def make_graph(domain_id):
    """Makes a graph when the test wants it, rather than before."""
    graphs = []

    def make():
        graphs.append(_nodes.Graph(domain_id))
        return graphs[-1]

    yield make
    for graph in graphs:
        graph.close()


@pytest.fixture
def handled(graph):
    """Sends a message to a node and waits until it is accounted for."""
    kinds = ('processed', 'repeated', 'dropped', 'rejected', 'errors')

    def total(node):
        return sum(node.health.counted(kind) for kind in kinds)

    def send(node, publisher, *messages):
        for message in messages:
            before = total(node)
            publisher.publish(message)
            graph.until(lambda n=before: total(node) > n, 0.002)

    return send
