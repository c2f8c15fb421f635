"""What supervises the nodes may rely on: lifecycle services and diagnostics, and nothing else.

As the lifecycle manager of Nav2 does, the tests look at real nodes by `change_state`, `get_state`
and `/diagnostics` only.
"""

from __future__ import annotations

import shutil
import threading
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.msg import ActionLabel, ActionLabelArray, SkeletonArray
from action_recognition.nodes import health as health_module
from action_recognition.nodes import player as player_module
from action_recognition.nodes.camera import CameraNode
from action_recognition.nodes.common import StageNode
from action_recognition.nodes.convert import ns_to_stamp, poses_to_msg
from action_recognition.nodes.images import bgr_to_image
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.nodes.recognizer import RecognizerNode
from action_recognition.skeleton import NUM_JOINTS, Poses

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
#: By the state a node is in: what it can be asked for, and where that leads, by
#: https://design.ros2.org/articles/node_lifecycle.html.
WAYS = {
    'unconfigured': {
        CONFIGURE: 'inactive',
        Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: 'finalized',
    },
    'inactive': {
        ACTIVATE: 'active',
        CLEANUP: 'unconfigured',
        Transition.TRANSITION_INACTIVE_SHUTDOWN: 'finalized',
    },
    'active': {DEACTIVATE: 'inactive', Transition.TRANSITION_ACTIVE_SHUTDOWN: 'finalized'},
    'finalized': {},
}
#: Transitions that lead into each state from the beginning.
ROUTES = {
    'unconfigured': (),
    'inactive': (CONFIGURE,),
    'active': (CONFIGURE, ACTIVATE),
    'finalized': (CONFIGURE, Transition.TRANSITION_INACTIVE_SHUTDOWN),
}
NOBODY_KNOWS = 250


class Supervisor:
    """Asks one node, and hears what it says."""

    def __init__(self, graph, name):
        self._graph, self._name = graph, name
        self._change = graph.peer.create_client(ChangeState, f'{name}/change_state')
        self._get = graph.peer.create_client(GetState, f'{name}/get_state')
        self._reports = graph.collect(DiagnosticArray, '/diagnostics', 50)
        graph.until(lambda: self._change.service_is_ready() and self._get.service_is_ready())

    def _ask(self, client, request):
        future = client.call_async(request)
        self._graph.until(future.done)
        return future.result()

    def change(self, transition, label=''):
        """Whether the transition succeeded."""
        wanted = Transition(id=transition, label=label)
        return self._ask(self._change, ChangeState.Request(transition=wanted)).success

    def state(self):
        return self._ask(self._get, GetState.Request()).current_state.label

    def bring_up(self):
        assert self.change(CONFIGURE) and self.change(ACTIVATE)

    def statuses(self):
        return [s for r in self._reports for s in r.status if s.name == self._name]

    def status(self):
        """What the node says from now on first."""
        told = len(self.statuses())
        self._graph.until(lambda: len(self.statuses()) > told)
        return self.statuses()[-1]


def header(index):
    return Header(stamp=ns_to_stamp(10**18 + 40_000_000 * index), frame_id='eye')


def skeletons(index, *ids):
    xy, score = np.full((len(ids), NUM_JOINTS, 2), 20.0), np.ones((len(ids), NUM_JOINTS))
    return poses_to_msg(Poses(xy, score, np.array(ids), image_size=(64, 48)), header(index))


def values(status):
    return {entry.key: entry.value for entry in status.values}


@pytest.fixture
def supervise(graph):
    """A node that is left to its supervisor, and the supervisor."""

    def supervise(kind, parameters=None, **options):
        parameters = {'autostart': False} | (parameters or {})
        node = graph.node(kind, active=False, parameters=parameters, **options)
        assert node.autostart()
        return Supervisor(graph, node.get_fully_qualified_name())

    return supervise


@pytest.fixture
def perception(supervise, estimator):
    estimator.close = lambda: None  # one stands for all
    return supervise(PerceptionNode, {'look.mode': 'full'}, estimator_factory=lambda *_: estimator)


@pytest.mark.parametrize('state', WAYS)
def test_a_transition_that_the_state_does_not_allow_fails_and_nothing_else(perception, state):
    for transition in ROUTES[state]:
        assert perception.change(transition)
    for transition in (*range(9), NOBODY_KNOWS):
        if transition not in WAYS[state]:
            assert not perception.change(transition)
            assert perception.state() == state
    labels = {'configure', 'cleanup', 'activate', 'deactivate', 'nonsense'}
    allowed = {'unconfigured': {'configure'}, 'inactive': {'cleanup', 'activate'}}
    for label in labels - allowed.get(state, {'deactivate'} if state == 'active' else set()):
        assert not perception.change(0, label)
    assert perception.state() == state
    for transition, goal in list(WAYS[state].items())[:1]:
        assert perception.change(transition)
        assert perception.state() == goal


