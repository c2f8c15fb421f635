"""Ten thousand broken messages, stamps out of order, jumps of the clock: good input goes on."""

from __future__ import annotations

import array
import random
import struct
from collections import Counter

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
pytest.importorskip('hypothesis', reason='hypothesis is not installed')

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.convert import ns_to_stamp, stamp_to_ns
from action_recognition.nodes.images import bgr_to_jpeg
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.nodes.recognizer import RecognizerNode

#: Broken messages between two good ones: the queue of a reader holds 100.
BATCH = 50


def fuzz(examples):
    """The same broken input every time; what fails is shown as it came."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


KINDS = ('value', 'ids', 'twins', 'cut', 'bytes', 'length', 'large', 'empty')

#: How one message is broken: how, by what value, and the seed of the rest. Crowds are rare, since
#: one takes as long to deserialise as 30 other messages.
BREAKS = st.lists(
    st.tuples(
        st.sampled_from([*KINDS * 6, 'crowd']),
        st.sampled_from([float('inf'), -float('inf'), 3e38, -3e38, 2e5, 7.5, -1.0]),
        st.integers(0, 2**32 - 1),
    ),
    min_size=BATCH,
    max_size=BATCH,
)


class Breaker:
    """Makes serialised messages that must be refused, or be harmless, of one that is good."""

    def __init__(self, message):
        self._good = serialize_message(message)
        self._message = deserialize_message(self._good, SkeletonArray)

    def crowd(self, people):
        """More people than are allowed."""
        crowd = SkeletonArray(header=self._message.header)
        crowd.skeletons = [self._message.skeletons[0]] * people
        return serialize_message(crowd)

    def change(self, *changes):
        """The message with other values: (part, field, value) of each."""
        before = [(part, name, getattr(part, name)) for part, name, _ in changes]
        for change in changes:
            setattr(*change)
        data = serialize_message(self._message)
        for change in before:
            setattr(*change)
        return data

    def __call__(self, kind, value, seed):
        chance = random.Random(seed)
        one, two = self._message.skeletons
        joint = chance.choice(one.joints)
        if kind == 'value':  # 7.5 is a place but no score
            name = chance.choice(['x', 'y', 'score']) if abs(value) > 8 else 'score'
            return self.change((joint, name, value))
        if kind == 'twins':
            return self.change((two, 'track_id', one.track_id))
        if kind == 'ids':  # of nobody or huge, and a value that is refused
            track_id = chance.choice([-1, -(2**63), 2**63 - 1])
            return self.change((one, 'track_id', track_id), (joint, 'score', 2.0))
        if kind == 'crowd':
            return self.crowd(chance.randrange(65, 90))
        if kind == 'large':
            return bytes(2**18 + 1)
        if kind == 'empty':
            return b''
        if kind == 'cut':
            return self._good[: chance.randrange(1, len(self._good) - 20)]
        if kind == 'bytes':
            return chance.randbytes(chance.randrange(1, 60))
        assert kind == 'length'  # the sequence declares more people than there are bytes
        at = self._good.index(struct.pack('<III', 640, 480, 2)) + 8
        return (
            self._good[:at] + struct.pack('<I', chance.randrange(3, 2**32)) + self._good[at + 4 :]
        )


def test_fuzzed_skeletons_leave_no_trace(graph, people, make_reference):
    """10,000 broken messages: answers to the good ones are those of an undisturbed node."""
    node = graph.node(RecognizerNode)
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    publisher = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    sent = Counter()
    # Stamped later than anything good: if one were taken in, the good would come late.
    broken = Breaker(people.skeletons(0, stamp=10**18 + 10**17))

    def ask():
        # Messages of one sender come in order: once this is answered, all before it have been seen.
        publisher.publish(people.skeletons(sent['good']))
        sent['good'] += 1
        graph.until(lambda: len(actions) == sent['good'])

    @fuzz(10_000 // BATCH)
    @given(BREAKS)
    def disturb(breaks):
        ask()
        for kind, value, seed in breaks:
            publisher.publish(broken(kind, value, seed))
            sent['bad'] += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecognizerNode, 'warn', lambda *_: None)
        disturb()
    assert sent['bad'] >= 10_000
    assert node.health.counted('processed') == sent['good'] == len(actions)
    assert node.health.counted('errors') == 0
    # Fast DDS itself leaves out what cannot be CDR; the node accounts for what it is given.
    rejected = node.health.counted('rejected')
    assert sent['bad'] / 2 < rejected <= sent['bad']
    assert node.health.counted('received') == rejected + sent['good']
    clean = make_reference()
    for i, message in enumerate(actions):
        assert [(a.label, list(a.scores)) for a in message.actions] == clean.answer(
            people.skeletons(i)
        )


IMAGES = st.tuples(
    st.sampled_from(['bgr8', 'rgb8', 'mono8', 'mono16', '32FC1', 'uyvy', 'bayer_rggb8', '', 'é']),
    st.sampled_from([0, 1, 3, 64, 2**14, 2**14 + 1, 2**31, 2**32 - 1]),
    st.sampled_from([0, 1, 3, 48, 2**14, 2**31, 2**32 - 1]),
    st.sampled_from([0, 1, 191, 192, 2**32 - 1]),
    st.binary(max_size=2000),
)


def test_fuzzed_images(graph, people, estimator, handled):
    node = graph.node(
        PerceptionNode, estimator_factory=lambda *_: estimator, parameters={'look.mode': 'full'}
    )
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    publisher = graph.publisher(Image, 'image', image_qos())
    handled(node, publisher, people.image(0))

    @fuzz(300)
    @given(IMAGES)
    def disturb(parts):
        encoding, width, height, step, data = parts
        bad = people.image(0, stamp=10**18 + MINUTE)
        bad.encoding, bad.width, bad.height, bad.step = encoding, width, height, step
        bad.data = array.array('B', data)
        if len(data) < max(step, 1) * height:  # otherwise it is a small image and none that is bad
            handled(node, publisher, bad)

    disturb()
    assert node.health.counted('errors') == 0
    assert node.health.counted('processed') == 1
    assert node.health.counted('rejected') > 100
    handled(node, publisher, people.image(1))
    graph.until(lambda: len(skeletons) == 2)
    assert skeletons[1].skeletons[0].track_id == skeletons[0].skeletons[0].track_id


MINUTE = 60 * 10**9


def test_fuzzed_compressed_images(graph, people, estimator, handled):
    parameters = {'look.mode': 'full', 'image_transport': 'compressed'}
    node = graph.node(PerceptionNode, estimator_factory=lambda *_: estimator, parameters=parameters)
    publisher = graph.publisher(CompressedImage, 'image/compressed', image_qos())
    header = people.image(0).header
    good = bytes(bgr_to_jpeg(np.full((48, 64, 3), 90, np.uint8), header, 90).data)
    bomb = bytearray(good)
    at = bomb.index(b'\xff\xc0')
    bomb[at + 5 : at + 9] = struct.pack('>HH', 65000, 65000)

    @fuzz(100)
    @given(st.one_of(st.just(bytes(bomb)), st.binary(max_size=100), st.integers(1, 200)))
    def disturb(data):
        data = good[:data] if isinstance(data, int) else data
        handled(node, publisher, CompressedImage(data=array.array('B', data), header=header))

    disturb()
    assert (node.health.counted('errors'), node.health.counted('processed')) == (0, 0)
    handled(node, publisher, CompressedImage(data=array.array('B', good), header=header))
    assert node.health.counted('processed') == 1


def test_duplicate_and_reordered_stamps_change_nobody(graph, people, make_reference):
    graph.node(RecognizerNode)
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    publisher = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    order = [0, 1, 1, 3, 2, 3, 4, 7, 5, 6, 8, 8, 9]
    for i in order:
        publisher.publish(people.skeletons(i))
    graph.until(
        lambda: (
            stamp_to_ns(actions[-1].header.stamp if actions else ns_to_stamp(0))
            == stamp_to_ns(people.skeletons(9).header.stamp)
        )
    )
    clean = make_reference()
    answers = {}
    for i in (0, 1, 3, 4, 7, 8, 9):
        message = people.skeletons(i)
        answers[stamp_to_ns(message.header.stamp)] = clean.answer(message)
    for message in actions:
        answer = [(a.label, list(a.scores)) for a in message.actions]
        assert answer == answers[stamp_to_ns(message.header.stamp)]


@pytest.mark.parametrize('jump', [-3600, 3600])
def test_clock_jumps(graph, people, jump):
    """Of the stamps, and of /clock under use_sim_time: labels go on with the next message."""
    graph.node(RecognizerNode, parameters={'use_sim_time': True})
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    publisher = graph.publisher(SkeletonArray, 'skeletons', result_qos())
    clock = graph.peer.create_publisher(Clock, '/clock', 1)
    for i in range(20):
        stamp = 10**18 + i * 40_000_000 + (jump * 10**9 if i >= 10 else 0)
        clock.publish(Clock(clock=ns_to_stamp(stamp)))
        publisher.publish(people.skeletons(i, stamp=stamp))
        graph.until(lambda n=i: len(actions) == n + 1)
        living = [a.track_id for a in actions[-1].actions if a.state != a.ENDED]
        assert living == [1, 2]


def test_another_resolution_after_a_stall(graph, people, estimator, handled):
    node = graph.node(
        PerceptionNode, estimator_factory=lambda *_: estimator, parameters={'look.mode': 'full'}
    )
    skeletons = graph.collect(SkeletonArray, 'skeletons', result_qos())
    publisher = graph.publisher(Image, 'image', image_qos())
    for i, size in ((0, (48, 64)), (1, (48, 64)), (126, (96, 128)), (127, (96, 128))):
        handled(node, publisher, people.image(i, size))
    graph.until(lambda: len(skeletons) == 4)
    assert [(m.image_width, len(m.skeletons)) for m in skeletons[:2]] == [(64, 1)] * 2
    assert skeletons[-1].image_width == 128
    for i in range(128, 149):  # within a second of good input
        handled(node, publisher, people.image(i, (96, 128)))
    graph.until(lambda: skeletons[-1].skeletons)
