"""What all nodes share: life cycle, parameters, diagnostics, surviving bad input."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.exceptions import ParameterException
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from action_recognition.errors import UserError
from action_recognition.nodes import common
from action_recognition.nodes.common import Sealed, StageNode
from action_recognition.nodes.qos import image_qos, latched_qos, result_qos
from action_recognition.nodes.settings import Setting


class EchoNode(StageNode):
    """Says `word` when it starts, and what it hears."""

    NAME = 'echo'
    SETTINGS = (
        Setting('word', 'hello', 'What to say.', choices=('hello', 'bye', 'fail', 'break')),
        Setting('volume', 0.5, 'How loud.', 0, 1, live=True),
        Setting('times', 1, 'How often.', 1, 3),
    )

    def __init__(self, **options):
        super().__init__(**options)
        self.held = False
        self.volumes = []

    def configure(self):
        self.said = self.advertise(String, 'said', latched_qos())

    def start(self):
        self.held = True
        if self.value('word') == 'fail':
            raise UserError('nothing to say: give a word')
        if self.value('word') == 'break':
            raise KeyError('word')
        self.subscribe(String, 'heard', self.hear, result_qos())
        self.said.publish(String(data=self.value('word')))

    def stop(self):
        self.held = False

    def apply(self, changes):
        if changes.get('volume') == 0.0:
            raise UserError('silence is not allowed')
        self.volumes.append(changes['volume'])

    def hear(self, message):
        self.health.received()

        def work():
            if message.data == 'rude':
                raise UserError('the word is rude')
            if message.data == 'odd':
                raise ZeroDivisionError
            self.said.publish(message)

        self.attempt(work)


def state(node):
    return node._state_machine.current_state[1]


def test_life_cycle(graph):
    node = graph.node(EchoNode, active=False)
    assert state(node) == 'unconfigured'
    node.trigger_configure()
    said = graph.collect(String, 'said', latched_qos())
    assert (state(node), node.held) == ('inactive', False)
    node.trigger_activate()
    assert (state(node), node.held, node.is_active) == ('active', True, True)
    graph.until(lambda: said)
    assert graph.peer.count_subscribers('/heard') == 1
    node.trigger_deactivate()
    assert (state(node), node.held, node.is_active) == ('inactive', False, False)
    graph.until(lambda: graph.peer.count_subscribers('/heard') == 0)
    node.trigger_activate()
    graph.until(lambda: len(said) == 2)
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert state(node) == 'unconfigured'
    graph.until(lambda: graph.peer.count_publishers('/said') == 0)
    assert node.autostart()
    node.trigger_shutdown()
    assert (state(node), node.held) == ('finalized', False)


def test_a_lifecycle_manager_sees_the_state(graph):
    graph.node(EchoNode)
    client = graph.peer.create_client(GetState, 'echo/get_state')
    assert client.wait_for_service(60)
    future = client.call_async(GetState.Request())
    graph.until(future.done)
    assert future.result().current_state.id == State.PRIMARY_STATE_ACTIVE


def test_autostart_can_be_left_to_others(graph):
    node = graph.node(EchoNode, parameters={'autostart': False})
    assert state(node) == 'unconfigured'


@pytest.mark.parametrize(
    ('word', 'reason'), [('fail', 'nothing to say: give a word'), ('break', "KeyError: 'word'")]
)
def test_a_failed_start_gives_everything_back(graph, word, reason):
    node = graph.node(EchoNode, active=False, parameters={'word': word})
    reports = graph.collect(DiagnosticArray, '/diagnostics', 10)
    assert node.autostart() is False
    assert (state(node), node.held) == ('inactive', False)
    graph.until(lambda: reports and reports[-1].status[0].level == DiagnosticStatus.ERROR)
    status = reports[-1].status[0]
    assert status.name == '/echo'
    assert status.message.startswith(reason)
    node.set_parameters([Parameter('word', value='hello')])
    node.trigger_activate()
    graph.until(lambda: reports[-1].status[0].message == 'running')


def set_parameter(node, name, value):
    (result,) = node.set_parameters([Parameter(name, value=value)])
    return result.successful, result.reason


def test_parameters_at_run_time(graph):
    node = graph.node(EchoNode)
    assert set_parameter(node, 'volume', 0.75) == (True, '')
    assert (node.volumes, node.value('volume')) == ([0.75], 0.75)
    done, reason = set_parameter(node, 'volume', 1.5)
    assert not done and 'out of range' in reason
    assert set_parameter(node, 'volume', 0.0) == (False, 'silence is not allowed')
    done, reason = set_parameter(node, 'word', 'bye')
    assert not done and 'deactivate' in reason
    assert node.value('volume') == 0.75
    node.trigger_deactivate()
    done, reason = set_parameter(node, 'word', 'meow')
    assert not done and 'one of hello, bye' in reason
    assert set_parameter(node, 'word', 'bye') == (True, '')


@pytest.mark.parametrize(
    ('parameters', 'error'),
    [
        ({'volume': 1.5}, ParameterException),
        ({'times': 0}, ParameterException),
        ({'times': 'often'}, ParameterException),
        ({'word': 'meow'}, UserError),
    ],
)
def test_bad_parameters_at_start(graph, parameters, error):
    with pytest.raises(error, match=next(iter(parameters))):
        graph.node(EchoNode, parameters=parameters)


def test_descriptors(graph):
    node = graph.node(EchoNode, active=False)
    word, volume, times = node.describe_parameters(['word', 'volume', 'times'])
    assert word.description == 'What to say.'
    assert 'one of: hello, bye' in word.additional_constraints
    assert 'while the node is active' in word.additional_constraints
    assert volume.additional_constraints == ''
    assert (volume.floating_point_range[0].to_value, times.integer_range[0].to_value) == (1.0, 3)


def test_bad_input_is_survived_and_reported(graph):
    node = graph.node(EchoNode)
    said = graph.collect(String, 'said', latched_qos())
    reports = graph.collect(DiagnosticArray, '/diagnostics', 10)
    heard = graph.publisher(String, 'heard', result_qos())
    for word in ('rude', 'odd', 'fine'):
        heard.publish(String(data=word))
    graph.until(lambda: said and said[-1].data == 'fine')
    assert (node.health.counted('rejected'), node.health.counted('errors')) == (1, 1)
    graph.until(lambda: any(r.status[0].level == DiagnosticStatus.WARN for r in reports))
    values = {entry.key: entry.value for entry in reports[-1].status[0].values}
    assert values['received'] == '3'
    assert values['last_problem'].startswith('ZeroDivisionError')


class EyeNode(StageNode):
    """Looks at images for as long as `gate` is shut."""

    NAME = 'eye'

    def __init__(self, **options):
        super().__init__(**options)
        self.gate = threading.Event()
        self.seen = []

    def start(self):
        self.images = self.worker('eye', 'image', self.look)
        self.subscribe_images('image', 'raw', self.images)

    def stop(self):
        self.gate.set()
        if hasattr(self, 'images'):
            self.end_worker(self.images)

    def look(self, image):
        self.seen.append(image.header.frame_id)
        assert self.gate.wait(60)
        self.health.count('processed')


def test_images_that_are_dropped_are_not_deserialised(graph, monkeypatch):
    opened = []

    def deserialize(data, kind):
        opened.append(deserialize_message(data, kind))
        return opened[-1]

    monkeypatch.setattr(common, 'deserialize_message', deserialize)
    node = graph.node(EyeNode)
    images = graph.publisher(Image, 'image', image_qos())
    counted = node.health.counted
    for index in range(5):
        images.publish(Image(header=Header(frame_id=str(index))))
        graph.until(lambda n=index: counted('received') == n + 1)
        if index == 0:
            graph.until(lambda: node.seen)
    assert [image.header.frame_id for image in opened] == ['0']
    node.gate.set()
    graph.until(lambda: counted('processed') == 2)
    assert [image.header.frame_id for image in opened] == node.seen == ['0', '4']
    assert counted('dropped') == 3


def test_an_image_that_cannot_be_deserialised_is_rejected_once(graph):
    node = graph.node(EyeNode)
    node.gate.set()
    good = serialize_message(Image(header=Header(frame_id='good')))
    for rejected, data in ((1, good[:20]), (2, bytes(101)), (2, good)):
        node.images.offer(Sealed(data, Image, 'image', 100))
        graph.until(lambda n=rejected: node.health.counted('rejected') == n)
    graph.until(lambda: node.seen == ['good'])
    assert node.health.counted('errors') == 0


def test_qos_can_be_overridden(graph):
    node = graph.node(
        EchoNode, parameters={'qos_overrides./heard.subscription.reliability': 'best_effort'}
    )
    (info,) = node.get_subscriptions_info_by_topic('/heard')
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


@pytest.mark.parametrize('interrupted', [True, False])
def test_an_error_of_rclpy_counts_unless_the_process_was_interrupted(monkeypatch, interrupted):
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    def spin(executor):
        if interrupted:
            rclpy.shutdown()
        raise RuntimeError('failed to initialize wait set')

    monkeypatch.setattr(SingleThreadedExecutor, 'spin', spin)
    monkeypatch.setattr(common.signal, 'signal', lambda *_: None)
    if interrupted:
        assert common.run(list, []) == 0
        broken = SimpleNamespace(
            autostart=lambda: True,
            destroy_node=lambda: None,
            exit_code=1,
            get_parameters_by_prefix=lambda prefix: {},
            _parameter_overrides={},
        )
        monkeypatch.setattr(SingleThreadedExecutor, 'add_node', lambda executor, node: True)
        assert common.run(lambda: [broken], []) == 1
    else:
        with pytest.raises(RuntimeError, match='wait set'):
            common.run(list, [])
