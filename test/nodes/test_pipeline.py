"""All stages together: composed and separate give the same results, and every frame counts."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from action_recognition import weights
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.camera import CameraNode
from action_recognition.nodes.convert import ns_to_stamp, stamp_to_ns
from action_recognition.nodes.images import bgr_to_image
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.pipeline import connect
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.nodes.recognizer import RecognizerNode

FRAMES = 12


@pytest.fixture
def play(graph, estimator, recognizer, make_source):
    """Plays a source through the three nodes under a namespace; returns them and what came out."""

    def play(namespace, composed, source=None, first=None, **parameters):
        options = {'namespace': namespace, 'active': False}
        camera = graph.node(
            CameraNode,
            opener=lambda spec, fps: source or make_source(frames=FRAMES, fps=25),
            parameters={'source': 'fake', 'start_time': 100.0} | parameters,
            **options,
        )
        perception = graph.node(
            PerceptionNode,
            estimator_factory=lambda *args: type(estimator)(),
            parameters={'look.mode': 'full'},
            **options,
        )
        recogniser = graph.node(
            RecognizerNode, recognizer_factory=lambda *args: type(recognizer)(), **options
        )
        if composed:
            connect(camera, perception, recogniser)
        nodes = camera, perception, recogniser
        for node in nodes:
            node.trigger_configure()
        skeletons = graph.collect(SkeletonArray, f'{namespace}/skeletons', result_qos())
        actions = graph.collect(ActionLabelArray, f'{namespace}/actions', result_qos())
        if first is not None:
            nodes[first].trigger_activate()
            for _ in range(10):  # in which the whole source would be over
                graph.executor.spin_once(timeout_sec=0.05)
        for node in reversed(nodes):
            if not node.is_active:
                node.trigger_activate()
        return nodes, skeletons, actions

    return play


def is_finished(camera):
    return camera.health.report('', 'active').message == 'finished'


@pytest.mark.parametrize('lockstep', ['skeletons', 'actions'])
def test_composed_equals_separate(graph, play, lockstep):
    results = {}
    for composed in (False, True):
        namespace = '/composed' if composed else '/separate'
        nodes, skeletons, actions = play(
            namespace, composed, lockstep=lockstep, lockstep_timeout=600.0
        )
        camera, perception, recogniser = nodes
        graph.until(lambda skeletons=skeletons: len(skeletons) == FRAMES)
        graph.until(lambda actions=actions: len(actions) == FRAMES)
        graph.until(lambda camera=camera: is_finished(camera))
        assert perception.health.counted('processed') == FRAMES
        assert recogniser.health.counted('processed') == FRAMES
        assert graph.peer.count_subscribers(f'{namespace}/image') == (0 if composed else 1)
        results[composed] = skeletons, actions
    assert results[True] == results[False]
    skeletons, actions = results[True]
    assert [stamp_to_ns(m.header.stamp) for m in skeletons] == [
        100_000_000_000 + 40_000_000 * i for i in range(FRAMES)
    ]
    assert len({m.skeletons[0].joints[0].x for m in skeletons}) == FRAMES
    assert [m.header for m in actions] == [m.header for m in skeletons]
    assert actions[-1].actions[0].confidence == pytest.approx(FRAMES / (FRAMES + 1))


def test_a_live_source_is_accounted_for(graph, play, make_source):
    source = make_source(frames=50, fps=1000)
    source.live = True
    (camera, perception, recogniser), skeletons, _ = play('/live', True, source=source)
    graph.until(lambda: is_finished(camera))

    def settled():
        count = perception.health.counted
        return count('processed') + count('dropped') == count('received')

    graph.until(settled)
    graph.until(lambda: len(skeletons) == perception.health.counted('processed'))
    assert camera.health.counted('published') == perception.health.counted('received') == 50
    assert recogniser.health.counted('processed') == perception.health.counted('processed')


@pytest.mark.parametrize('lockstep', ['off', 'actions'])
def test_a_file_waits_until_everybody_is_active(graph, play, make_source, lockstep):
    source = make_source(frames=FRAMES, fps=1000)
    (camera, perception, recogniser), skeletons, _ = play(
        '/late', True, source, first=0, lockstep=lockstep, lockstep_timeout=600.0
    )
    graph.until(lambda: is_finished(camera))
    graph.until(lambda: recogniser.health.counted('processed') >= len(skeletons) > 0)
    assert camera.health.counted('published') == perception.health.counted('received') == FRAMES
    assert camera.health.counted('refused') == 0


@pytest.mark.parametrize('lockstep', ['off', 'actions'])
def test_images_for_a_node_that_is_not_active_are_counted_or_in_lockstep_kept(
    graph, play, lockstep
):
    (camera, perception, _), _, _ = play(
        '/gone', True, loop=True, lockstep=lockstep, lockstep_timeout=0.5
    )
    count = camera.health.counted
    graph.until(lambda: count('published') > 2)
    perception.trigger_deactivate()
    if lockstep == 'off':
        graph.until(lambda: count('refused') > 2)
    else:
        for _ in range(20):
            graph.executor.spin_once(timeout_sec=0.05)
        assert count('refused') <= 1
    perception.trigger_activate()
    received = perception.health.counted('received')
    graph.until(lambda: perception.health.counted('received') > received + 2)
    assert count('unanswered') == 0


@pytest.mark.parametrize('composed', [False, True])
def test_labels_for_the_annotated_images_come_in_memory_or_by_the_topic(graph, play, composed):
    (_, perception, _), _, _ = play(f'/labels_{composed}'.lower(), composed, lockstep='actions')
    graph.until(lambda: perception._captions)
    assert {caption.label for caption in perception._captions.values()} == {'wave'}
    topics = [s.topic_name.rpartition('/')[2] for s in perception.subscriptions]
    assert ('actions' in topics) is not composed


def test_composed_publishes_images_for_those_who_look(graph, play):
    (camera, *_), _, _ = play('/watched', True, lockstep='actions')
    images = graph.collect(Image, '/watched/image', image_qos())
    camera.trigger_deactivate()
    camera.trigger_activate()
    graph.until(lambda: images)


def test_without_a_camera_images_come_from_the_topic(graph, estimator, recognizer):
    perception = graph.node(PerceptionNode, active=False, estimator_factory=lambda *args: estimator)
    recogniser = graph.node(
        RecognizerNode, active=False, recognizer_factory=lambda *args: recognizer
    )
    connect(None, perception, recogniser)
    assert recogniser.autostart() and perception.autostart()
    actions = graph.collect(ActionLabelArray, 'actions', result_qos())
    send = graph.publisher(Image, 'image', image_qos())
    header = Header(stamp=ns_to_stamp(5), frame_id='eye')
    send.publish(bgr_to_image(np.full((48, 64, 3), 90, np.uint8), header))
    graph.until(lambda: actions)
    assert actions[0].header == header
    assert graph.peer.count_subscribers('skeletons') == 0


def test_real_models_composed_and_separate(graph, data_root):
    if missing := {'pose', 'online_union32'} - set(weights.available()):
        pytest.skip(f'no weights named {", ".join(missing)}')
    clip = data_root / 'videos' / 'two_people_interact.mp4'
    parameters = {'source': str(clip), 'rate': 5.0, 'max_size': 320, 'start_time': 100.0}
    parameters |= {'lockstep': 'actions', 'lockstep_timeout': 600.0}
    results = []
    for composed in (False, True):
        namespace = f'/composed_{composed}'.lower()
        options = {'namespace': namespace, 'active': False}
        camera = graph.node(CameraNode, parameters=parameters, **options)
        perception = graph.node(PerceptionNode, parameters={'device': 'cpu'}, **options)
        recogniser = graph.node(RecognizerNode, **options)
        if composed:
            connect(camera, perception, recogniser)
        for node in (camera, perception, recogniser):
            node.trigger_configure()
        skeletons = graph.collect(SkeletonArray, f'{namespace}/skeletons', result_qos())
        actions = graph.collect(ActionLabelArray, f'{namespace}/actions', result_qos())
        for node in (recogniser, perception, camera):
            node.trigger_activate()
        graph.until(lambda camera=camera: is_finished(camera))
        sent = camera.health.counted('published')
        graph.until(lambda n=sent, got=skeletons: len(got) == n)
        graph.until(lambda n=sent, got=actions: len(got) == n)
        assert perception.health.counted('processed') == sent > 10
        assert perception.health.counted('crops') > 0
        results.append(([joints(m) for m in skeletons], [labels(m) for m in actions]))
    assert results[0] == results[1]
    people, _ = results[0]
    assert sum(map(bool, people)) > len(people) / 2


def joints(message):
    """By value and without NaN, which equals nothing."""
    return [
        (person.track_id, str([(joint.x, joint.y, joint.score) for joint in person.joints]))
        for person in message.skeletons
    ]


def labels(message):
    return [(a.track_id, a.label, a.state, a.confidence, list(a.scores)) for a in message.actions]
