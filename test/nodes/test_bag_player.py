"""The same bag offline, replayed and composed gives the same labels; what is recorded is a bag."""

from __future__ import annotations

import itertools
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from bag_recipes import START, STORE, image_message, new, skeleton_message, write_bag
from player_recipes import STEP, Pump, crowd, recogniser
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from action_recognition.datasets.bags import BagReader, BagSkeletons
from action_recognition.datasets.sources import open_source
from action_recognition.errors import UserError
from action_recognition.evaluation import offline
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.bag_player import BagPlayer, PlayOptions, message_type
from action_recognition.nodes.bag_recorder import BagRecorder
from action_recognition.nodes.convert import msg_to_estimates, stamp_to_ns
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.pipeline import connect
from action_recognition.nodes.qos import result_qos
from action_recognition.nodes.recognizer import RecognizerNode
from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.stages.parameters import parameter_names
from action_recognition.stages.perception import PerceptionConfig
from action_recognition.stages.recognition import RecognizerConfig


class Blob:
    """One person where the image is bright, as the tests of nodes know it."""

    name, device, runtime = 'blob', 'cpu', 'none'

    def estimate(self, image, stamp=0):
        size = image.shape[1::-1]
        if not image.any():
            return Poses.empty(stamp, size)
        place = float(image.mean()) + np.random.default_rng(int(image[0, 0, 0])).normal(0, 5)
        xy = place + np.stack([np.arange(NUM_JOINTS) * 2.0, np.arange(NUM_JOINTS) * 3.0], -1)
        return Poses(xy[None], np.full((1, NUM_JOINTS), 0.9), stamp=stamp, image_size=size)

    def close(self):
        pass


def labels(estimates):
    return [(e.track_id, e.class_id, e.state, round(e.confidence, 5), e.began) for e in estimates]


def offline_labels(frames):
    answers = offline.recognise(frames.poses, recogniser())
    return {
        poses.stamp: labels(estimates)
        for poses, estimates in zip(frames.poses, answers, strict=True)
    }


def replay(graph, path, **options):
    """The labels by stamp that the graph says of a bag, played in lockstep."""
    said = graph.collect(ActionLabelArray, 'actions', result_qos())
    player = BagPlayer(path, PlayOptions(lockstep='actions', **options), graph.context)
    Pump(player, graph)
    try:
        tally = player.play()
    finally:
        player.close()
    graph.until(
        lambda: len({stamp_to_ns(m.header.stamp) for m in said}) >= max(tally.played.values())
    )
    return tally, {stamp_to_ns(m.header.stamp): labels(msg_to_estimates(m)) for m in said}


def test_skeletons_offline_and_replayed(graph, tmp_path):
    path = write_bag(tmp_path / 'k', {'/skeletons': [skeleton_message(p) for p in crowd(100)]})
    expected = offline_labels(offline.read(str(path)))
    graph.node(RecognizerNode, recognizer_factory=lambda *args: recogniser())
    clock = []
    graph.peer.create_subscription(Clock, '/clock', clock.append, QoSProfile(depth=1000))
    tally, said = replay(graph, path, clock=True)
    assert said == expected
    assert (tally.played, tally.left_out, tally.unanswered) == ({'/skeletons': 100}, {}, 0)
    told = [stamp_to_ns(message.clock) for message in clock]
    assert told == sorted(told)
    assert told[-1] == START + 99 * STEP
    states = {state for answers in expected.values() for _, _, state, *_ in answers}
    assert states == {'candidate', 'confirmed', 'ended'}  # or the test would show little


@pytest.mark.parametrize('composed', [False, True])
def test_images_offline_and_replayed(graph, tmp_path, composed):
    pictures = [np.full((48, 64, 3), 40 + 2 * k, np.uint8) for k in range(40)]
    pictures[10][:] = 0
    messages = [image_message(p, START + k * STEP) for k, p in enumerate(pictures)]
    path = write_bag(tmp_path / 'k', {'/image': messages})
    frames = offline.look(str(path), Blob(), PerceptionConfig())
    expected = offline_labels(frames)
    recognizer = graph.node(
        RecognizerNode, active=False, recognizer_factory=lambda *args: recogniser()
    )
    perception = graph.node(PerceptionNode, active=False, estimator_factory=lambda *args: Blob())
    if composed:
        connect(None, perception, recognizer)
    assert recognizer.autostart()
    assert perception.autostart()
    tally, said = replay(graph, path)
    assert said == expected
    assert tally.unanswered == 0
    assert sum(map(len, expected.values())) >= 30


