"""The perception node: every image accounted for, headers kept, bad images survived."""

from __future__ import annotations

import array
import logging

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_recipes import header, image
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from action_recognition.errors import UserError
from action_recognition.msg import ActionLabel, ActionLabelArray, SkeletonArray
from action_recognition.nodes import perception as perception_module
from action_recognition.nodes import worker as worker_module
from action_recognition.nodes.convert import stamp_to_ns
from action_recognition.nodes.images import bgr_to_jpeg, to_bgr
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.pose.gaze import LookConfig


def accounted(node):
    kinds = ('processed', 'repeated', 'dropped', 'rejected', 'errors')
    return sum(node.health.counted(kind) for kind in kinds)


@pytest.fixture
def node(graph, estimator):
    return graph.node(
        PerceptionNode, estimator_factory=lambda *args: estimator, parameters={'look.mode': 'full'}
    )


@pytest.fixture
def feed(graph, node):
    """Sends an image and waits until it is accounted for."""
    publisher = graph.publisher(Image, 'image', image_qos())

    def send(message):
        total = accounted(node)
        publisher.publish(message)
        graph.until(lambda: accounted(node) > total)

    send.publisher = publisher
    return send


def test_every_image_gets_an_answer_under_its_header(graph, node, feed):
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    feed(image(0))
    feed(image(40, grey=0))  # nobody
    graph.until(lambda: len(skeletons) == 2)
    assert [message.header for message in skeletons] == [header(0), header(40)]
    assert [len(message.skeletons) for message in skeletons] == [1, 0]
    assert (skeletons[0].image_width, skeletons[0].image_height) == (64, 48)
    person = skeletons[0].skeletons[0]
    assert person.track_id == 1
    assert (person.joints[2].x, person.joints[2].y) == (34.0, 36.0)


def test_latest_image_wins_and_dropped_ones_are_counted(graph, node, feed, estimator):
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    estimator.gate.clear()
    for index in range(5):
        feed.publisher.publish(image(index * 40))
        graph.until(lambda n=index + 1: node.health.counted('received') == n)
        if index == 0:
            graph.until(lambda: not node._worker._waiting)
    assert node.health.counted('dropped') == 3
    estimator.gate.set()
    graph.until(lambda: len(skeletons) == 2)
    assert [stamp_to_ns(m.header.stamp) for m in skeletons] == estimator.stamps
    assert skeletons[-1].header == header(160)
    assert accounted(node) == node.health.counted('received') == 5


def bad_images():
    no_size = Image(header=header(40), encoding='bgr8')
    step = image(40)
    step.step = 10
    encoding = image(40)
    encoding.encoding = 'bayer_rggb8'
    depth = Image(
        header=header(40),
        encoding='32FC1',
        width=2,
        height=2,
        step=8,
        data=array.array('B', np.full(4, np.nan, np.float32).tobytes()),
    )
    return {'size 0': no_size, 'step': step, 'encoding': encoding, 'NaN depth': depth}


def values(report):
    return {entry.key: entry.value for entry in report.status[0].values}


@pytest.mark.parametrize('fault', bad_images())
def test_bad_images_are_reported_and_survived(graph, node, feed, fault):
    reports = graph.collect(DiagnosticArray, '/diagnostics', 10)
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    feed(image(0))
    feed(bad_images()[fault])
    feed(image(80))
    graph.until(lambda: len(skeletons) == 2)
    assert node.health.counted('rejected') == 1
    # The first one may have come before any image did.
    graph.until(lambda: any('rejected' in values(report) for report in reports))
    told = next(report for report in reports if 'rejected' in values(report))
    assert told.status[0].level == DiagnosticStatus.WARN
    assert values(told)['rejected'] == '1'
    assert values(told)['last_problem']


def test_a_fault_of_the_network_is_survived(graph, node, feed):
    feed(image(0, grey=13))
    feed(image(40))
    assert (node.health.counted('errors'), node.health.counted('processed')) == (1, 1)


@pytest.mark.parametrize('part', ['draw', 'look around'])
def test_an_image_that_breaks_after_its_answer_is_counted_once(
    graph, node, feed, monkeypatch, part
):
    def fail(*args):
        raise RuntimeError('out of luck')

    if part == 'draw':
        graph.collect(Image, 'annotated', image_qos())
        monkeypatch.setattr(perception_module, 'draw_people', fail)
    else:
        monkeypatch.setattr(node._stage, 'look_around', fail)
    feed(image(0))
    graph.until(lambda: node.health.counted('late_errors') == 1)
    monkeypatch.undo()
    feed(image(40))
    assert (node.health.counted('errors'), node.health.counted('processed')) == (0, 2)
    assert accounted(node) == node.health.counted('received') == 2


