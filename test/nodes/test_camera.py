"""The camera node: frames, stamps, lockstep, relaying a topic, and sources that break."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from action_recognition.errors import UserError
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes import camera as camera_module
from action_recognition.nodes.camera import CameraNode
from action_recognition.nodes.convert import ns_to_stamp, stamp_to_ns
from action_recognition.nodes.images import bgr_to_image, bgr_to_jpeg, to_bgr
from action_recognition.nodes.qos import image_qos, result_qos

MEDIA = {'source': 'fake', 'start_time': 100.0, 'frame_id': 'eye', 'exit_at_end': False}


def opens(source):
    return lambda spec, fps: source


def test_a_file_arrives_whole_with_media_stamps(graph, make_source):
    node = graph.node(CameraNode, opener=opens(make_source(frames=4, fps=20)), parameters=MEDIA)
    images = graph.collect(Image, 'image', image_qos())
    graph.until(lambda: len(images) == 4)
    assert [stamp_to_ns(image.header.stamp) for image in images] == [
        100_000_000_000 + 50_000_000 * i for i in range(4)
    ]
    assert {image.header.frame_id for image in images} == {'eye'}
    assert [int(to_bgr(image)[5, 5, 1]) for image in images] == [20, 27, 34, 41]
    graph.until(lambda: node.health.report('', 'active').message == 'finished')
    assert node.health.counted('received') == node.health.counted('published') == 4


def test_a_bag_keeps_its_stamps_and_its_frame(graph, make_source):
    source = make_source(frames=2, fps=20)
    source.start, source.frame_id = 1_700_000_000_123_456_789, 'robot_eye'
    graph.node(CameraNode, opener=opens(source), parameters=MEDIA | {'start_time': -1.0})
    images = graph.collect(Image, 'image', image_qos())
    graph.until(lambda: len(images) == 2)
    stamps = [stamp_to_ns(image.header.stamp) for image in images]
    assert stamps == [1_700_000_000_123_456_789, 1_700_000_000_173_456_789]
    assert {image.header.frame_id for image in images} == {'robot_eye'}


def test_live_sources_are_stamped_by_the_clock(graph, make_source):
    source = make_source(frames=2)
    source.live = True
    node = graph.node(
        CameraNode, active=False, opener=opens(source), parameters=MEDIA | {'start_time': -1.0}
    )
    node.trigger_configure()
    images = graph.collect(Image, 'image', image_qos(reliable=False))
    before = node.get_clock().now().nanoseconds
    node.trigger_activate()
    graph.until(lambda: images)
    assert before <= stamp_to_ns(images[0].header.stamp) <= node.get_clock().now().nanoseconds


def test_scaled_and_compressed(graph, make_source):
    graph.node(CameraNode, opener=opens(make_source(frames=1)), parameters=MEDIA | {'max_size': 32})
    images = graph.collect(CompressedImage, 'image/compressed', image_qos())
    graph.until(lambda: images)
    assert to_bgr(images[0]).shape == (24, 32, 3)
    assert images[0].header.frame_id == 'eye'


@pytest.mark.parametrize(
    ('topic', 'kind'), [('skeletons', SkeletonArray), ('actions', ActionLabelArray)]
)
def test_lockstep(graph, make_source, topic, kind):
    node = graph.node(
        CameraNode,
        opener=opens(make_source(frames=3, fps=1)),
        parameters=MEDIA | {'lockstep': topic, 'lockstep_timeout': 600.0},
    )
    images = graph.collect(Image, 'image', image_qos(reliable=True))
    graph.executor.spin_once(timeout_sec=0.2)
    assert not images  # nobody is there to answer
    answers = graph.publisher(kind, topic, result_qos())
    for count in (1, 2, 3):
        graph.until(lambda count=count: len(images) == count)
        answers.publish(kind(header=Header(stamp=ns_to_stamp(7))))  # another frame's answer
        graph.executor.spin_once(timeout_sec=0.1)
        assert node.health.counted('published') == count
        answers.publish(kind(header=images[-1].header))
    graph.until(lambda: node.health.report('', 'active').message == 'finished')


def test_a_live_source_does_not_wait_for_answers(graph, make_source):
    source = make_source(frames=3)
    source.live = True
    node = graph.node(
        CameraNode,
        opener=opens(source),
        parameters=MEDIA | {'lockstep': 'skeletons', 'lockstep_timeout': 600.0},
    )
    graph.until(lambda: node.health.report('', 'active').message == 'finished')
    assert node.health.counted('published') == 3


def test_lockstep_without_answers_sends_again_then_goes_on(graph, make_source):
    node = graph.node(
        CameraNode,
        opener=opens(make_source(frames=2)),
        parameters=MEDIA | {'lockstep': 'skeletons', 'lockstep_timeout': 0.05},
    )
    graph.publisher(SkeletonArray, 'skeletons', result_qos())
    graph.collect(Image, 'image', image_qos(reliable=True))
    graph.until(lambda: node.health.counted('unanswered') == 2)
    assert node.health.counted('sent_again') == 2 * (camera_module.ATTEMPTS - 1)
    assert node.health.counted('published') == 2


def test_deactivation_ends_a_wait_for_an_answer(graph, make_source):
    source = make_source(frames=2)
    node = graph.node(
        CameraNode,
        opener=opens(source),
        parameters=MEDIA | {'lockstep': 'skeletons', 'lockstep_timeout': 600.0},
    )
    graph.publisher(SkeletonArray, 'skeletons', result_qos())
    images = graph.collect(Image, 'image', image_qos(reliable=True))
    graph.until(lambda: images)
    node.trigger_deactivate()
    assert source.closed
    assert len(images) == 1


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_relay_keeps_headers(graph, transport):
    node = graph.node(CameraNode, parameters={'source': 'topic', 'transport': transport})
    images = graph.collect(Image, 'image', image_qos())
    header = Header(stamp=ns_to_stamp(123_456_789_012), frame_id='robot_eye')
    picture = np.full((6, 8, 3), 77, np.uint8)
    if transport == 'raw':
        send = graph.publisher(Image, 'image_in', image_qos())
        bad, good = Image(header=header, encoding='bgr8'), bgr_to_image(picture, header)
    else:
        send = graph.publisher(CompressedImage, 'image_in/compressed', image_qos())
        bad = CompressedImage(header=header, data=array.array('B', b'rubbish'))
        good = bgr_to_jpeg(picture, header, 95)
    send.publish(bad)
    graph.until(lambda: node.health.counted('rejected') == 1)
    send.publish(good)
    graph.until(lambda: images)
    assert images[0].header == header
    np.testing.assert_allclose(to_bgr(images[0]), picture, atol=2)


def test_relay_thins_by_stamps(graph):
    node = graph.node(CameraNode, parameters={'source': 'topic', 'rate': 10.0})
    send = graph.publisher(Image, 'image_in', image_qos())
    picture = np.zeros((4, 4, 3), np.uint8)
    for index in range(6):
        send.publish(bgr_to_image(picture, Header(stamp=ns_to_stamp(index * 50_000_000))))
        graph.until(lambda index=index: node.health.counted('received') == index + 1)
        done = node.health.counted
        graph.until(lambda n=index + 1, done=done: done('published') + done('skipped') == n)
    assert node.health.counted('published') == 3


def test_a_source_that_cannot_be_opened(graph):
    def opener(spec, fps):
        raise UserError(f'source {spec!r} does not exist')

    node = graph.node(CameraNode, active=False, opener=opener, parameters=MEDIA)
    assert not node.autostart()
    assert node.health.report('', '').message == "source 'fake' does not exist"


@pytest.mark.parametrize(('source', 'opened'), [(0, '0'), ('/dev/video1', '/dev/video1')])
def test_the_number_of_a_camera_is_a_source(graph, make_source, source, opened):
    specs = []

    def opener(spec, fps):
        specs.append(spec)
        return make_source()

    graph.node(CameraNode, opener=opener, parameters={'source': source})
    assert specs == [opened]


def test_the_latest_start_is_the_latest_stamp(graph, make_source):
    (setting,) = (setting for setting in CameraNode.SETTINGS if setting.name == 'start_time')
    node = graph.node(
        CameraNode,
        opener=opens(make_source(frames=1)),
        parameters=MEDIA | {'start_time': float(setting.high)},
    )
    images = graph.collect(Image, 'image', image_qos())
    graph.until(lambda: images)
    assert images[0].header.stamp.sec == setting.high
    assert node.health.counted('errors') == 0


def test_other_types_are_no_source(graph):
    with pytest.raises(UserError, match='source must be a text, not True'):
        graph.node(CameraNode, parameters={'source': True})


def test_no_source(graph):
    node = graph.node(CameraNode, active=False)
    assert not node.autostart()
    assert 'parameter source is empty' in node.health.report('', '').message


def test_a_damaged_frame(graph, make_source):
    node = graph.node(
        CameraNode, opener=opens(make_source(frames=3, faults=(1,))), parameters=MEDIA
    )
    images = graph.collect(Image, 'image', image_qos())
    graph.until(lambda: len(images) == 2)
    assert node.health.counted('unreadable') == 1


def test_the_end_of_the_source_can_end_the_process(graph, make_source, monkeypatch):
    monkeypatch.setattr(camera_module, 'LINGER', 0.0)
    graph.node(
        CameraNode, opener=opens(make_source(frames=1)), parameters=MEDIA | {'exit_at_end': True}
    ).receivers.append(lambda picture: True)
    with pytest.raises(ExternalShutdownException):
        graph.until(lambda: False)


def test_a_file_that_breaks_off_has_not_finished(graph, make_source, monkeypatch):
    monkeypatch.setattr(camera_module, 'LINGER', 0.0)
    source = make_source()
    source.read = lambda: 1 / 0
    node = graph.node(CameraNode, opener=opens(source), parameters=MEDIA | {'exit_at_end': True})
    node.receivers.append(lambda picture: True)
    with pytest.raises(ExternalShutdownException):
        graph.until(lambda: False)
    assert node.health.report('', 'active').message.startswith('ZeroDivisionError')
    assert node.exit_code == 1