def test_on_time_and_again(graph, tmp_path):
    path = write_bag(tmp_path / 'k', {'/skeletons': [skeleton_message(p) for p in crowd(10)]})
    came = []
    graph.peer.create_subscription(SkeletonArray, 'skeletons', came.append, result_qos())
    player = BagPlayer(path, PlayOptions(rate=3.0), graph.context)
    Pump(player, graph)
    player.play()
    player.close()
    graph.until(lambda: len(came) == 10)
    assert [stamp_to_ns(m.header.stamp) for m in came] == [START + k * STEP for k in range(10)]


def test_what_the_graph_publishes_itself_is_left_out(graph, tmp_path):
    messages = [skeleton_message(p) for p in crowd(3)]
    path = write_bag(tmp_path / 'k', {'/skeletons': messages, '/other': messages})
    graph.peer.create_publisher(SkeletonArray, 'skeletons', result_qos())
    graph.peer.create_subscription(SkeletonArray, 'other', lambda message: None, result_qos())
    player = BagPlayer(path, PlayOptions(rate=100.0), graph.context)
    Pump(player, graph)
    tally = player.play()
    player.close()
    assert tally.played == {'/other': 3}
    assert tally.left_out == {'/skeletons': 'the running graph publishes it itself'}


def offer(durability):
    unset = QosTime(0, 0)
    return Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        durability,
        unset,
        unset,
        QosLiveliness.AUTOMATIC,
        unset,
        False,
    )


LATCHED, VOLATILE = offer(QosDurability.TRANSIENT_LOCAL), offer(QosDurability.VOLATILE)


@pytest.mark.parametrize(
    ('topic', 'offered', 'kept'),
    [
        ('/tf_static', [LATCHED], 'abc'),  # each of another node
        ('/tf_static', [], 'abc'),
        ('/tf', [VOLATILE], ''),
        ('/tf', [], ''),
        ('/map', [LATCHED], 'c'),
        ('/map', [LATCHED, LATCHED], 'bc'),
    ],
)
def test_who_comes_late_gets_what_was_kept_for_them(graph, tmp_path, topic, offered, kept):
    kind = 'std_msgs/msg/String'
    with Writer(tmp_path / 'k', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            topic, kind, typestore=STORE, offered_qos_profiles=offered
        )
        for i, text in enumerate('abc'):
            data = STORE.serialize_cdr(new(kind, data=text), kind)
            writer.write(connection, START + i, data)
    early, late = [], []
    graph.peer.create_subscription(String, topic, early.append, result_qos())
    player = BagPlayer(tmp_path / 'k', PlayOptions(rate=100.0), graph.context)
    Pump(player, graph)
    player.play()
    graph.until(lambda: len(early) == 3)
    qos = result_qos()
    if kept:
        qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
    graph.peer.create_subscription(String, topic, late.append, qos)
    publisher = player._publishers[topic]
    graph.until(lambda: publisher.get_subscription_count() == 2)
    graph.until(lambda: len(late) >= len(kept))
    publisher.publish(String(data='!'))  # to know when all before it have come
    graph.until(lambda: late and late[-1].data == '!')
    player.close()
    assert ''.join(message.data for message in late[:-1]) == kept


def test_what_cannot_be_played(graph, tmp_path):
    path = write_bag(tmp_path / 'k', {'/skeletons': [skeleton_message(p) for p in crowd(3)]})
    with pytest.raises(UserError, match='holds no /image; it holds /skeletons'):
        BagPlayer(path, PlayOptions(topics=['/image']), graph.context)
    player = BagPlayer(path, PlayOptions(wait=0.1), graph.context)
    with pytest.raises(UserError, match=r'nobody listens after 0\.1 s of waiting: /skeletons'):
        player.play()
    player.close()
    with pytest.raises(UserError, match='no_such_msgs/msg/Thing is not installed'):
        message_type('no_such_msgs/msg/Thing')