def test_an_image_that_comes_again_is_answered_as_before(graph, node, feed, estimator):
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    feed(image(0))
    feed(image(0, grey=30))
    graph.until(lambda: len(skeletons) == 2)
    assert skeletons[0] == skeletons[1]
    assert len(estimator.stamps) == 1
    assert node.health.counted('repeated') == 1
    assert node.health.report('', 'active').message == 'running'


def test_a_driver_that_does_not_stamp_its_images_is_reported(graph, node, feed):
    for grey in range(20, 24):
        feed(image(0, grey=grey))
    assert node.health.counted('repeated') == 3
    assert 'must stamp its images' in node.health.report('', 'active').message


def test_clock_jump_begins_new_identities(graph, node, feed):
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    for ms in (1000, 1040, 0):
        feed(image(ms))
    graph.until(lambda: len(skeletons) == 3)
    assert [m.skeletons[0].track_id for m in skeletons] == [1, 1, 2]


def test_compressed_images(graph, estimator):
    node = graph.node(
        PerceptionNode,
        estimator_factory=lambda *args: estimator,
        parameters={'image_transport': 'compressed', 'look.mode': 'full'},
    )
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    send = graph.publisher(CompressedImage, 'image/compressed', image_qos())
    send.publish(CompressedImage(format='jpeg', header=header(0)))
    graph.until(lambda: node.health.counted('rejected') == 1)
    send.publish(bgr_to_jpeg(np.full((48, 64, 3), 90, np.uint8), header(40), 95))
    graph.until(lambda: skeletons)
    assert skeletons[0].header == header(40)


def test_pictures_only_for_those_who_look(graph, node, feed):
    feed(image(0))
    assert node.health.report('', 'active').values[-1].key == 'last_problem'
    annotated = graph.collect(Image, 'annotated', image_qos())
    markers = graph.collect(MarkerArray, 'markers', result_qos())
    feed(image(40))
    graph.until(lambda: annotated and markers)
    assert annotated[0].header == header(40)
    assert (to_bgr(annotated[0]) != 90).any()
    assert [marker.ns for marker in markers[0].markers] == ['skeletons']


def test_annotated_shows_the_labels(graph, node, feed):
    annotated = graph.collect(Image, 'annotated', image_qos())
    feed(image(0, size=(240, 320)))
    graph.until(lambda: len(annotated) == 1)
    actions = graph.publisher(ActionLabelArray, 'actions', result_qos())
    actions.publish(ActionLabelArray(actions=[ActionLabel(track_id=1, label='wave')]))
    graph.until(lambda: node._captions)
    feed(image(40, size=(240, 320)))
    graph.until(lambda: len(annotated) == 2)
    before, after = (to_bgr(picture) for picture in annotated)
    assert (before != after).any()


def test_deactivation_frees_the_network(graph, node, feed, estimator):
    feed(image(0))
    node.trigger_deactivate()
    assert estimator.closed
    graph.until(lambda: feed.publisher.get_subscription_count() == 0)


def test_a_network_that_hangs_holds_nobody(graph, node, feed, estimator, monkeypatch):
    monkeypatch.setattr(worker_module, 'STOP_TIMEOUT', 0.05)
    estimator.gate.clear()
    feed.publisher.publish(image(0))
    graph.until(lambda: node.health.counted('received') and not node._worker._waiting)
    hung = node._worker._thread
    node.trigger_deactivate()
    status = node.health.report('', 'inactive')
    assert (status.level, node.is_active) == (DiagnosticStatus.ERROR, False)
    assert 'still at work' in status.message
    assert not estimator.closed  # it is in use
    estimator.gate.set()
    hung.join(60)
    node.trigger_activate()
    assert node.health.report('', 'active').level != DiagnosticStatus.ERROR


