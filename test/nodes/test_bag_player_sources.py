"""A replay never gives a node of the graph two sources of a kind, whoever starts first."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from bag_recipes import START, image_message, skeleton_message, write_bag
from player_recipes import STEP, Pump, crowd
from sensor_msgs.msg import Image

from action_recognition.datasets.bags import COMPRESSED, IMAGE, SKELETONS
from action_recognition.errors import UserError
from action_recognition.msg import SkeletonArray
from action_recognition.nodes import bag_player
from action_recognition.nodes.bag_player import MADE_ANEW, PUBLISHED, BagPlayer, PlayOptions
from action_recognition.nodes.qos import image_qos, result_qos

ACTIONS = 'action_recognition/msg/ActionLabelArray'
EVENTS = 'action_recognition/msg/BehaviorEvent'


@pytest.mark.parametrize(
    ('types', 'made_anew'),
    [
        ([IMAGE, SKELETONS, ACTIONS, bag_player.LABELS, EVENTS], '1234'),
        ([COMPRESSED, SKELETONS, 'tf2_msgs/msg/TFMessage'], '1'),
        ([SKELETONS, ACTIONS, bag_player.LABELS], '12'),
        ([ACTIONS, bag_player.LABELS, EVENTS], '2'),
        ([EVENTS], ''),
        (['tf2_msgs/msg/TFMessage'], ''),
        ([], ''),
    ],
)
def test_what_stands_behind_the_first_stage_of_a_bag_is_a_result(types, made_anew):
    topics = {f'/{k}': kind for k, kind in enumerate(types)}
    assert bag_player.results(topics) == {f'/{k}' for k in made_anew}


@pytest.fixture
def recording(tmp_path):
    """A bag of images and of the people that were seen in them."""
    people = crowd(3)
    pixels = np.zeros((48, 64, 3), np.uint8)
    images = [image_message(pixels, START + k * STEP) for k in range(3)]
    skeletons = [skeleton_message(poses) for poses in people]
    return write_bag(tmp_path / 'k', {'/image': images, '/skeletons': skeletons})


def play(graph, path, **options):
    player = BagPlayer(path, PlayOptions(rate=100.0, **options), graph.context)
    Pump(player, graph)
    try:
        return player.play()
    finally:
        player.close()


def test_recorded_results_are_not_played_before_the_graph_is_there(graph, recording):
    images, skeletons = [], []
    graph.peer.create_subscription(Image, 'image', images.append, image_qos())
    graph.peer.create_subscription(SkeletonArray, 'skeletons', skeletons.append, result_qos())
    tally = play(graph, recording)
    graph.until(lambda: images)
    assert tally.played == {'/image': 3}
    assert tally.left_out == {'/skeletons': MADE_ANEW}
    assert not skeletons


def test_recorded_results_are_played_where_they_are_named(graph, recording):
    skeletons = []
    graph.peer.create_subscription(SkeletonArray, 'skeletons', skeletons.append, result_qos())
    with pytest.raises(UserError, match=r'nobody listens .*: /image; .*/skeletons: .*--topics'):
        play(graph, recording, wait=0.1)
    tally = play(graph, recording, topics=['/skeletons'])
    graph.until(lambda: len(skeletons) == 3)
    assert (tally.played, tally.left_out) == ({'/skeletons': 3}, {})


@pytest.mark.parametrize('others', [['/other'], []], ids=len)
def test_what_a_graph_that_comes_later_publishes_is_left_out(graph, tmp_path, monkeypatch, others):
    messages = [skeleton_message(poses) for poses in crowd(3)]
    path = write_bag(tmp_path / 'k', dict.fromkeys(['/skeletons', *others], messages))
    for topic in ('skeletons', 'other'):
        graph.peer.create_subscription(SkeletonArray, topic, lambda _: None, result_qos())
    settle = BagPlayer._await_the_rest

    def late(player):
        assert '/skeletons' in player._publishers  # nobody else published it at first
        graph.peer.create_publisher(SkeletonArray, 'skeletons', result_qos())
        graph.until(lambda: player._node.count_publishers('/skeletons') == 2)
        settle(player)

    monkeypatch.setattr(BagPlayer, '_await_the_rest', late)
    if not others:
        with pytest.raises(UserError, match=f'nothing to play in .*: /skeletons: {PUBLISHED}'):
            play(graph, path)
        return
    tally = play(graph, path)
    assert tally.played == {'/other': 3}
    assert tally.left_out == {'/skeletons': PUBLISHED}