def test_what_is_recorded_can_be_scored(graph, tmp_path):
    """Skeletons, answers, the latched labels, and images under the stamps of all of them."""
    messages = [
        image_message(np.full((48, 64, 3), 40 + k, np.uint8), START + k * STEP) for k in range(12)
    ]
    path = write_bag(tmp_path / 'k', {'/image': messages})
    graph.node(RecognizerNode, recognizer_factory=lambda *args: recogniser())
    graph.node(PerceptionNode, estimator_factory=lambda *args: Blob())
    recorder = BagRecorder(tmp_path / 'out', 'image', 'raw', graph.context)
    assert not recorder.is_silent  # nothing has come yet
    assert recorder.missing_images == '/image'
    graph.executor.add_node(recorder._node)
    replay(graph, path)
    graph.until(lambda: recorder.counts['/actions'] >= 12 and recorder.counts['/labels'])
    assert recorder.first == START
    assert recorder.missing_images == ''
    last = START + 11 * STEP
    time.sleep(0.6)
    assert recorder.is_silent
    assert recorder.now() == last + 500_000_000  # nothing comes any more
    recorder.close()
    with BagReader(tmp_path / 'out') as bag:
        assert set(bag.types) == {'/skeletons', '/actions', '/labels', '/image/compressed'}
        (labels,) = bag.messages(['/labels'])
        assert labels[1] == START  # whatever its own stamp, which may be 0 on simulated time
    with BagSkeletons(str(tmp_path / 'out')) as skeletons:
        recorded = {poses.stamp for poses in skeletons}
    assert recorded == {START + k * STEP for k in range(12)}
    with open_source(tmp_path / 'out') as source:
        assert source.start == START
        assert next(iter(source)).image.shape == (48, 64, 3)
    assert not offline.takes_images(str(tmp_path / 'out'), wanted=False)
    assert offline.takes_images(str(tmp_path / 'out'), wanted=True)


def test_recording_over_something(graph, tmp_path):
    with pytest.raises(UserError, match='exists'):
        BagRecorder(tmp_path, context=graph.context)


@pytest.mark.parametrize(
    ('node', 'config'), [(PerceptionNode, PerceptionConfig), (RecognizerNode, RecognizerConfig)]
)
def test_the_parameters_of_the_stages_are_those_of_the_nodes(node, config):
    names = {setting.name for setting in node.SETTINGS}
    assert parameter_names(config) <= names
    assert names - parameter_names(config) <= set(offline.TRAVEL)


# --- real recordings ------------------------------------------------------------------------


def recordings(data_root, folder):
    """Three bags: clips strung together with gaps of nobody and of another clip, and a video."""
    clips = data_root / 'jhmdb' / 'ReCompress_Videos'
    names = (('wave', 'golf'), ('clap', 'sit'))
    strings = [[sorted((clips / name).glob('*.mp4'))[2] for name in pair] for pair in names]
    strings.append([data_root / 'videos' / 'two_people_walk_jump.mp4'])
    for index, videos in enumerate(strings):
        messages, stamp = [], START
        for video in videos:
            with open_source(video) as source:
                for frame in itertools.islice(source, 12):
                    small = cv2.resize(frame.image, (240, 180))
                    messages.append(image_message(small, stamp))
                    stamp += STEP
            for _ in range(3):
                messages.append(image_message(np.zeros((180, 240, 3), np.uint8), stamp))
                stamp += STEP
            stamp += 10**9  # the camera was off
        yield write_bag(folder / f'k{index}', {'/image': messages})


def run_real_models(graph, estimator, composed):
    """Fresh nodes: those that go on count on with their ids."""
    parameters = {'device': 'cpu'}
    recognizer = graph.node(RecognizerNode, active=False, parameters=parameters)
    perception = graph.node(
        PerceptionNode,
        active=False,
        estimator_factory=lambda *args: estimator,
        parameters=parameters,
    )
    if composed:
        connect(None, perception, recognizer)
    assert recognizer.autostart()
    assert perception.autostart()


@pytest.mark.parametrize('composed', [False, True])
def test_real_models_on_three_recordings(graph, tmp_path, data_root, composed):
    """Offline, replayed through nodes, and through the composed pipeline: label by label."""
    setup = offline.create_setup(pose='pose', device='cpu')
    estimator = offline.create_perception(setup)
    model = offline.create_recognizer(setup)
    answered = []
    for path in recordings(data_root, tmp_path):
        frames = offline.look(str(path), estimator, setup.perception)
        answers = offline.recognise(frames.poses, model)
        expected = {
            p.stamp: labels(estimates) for p, estimates in zip(frames.poses, answers, strict=True)
        }
        run_real_models(graph, estimator, composed)
        tally, said = replay(graph, path)
        assert said == expected
        assert tally.unanswered == 0
        answered.append(any(expected.values()))
        close, estimator.close = estimator.close, lambda: None  # it is needed for the next bag
        graph.clear()
        estimator.close = close
    estimator.close()
    assert sum(answered) >= 2  # somebody is found in them, but what a pose network finds may vary