def test_transitions_by_label(perception):
    for label, goal in (
        ('configure', 'inactive'),
        ('activate', 'active'),
        ('deactivate', 'inactive'),
        ('cleanup', 'unconfigured'),
        ('shutdown', 'finalized'),
    ):
        assert perception.change(0, label)
        assert perception.state() == goal


def test_diagnostics_name_the_real_state(perception):
    for transition in (None, CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP, CONFIGURE):
        assert transition is None or perception.change(transition)
        assert values(perception.status())['state'] == perception.state()
    assert perception.change(Transition.TRANSITION_INACTIVE_SHUTDOWN)
    assert values(perception.status())['state'] == perception.state() == 'finalized'


@pytest.mark.parametrize('fault', ['hangs', 'always fails'])
def test_a_network_that_hangs_or_always_fails_is_an_error_until_it_answers(
    graph, perception, estimator, monkeypatch, fault
):
    monkeypatch.setattr(health_module, 'OUTPUT_TIMEOUT', 0.5)
    perception.bring_up()
    publisher = graph.publisher(Image, 'image', image_qos())
    shown = 0

    def becomes(level, grey, words=''):
        """Whether it says so while images of this grey come."""
        nonlocal shown
        publisher.publish(bgr_to_image(np.full((48, 64, 3), grey, np.uint8), header(shown)))
        shown += 1
        said = perception.statuses()
        return said and said[-1].level == level and words in said[-1].message

    graph.until(lambda: becomes(DiagnosticStatus.OK, 90, 'running'))
    if fault == 'hangs':
        estimator.gate.clear()
    grey = 13 if fault == 'always fails' else 90  # 13 breaks the stand-in
    words = 'no output for' if fault == 'hangs' else 'RuntimeError: out of luck'
    graph.until(lambda: becomes(DiagnosticStatus.ERROR, grey, words))
    assert perception.state() == values(perception.statuses()[-1])['state'] == 'active'
    estimator.gate.set()
    graph.until(lambda: becomes(DiagnosticStatus.OK, 90, 'running'))


@pytest.mark.parametrize(
    'transition',
    [DEACTIVATE, Transition.TRANSITION_ACTIVE_SHUTDOWN],
    ids=['deactivate', 'shutdown'],
)
def test_a_recognizer_that_stops_ends_everybody_it_knows(graph, supervise, recognizer, transition):
    supervisor = supervise(RecognizerNode, recognizer_factory=lambda *_: recognizer)
    assert supervisor.change(CONFIGURE)
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    assert supervisor.change(ACTIVATE)
    publisher = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    for index, ids in enumerate([(3, 5), (5,), ()]):  # both may still come back
        publisher.publish(skeletons(index, *ids))
    graph.until(lambda: len(actions) == 3)
    assert supervisor.change(transition)
    graph.until(lambda: len(actions) == 4)
    assert actions[-1].header == actions[-2].header == header(2)
    ended = [(a.track_id, a.label, a.state) for a in actions[-1].actions]
    assert ended == [(3, 'wave', ActionLabel.ENDED), (5, 'wave', ActionLabel.ENDED)]


def test_a_recognizer_that_knows_nobody_has_nobody_to_end(graph, supervise, recognizer):
    supervisor = supervise(RecognizerNode, recognizer_factory=lambda *_: recognizer)
    supervisor.bring_up()
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    publisher = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    publisher.publish(skeletons(0, 3))
    graph.until(lambda: len(actions) == 1)
    for transition in (DEACTIVATE, ACTIVATE, DEACTIVATE, ACTIVATE):
        assert supervisor.change(transition)
    graph.until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(skeletons(1, 4))
    graph.until(lambda: len(actions) == 3)
    assert [[a.track_id for a in message.actions] for message in actions] == [[3], [3], [4]]


@pytest.mark.parametrize('spec', ['0', 'rtsp://robot:secret@camera/stream'])
def test_a_camera_that_is_missing_at_the_start_delivers_when_it_appears(
    graph, supervise, make_source, monkeypatch, spec
):
    monkeypatch.setattr(player_module, 'REOPEN_INTERVAL', 0.05)
    present = threading.Event()

    class Camera(make_source):
        live = True

        def read(self):
            time.sleep(0.01)
            return super().read()

    def opener(spec, fps):
        if not present.is_set():
            raise UserError('the camera does not exist: plug one in')
        return Camera(frames=10**6)

    supervisor = supervise(CameraNode, {'source': spec}, opener=opener)
    supervisor.bring_up()
    graph.until(lambda: 'plug one in' in supervisor.status().message)
    for _ in range(2):
        assert supervisor.status().level == DiagnosticStatus.WARN
    assert supervisor.state() == 'active'
    images = graph.collect(Image, 'image', image_qos())
    present.set()
    graph.until(lambda: images)
    graph.until(lambda: supervisor.status().message == 'running')
    assert values(supervisor.status())['source'] == Camera.name
    assert supervisor.change(DEACTIVATE)