def test_an_answer_that_comes_after_the_node_began_anew_is_nobodys(graph, estimator, monkeypatch):
    monkeypatch.setattr(worker_module, 'STOP_TIMEOUT', 0.05)
    made = []
    node = graph.node(
        PerceptionNode,
        estimator_factory=lambda *_: made.append(type(estimator)()) or made[-1],
        parameters={'look.mode': 'full'},
    )
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    publisher = graph.publisher(Image, 'image', image_qos())
    made[0].gate.clear()
    publisher.publish(image(0))
    graph.until(lambda: node.health.counted('received') and not node._worker._waiting)
    hung = node._worker._thread
    node.trigger_deactivate()
    node.trigger_activate()
    graph.until(lambda: graph.peer.count_subscribers('image') == 1)
    graph.until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(image(20_000))
    graph.until(lambda: len(skeletons) == 1)
    made[0].gate.set()
    hung.join(60)
    publisher.publish(image(20_040))
    graph.until(lambda: len(skeletons) > 1)
    assert [sent.header for sent in skeletons] == [header(20_000), header(20_040)]
    assert [[who.track_id for who in sent.skeletons] for sent in skeletons] == [[1], [1]]
    assert [estimator.closed for estimator in made] == [True, False]


def test_parameters_reach_network_and_tracker(graph, estimator):
    calls = []

    def factory(*args):
        calls.append(args)
        return estimator

    node = graph.node(
        PerceptionNode,
        estimator_factory=factory,
        parameters={
            'model': 'other',
            'device': 'cpu',
            'input_size': 128,
            'runtime': 'torch',
            'backend': 'rtmlib',
            'decoder.max_people': 3,
            'look.crop_size': 192,
            'look.full_every': 4,
            'tracker.max_lost': 2.5,
        },
    )
    ((model, device, config),) = calls
    assert (model, device, config.input_size, config.decoder.max_people) == ('other', 'cpu', 128, 3)
    assert (config.runtime, config.backend) == ('torch', 'rtmlib')
    facts = {item.key: item.value for item in node.health.report('', '').values}
    assert (facts['device'], facts['runtime']) == ('cpu', 'oracle float32')
    assert node._stage.tracker.config.max_lost == 2.5
    assert node._stage.gaze.config == LookConfig('crops', full_every=4, crop_size=192)
    (result,) = node.set_parameters([Parameter('tracker.confirmations', value=7)])
    assert result.successful
    assert node._stage.tracker.config.confirmations == 7
    assert node._stage.tracker.config.max_lost == 2.5
    (result,) = node.set_parameters([Parameter('tracker.low_score', value=0.9)])
    assert not result.successful
    assert 'low_score <= high_score' in result.reason
    (result,) = node.set_parameters([Parameter('look.mode', value='full')])
    assert result.successful
    assert node._stage.gaze.config == LookConfig('full', full_every=4, crop_size=192)
    (result,) = node.set_parameters([Parameter('look.crop_size', value=100)])
    assert not result.successful
    assert 'multiple of 8' in result.reason
    assert node._stage.gaze.config.crop_size == 192


def test_warnings_from_below_reach_the_log_and_the_diagnostics(graph, estimator):
    log = logging.getLogger('action_recognition.pose.runtimes')

    def factory(*args):
        log.warning('runtime %r does not work here', 'openvino')
        log.warning('runtime %r does not work here', 'onnxruntime')
        return estimator

    lines = []
    qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    graph.peer.create_subscription(Log, '/rosout', lines.append, qos)
    node = graph.node(PerceptionNode, estimator_factory=factory, parameters={'look.mode': 'full'})
    texts = [f'runtime {name!r} does not work here' for name in ('openvino', 'onnxruntime')]
    graph.until(lambda: [line.msg for line in lines if 'does not work' in line.msg] == texts)
    assert {line.name for line in lines} == {'perception'}
    status = node.health.report('', '')
    assert status.level == DiagnosticStatus.WARN
    assert status.message == texts[1]
    node.trigger_deactivate()
    log.warning('of nobody')
    facts = {item.key: item.value for item in node.health.report('', '').values}
    assert facts['last_problem'] == texts[1]


def test_absent_gpu(graph):
    def factory(*args):
        raise UserError("device 'cuda' was asked for, but torch sees 0 GPUs")

    node = graph.node(PerceptionNode, active=False, estimator_factory=factory)
    assert not node.autostart()
    status = node.health.report('', '')
    assert status.level == DiagnosticStatus.ERROR
    assert 'torch sees 0 GPUs' in status.message


def test_ids_go_on_after_deactivation(graph, node, feed, estimator):
    estimator.close = lambda: None  # one stands for all
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    feed(image(0))
    node.trigger_deactivate()
    node.trigger_activate()
    graph.until(lambda: graph.peer.count_subscribers('image') == 1)
    feed(image(40))
    graph.until(lambda: len(skeletons) == 2)
    assert [m.skeletons[0].track_id for m in skeletons] == [1, 2]
