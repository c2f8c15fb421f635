"""Where the perception node looks: crops round people, and the full image for newcomers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from node_recipes import header
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from action_recognition.errors import UserError
from action_recognition.msg import SkeletonArray
from action_recognition.nodes import perception as perception_module
from action_recognition.nodes.images import bgr_to_image
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.pose.decode import People
from action_recognition.pose.tensorrt_runtime import MOST_IMAGES
from action_recognition.skeleton import NUM_JOINTS, Poses


class WhiteBoxes:
    """Every white box in an image is a person, their joints spread over it."""

    name, device, runtime = 'boxes', 'cpu', 'oracle float32'

    def __init__(self):
        self.inputs, self.prepared = [], []

    def prepare(self, shape):
        self.prepared.append(shape)

    def people(self, images):
        self.inputs.append(images.shape)
        return [self._find(image) for image in images]

    def estimate(self, image, stamp=0):
        self.inputs.append(image.shape)
        return Poses(*self._find(image), stamp=stamp, image_size=image.shape[1::-1])

    def _find(self, image):
        white = (image[..., 0] > 200).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(white)
        across = np.tile([0.5, 0.5, 0, 0, 0, 1, 1], 2)[:, None]  # shoulders and hips lie apart
        along = np.linspace(0, 1, NUM_JOINTS)[:, None]
        xy = [
            np.array([x, y]) + np.hstack([across * (width - 1), along * (height - 1)])
            for x, y, width, height, _ in boxes[1:]
        ]
        xy = np.array(xy, np.float32).reshape(-1, NUM_JOINTS, 2)
        return People(xy, np.full(xy.shape[:2], 0.9, np.float32))

    def close(self):
        pass


def boxes(ms, *corners, size=(240, 320)):
    picture = np.zeros((*size, 3), np.uint8)
    for x, y in corners:
        picture[y : y + 80, x : x + 30] = 255
    return bgr_to_image(picture, header(ms))


def test_every_number_of_crops_is_prepared_before_the_node_is_active(graph):
    estimator, seen = WhiteBoxes(), []
    node = graph.node(
        PerceptionNode,
        active=False,
        estimator_factory=lambda *args: estimator,
        parameters={'look.max_crops': 3, 'look.crop_size': 64},
    )
    subscribe = node.subscribe_images
    node.subscribe_images = lambda *args: (seen.extend(estimator.prepared), subscribe(*args))
    assert node.autostart()
    assert seen == [(number, 64, 64, 3) for number in (1, 2, 3)]


def test_crops_that_the_network_does_not_take_are_refused(graph):
    class Choosy(WhiteBoxes):
        def require(self, shape):
            if shape[0] * shape[1] > 200:
                raise UserError(f'takes no {shape[0]} crops of {shape[1]}')

    node = graph.node(
        PerceptionNode,
        estimator_factory=lambda *args: Choosy(),
        parameters={'look.max_crops': 2, 'look.crop_size': 96},
    )
    before = node._stage.gaze.config
    (result,) = node.set_parameters([Parameter('look.crop_size', value=104)])
    assert (result.successful, result.reason) == (False, 'takes no 2 crops of 104')
    assert node._stage.gaze.config is before
    changes = [Parameter('look.crop_size', value=104), Parameter('look.max_crops', value=1)]
    assert node.set_parameters_atomically(changes).successful
    assert node._stage.gaze.config.crop_size == 104


def test_crops_follow_people_and_the_full_image_finds_newcomers(graph):
    estimator = WhiteBoxes()
    node = graph.node(
        PerceptionNode,
        estimator_factory=lambda *args: estimator,
        parameters={'look.mode': 'crops', 'look.full_every': 4, 'look.crop_size': 96},
    )
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    publisher = graph.publisher(Image, 'image', image_qos())
    full, crop = (240, 320, 3), (96, 96, 3)
    scenes = [[(50 + 3 * i, 60)] + [(200, 90)] * (i > 1) for i in range(8)]
    for i, corners in enumerate(scenes):
        publisher.publish(boxes(40 * i, *corners))
        graph.until(lambda n=i: len(skeletons) == n + 1)
        if i == 4:  # at once, not with the next image
            graph.until(lambda: estimator.inputs[5:] == [full])
    # The newcomer of the 3rd image is seen when the full image is due, after the 5th.
    expected = [full, (1, *crop), (1, *crop), (1, *crop), (1, *crop), full]
    expected += [(2, *crop), (2, *crop), (2, *crop)]
    assert estimator.inputs == expected
    assert [[s.track_id for s in m.skeletons] for m in skeletons] == [[1]] * 7 + [[1, 2]]
    for message, corners in zip(skeletons, scenes, strict=True):
        for skeleton, corner in zip(message.skeletons, corners, strict=False):
            nose, ankle = skeleton.joints[0], skeleton.joints[13]
            assert (nose.x, nose.y) == pytest.approx(np.add(corner, (14.5, 0)), abs=1.5)
            assert (ankle.x, ankle.y) == pytest.approx(np.add(corner, (29, 79)), abs=1.5)
    assert (node.health.counted('full_images'), node.health.counted('crops')) == (2, 10)
    facts = {item.key: item.value for item in node.health.report('', '').values}
    assert (facts['full_images'], facts['crops']) == ('2', '10')


def test_newcomers_are_looked_for_though_drawing_fails(graph, monkeypatch):
    def fail(*args):
        raise RuntimeError('out of luck')

    monkeypatch.setattr(perception_module, 'draw_people', fail)
    estimator = WhiteBoxes()
    node = graph.node(
        PerceptionNode,
        estimator_factory=lambda *args: estimator,
        parameters={'look.mode': 'crops', 'look.full_every': 1, 'look.crop_size': 96},
    )
    graph.collect(Image, 'annotated', image_qos())
    publisher = graph.publisher(Image, 'image', image_qos())
    for i in range(2):
        publisher.publish(boxes(40 * i, (50, 60)))
        graph.until(lambda n=i: node.health.counted('late_errors') == n + 1)
    full, crop = (240, 320, 3), (1, 96, 96, 3)
    graph.until(lambda: estimator.inputs == [full, crop, full])
    graph.until(lambda: node.health.counted('full_images') == 2)


def test_another_size_of_the_image_and_a_clock_jump_are_looked_at_in_full(graph):
    estimator = WhiteBoxes()
    graph.node(
        PerceptionNode,
        estimator_factory=lambda *args: estimator,
        parameters={'look.mode': 'crops', 'look.crop_size': 96},
    )
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    publisher = graph.publisher(Image, 'image', image_qos())
    scenes = [(1000, (240, 320)), (1040, (240, 320)), (1080, (480, 640)), (0, (480, 640))]
    for i, (ms, size) in enumerate(scenes):
        publisher.publish(boxes(ms, (50, 60), size=size))
        graph.until(lambda n=i: len(skeletons) == n + 1)
    assert estimator.inputs == [(240, 320, 3), (1, 96, 96, 3), (480, 640, 3), (480, 640, 3)]
    assert [[s.track_id for s in m.skeletons] for m in skeletons] == [[1], [1], [2], [3]]


def test_tensorrt_takes_all_crops_that_can_be_set_and_their_mirror_images():
    (setting,) = (s for s in PerceptionNode.SETTINGS if s.name == 'look.max_crops')
    assert 2 * setting.high <= MOST_IMAGES