@pytest.mark.parametrize('source', ['/no/such.mp4', 'no_such_bag.mcap', 'file:///no/such.mp4'])
def test_a_file_that_is_missing_is_an_error_at_once(supervise, source):
    supervisor = supervise(CameraNode, {'source': source})
    assert supervisor.change(CONFIGURE)
    assert not supervisor.change(ACTIVATE)
    status = supervisor.status()
    assert (status.level, values(status)['state']) == (DiagnosticStatus.ERROR, 'inactive')
    assert source.rpartition('/')[2] in status.message


@pytest.mark.parametrize(
    ('kind', 'model', 'topic'),
    [(PerceptionNode, 'pose', 'skeletons'), (RecognizerNode, 'online_union32', 'actions')],
)
def test_weights_that_are_missing_fail_the_configuration_until_they_are_there(
    graph, supervise, estimator, recognizer, tmp_path, kind, model, topic
):
    path = tmp_path / 'mine.safetensors'
    stand_in, option = {
        PerceptionNode: (estimator, 'estimator_factory'),
        RecognizerNode: (recognizer, 'recognizer_factory'),
    }[kind]
    supervisor = supervise(kind, {'model': str(path)}, **{option: lambda *_: stand_in})
    for _ in range(2):
        assert not supervisor.change(CONFIGURE)
        assert supervisor.state() == 'unconfigured'
        status = supervisor.status()
        assert (status.level, values(status)['state']) == (DiagnosticStatus.ERROR, 'unconfigured')
        assert status.message == f'weights file {path} does not exist'
        assert graph.peer.count_publishers(topic) == 0
    shutil.copy(weights.find(model), path)
    assert supervisor.change(CONFIGURE)
    status = supervisor.status()
    assert (status.level, status.message) == (DiagnosticStatus.OK, 'inactive')
    assert supervisor.change(ACTIVATE)
    assert graph.peer.count_publishers(topic) == 1


@pytest.mark.parametrize(
    ('kind', 'parameters', 'words'),
    [
        (PerceptionNode, {'model': 'online_union32'}, 'holds action weights'),
        (PerceptionNode, {'device': 'cuda:99'}, "device 'cuda:99' was asked for"),
        (PerceptionNode, {'tracker.low_score': 0.9}, 'low_score <= high_score'),
        (RecognizerNode, {'model': 'pose'}, 'holds pose weights'),
        (RecognizerNode, {'device': 'gpu'}, "unknown device 'gpu'"),
        (CameraNode, {}, 'parameter source is empty'),
    ],
)
def test_what_needs_no_device_is_checked_by_the_configuration(supervise, kind, parameters, words):
    supervisor = supervise(kind, parameters)
    assert not supervisor.change(CONFIGURE)
    status = supervisor.status()
    assert (status.level, values(status)['state']) == (DiagnosticStatus.ERROR, 'unconfigured')
    assert words in status.message


def test_a_network_that_cannot_be_closed_is_given_up(graph, supervise, estimator):
    def close():
        raise RuntimeError('CUDA error: the launch timed out')

    estimator.close = close
    supervisor = supervise(PerceptionNode, estimator_factory=lambda *_: estimator)
    supervisor.bring_up()
    assert supervisor.change(DEACTIVATE)
    assert supervisor.state() == 'inactive'
    assert 'the launch timed out' in values(supervisor.status())['last_problem']
    assert supervisor.change(ACTIVATE)


def test_a_stop_that_fails_leaves_a_node_that_can_be_configured_anew(graph, supervise):
    class Stubborn(StageNode):
        NAME = 'stubborn'

        def configure(self):
            self.advertise(Header, 'said', result_qos())

        def stop(self):
            if self.state == 'deactivating':
                raise RuntimeError('out of luck')

    supervisor = supervise(Stubborn)
    for _ in range(2):
        supervisor.bring_up()
        assert graph.peer.count_publishers('said') == 1
        assert not supervisor.change(DEACTIVATE)
        assert supervisor.state() == 'unconfigured'
        status = supervisor.status()
        assert status.level == DiagnosticStatus.ERROR
        assert status.message.startswith('RuntimeError: out of luck')
