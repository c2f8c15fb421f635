"""The session: what it takes in from a graph, and how it switches the camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import Transition
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from action_recognition.msg import ActionLabel, ActionLabelArray, SkeletonArray
from action_recognition.nodes.camera import CameraNode
from action_recognition.nodes.convert import ns_to_stamp, poses_to_msg
from action_recognition.nodes.images import bgr_to_image
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.nodes.session import Session
from action_recognition.skeleton import NUM_JOINTS, Poses

FRAME = 100_000_000
#: Seconds in which anything a test waits for has happened, even on a busy machine.
PATIENCE = 60.0
START = 1_700_000_000_000_000_001


@pytest.fixture
def recorded() -> list:
    return []


@pytest.fixture
def session(graph, domain_id, recorded) -> Iterator[Session]:
    with Session(domain_id, lambda *result: recorded.append(result)) as session:
        yield session


@contextmanager
def spinning(graph) -> Iterator[None]:
    """The graph works in a thread of its own while the block runs."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            graph.executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until(graph, session, condition) -> None:
    graph.until(lambda: session.spin(0.02) or condition())


def until_state(session, state) -> None:
    """While the graph spins in a thread of its own."""
    deadline = time.monotonic() + PATIENCE
    while (now := session.state('camera')) != state:
        assert time.monotonic() < deadline, f'{now}, not {state}'
        session.spin(0.02)


def header(i: int) -> Header:
    return Header(stamp=ns_to_stamp(START + i * FRAME), frame_id='eye')


def test_results_are_kept_and_recorded_once(graph, session, recorded):
    assert not session.is_heard()
    skeletons = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    actions = graph.publisher(ActionLabelArray, 'actions', result_qos())
    until(graph, session, session.is_heard)
    poses = Poses(np.ones((1, NUM_JOINTS, 2)), np.ones((1, NUM_JOINTS)), [5])
    label = ActionLabel(track_id=5, label='wave', class_id=1, confidence=0.5, scores=[0.5, 0.5])
    for i in (0, 1, 1, 2):  # one comes twice
        skeletons.publish(poses_to_msg(poses, header(i)))
        actions.publish(ActionLabelArray(header=header(i), actions=[label]))
        until(graph, session, lambda i=i: len(session.moments) == len(session.poses) == i + 1)
    session.spin(0.05)
    stamps = [START + i * FRAME for i in range(3)]
    assert list(session.poses) == list(session.moments) == stamps
    assert session.poses[START].track_id.tolist() == [5]
    assert [e.label for e in session.moments[START].estimates] == ['wave']
    assert session.span() == pytest.approx(0.2)
    assert session.rate() > 0
    assert len(recorded) == 6
    name, data, stamp = next(result for result in recorded if result[0] == 'actions')
    assert (name, stamp) == ('actions', START)
    assert deserialize_message(data, ActionLabelArray).actions[0].label == 'wave'


def test_damaged_results_are_noted(graph, session, recorded):
    skeletons = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    skeletons.publish(b'no message at all, but long enough for one')
    until(graph, session, lambda: session.problems)
    assert session.problems[0].startswith('a damaged message on skeletons')
    assert (recorded, session.poses) == ([], {})


def test_before_anything_came(session):
    assert (session.span(), session.rate(), session.state('camera')) == (0.0, 0.0, '')
    assert not session.switch('camera', Transition.TRANSITION_CONFIGURE)


def test_diagnostics(graph, session):
    publisher = graph.publisher(DiagnosticArray, '/diagnostics', 1)
    values = {
        'state': 'active',
        'received': '12',
        'pose_ms_mean': '4.50',
        'pose_ms_max': '9.00',
        'last_problem': 'too dark',
        'rate_hz': '9.9',
    }
    status = DiagnosticStatus(
        name='/perception',
        message='running',
        hardware_id='cuda:0',
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    for reports in (1, 2):
        publisher.publish(DiagnosticArray(status=[status]))
        until(graph, session, lambda n=reports: session.reports['perception'] == n)
    assert session.counts['perception'] == {'received': 12}
    assert session.times == {'perception pose': [4.5, 4.5]}
    assert session.states == {'perception': 'active'}
    assert session.messages == {'perception': 'running'}
    assert session.devices == {'perception': 'cuda:0'}
    assert session.problems == ['perception: too dark']


def test_switching_the_camera(graph, session, make_source):
    parameters = {'source': 'fake', 'autostart': False}
    graph.node(CameraNode, active=False, opener=lambda *_: make_source(), parameters=parameters)
    with spinning(graph):
        for transition, state in (
            (None, 'unconfigured'),
            (Transition.TRANSITION_CONFIGURE, 'inactive'),
            (Transition.TRANSITION_ACTIVATE, 'active'),
            (Transition.TRANSITION_DEACTIVATE, 'inactive'),
        ):
            if transition:
                assert session.switch('camera', transition)
            until_state(session, state)


def test_a_transition_that_fails(graph, session, tmp_path):
    settings = {'autostart': False, 'source': str(tmp_path / 'missing.mp4')}
    graph.node(CameraNode, active=False, parameters=settings)
    with spinning(graph):
        until_state(session, 'unconfigured')
        assert session.switch('camera', Transition.TRANSITION_CONFIGURE)
        assert not session.switch('camera', Transition.TRANSITION_ACTIVATE)


def test_images(graph, domain_id):
    seen: list[tuple[int, int]] = []
    with Session(
        domain_id, lambda *_: None, lambda image, stamp: seen.append((int(image[0, 0, 1]), stamp))
    ) as session:
        publisher = graph.publisher(Image, 'image', image_qos())
        image = bgr_to_image(np.full((4, 6, 3), 77, np.uint8), header(3))
        until(graph, session, lambda: publisher.publish(image) or seen)  # best effort
    assert seen[0] == (77, START + 3 * FRAME)
