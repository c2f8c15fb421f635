"""A replay in lockstep waits for nodes that are not active, and says so."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from bag_recipes import START, skeleton_message, write_bag
from player_recipes import STEP, Pump, crowd, recogniser

from action_recognition.errors import UserError
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes import bag_player
from action_recognition.nodes.bag_player import BagPlayer, PlayOptions
from action_recognition.nodes.convert import stamp_to_ns
from action_recognition.nodes.qos import result_qos
from action_recognition.nodes.recognizer import RecognizerNode
from action_recognition.nodes.states import States

COUNT = 6


@pytest.fixture
def recording(tmp_path):
    return write_bag(tmp_path / 'k', {'/skeletons': [skeleton_message(p) for p in crowd(COUNT)]})


@pytest.fixture
def recognizer(graph):
    """A node that is configured: it has publishers, and takes in nothing."""
    node = graph.node(RecognizerNode, active=False, recognizer_factory=lambda *args: recogniser())
    node.trigger_configure()
    return node


@pytest.fixture
def reasons(monkeypatch):
    """Why the player waited, each reason once."""
    found: list[str] = []
    obstacle = BagPlayer._obstacle

    def noted(player, watched):
        reason = obstacle(player, watched)
        if reason and reason not in found:
            found.append(reason)
        return reason

    monkeypatch.setattr(BagPlayer, '_obstacle', noted)
    return found


def play(graph, path, **options):
    player = BagPlayer(path, PlayOptions(lockstep='actions', **options), graph.context)
    Pump(player, graph)
    try:
        return player.play()
    finally:
        player.close()


def listen(graph):
    """Somebody else who takes in skeletons, and answers nothing."""
    graph.peer.create_subscription(SkeletonArray, 'skeletons', lambda _: None, result_qos())


def test_a_node_that_is_not_active_is_named(graph, recording, recognizer):
    listen(graph)
    with pytest.raises(UserError, match=r'^/recognizer is inactive after 0\.5 s of waiting'):
        play(graph, recording, wait=0.5)
    recognizer.trigger_cleanup()
    with pytest.raises(UserError, match=r'^nobody answers .*/recognizer is unconfigured'):
        play(graph, recording, wait=0.5)


def test_the_replay_begins_when_everybody_is_active(
    graph, recording, recognizer, reasons, monkeypatch
):
    listen(graph)
    idle = States.idle

    def activate(states, names=None):
        found = idle(states, names)
        if found:
            recognizer.trigger_activate()
        return found

    monkeypatch.setattr(States, 'idle', activate)
    tally = play(graph, recording)
    assert reasons[-1] == '/recognizer is inactive'
    assert (tally.played, tally.repeated, tally.unanswered) == ({'/skeletons': COUNT}, 0, 0)


def test_nodes_are_waited_for_by_name(graph, recording, recognizer, reasons, monkeypatch):
    """Also without lockstep, where a bag would else begin as soon as somebody listens."""
    listen(graph)
    options = PlayOptions(rate=100.0, active=['/recognizer', '/robot/perception'], wait=0.5)
    player = BagPlayer(recording, options, graph.context)
    Pump(player, graph)
    with pytest.raises(
        UserError, match=r'^/robot/perception is absent, /recognizer is inactive after 0\.5 s'
    ):
        player.play()
    player.close()

    inactive = States.inactive

    def activate(states, names):
        found = inactive(states, names)
        if found == {'/recognizer': 'inactive'}:
            recognizer.trigger_activate()
        return found

    monkeypatch.setattr(States, 'inactive', activate)
    player = BagPlayer(recording, PlayOptions(rate=100.0, active=['/recognizer']), graph.context)
    Pump(player, graph)
    tally = player.play()
    player.close()
    assert reasons[-1] == '/recognizer is inactive'
    assert recognizer.is_active
    assert tally.played == {'/skeletons': COUNT}


@pytest.mark.parametrize('others', [True, False], ids=['others listen', 'nobody else listens'])
def test_a_node_that_is_deactivated_is_waited_for(
    graph, recording, recognizer, reasons, monkeypatch, others
):
    monkeypatch.setattr(bag_player, 'ANSWER_TIMEOUT', 0.5)
    recognizer.trigger_activate()
    if others:
        listen(graph)
    stamps = []

    def answered(message):
        stamps.append(stamp_to_ns(message.header.stamp))
        if len(stamps) == 3:
            del reasons[:]  # those of the beginning
            recognizer.trigger_deactivate()

    graph.peer.create_subscription(ActionLabelArray, 'actions', answered, result_qos())
    pause = BagPlayer._pause

    def activated(player, topic):
        if reason := player._obstacle([player._publishers[topic]]):
            assert reason == ('/recognizer is inactive' if others else 'nobody listens')
            recognizer.trigger_activate()
        return pause(player, topic)

    monkeypatch.setattr(BagPlayer, '_pause', activated)
    tally = play(graph, recording)
    assert reasons
    assert (tally.played, tally.unanswered) == ({'/skeletons': COUNT}, 0)
    assert set(stamps) == {START + k * STEP for k in range(COUNT)}


def test_a_graph_that_goes_away_ends_the_replay(graph, recording, recognizer, monkeypatch):
    monkeypatch.setattr(bag_player, 'ANSWER_TIMEOUT', 0.5)
    recognizer.trigger_activate()

    def answered(_):  # its last answer, that everybody has ended, comes after it
        if recognizer.is_active:
            recognizer.trigger_deactivate()

    graph.peer.create_subscription(ActionLabelArray, 'actions', answered, result_qos())
    with pytest.raises(
        UserError, match=r'^/skeletons is no longer answered: nobody listens .*recognizer is inact'
    ):
        play(graph, recording, wait=3.0)


def test_nodes_without_a_life_cycle_are_always_active(graph, recognizer):
    node = bag_player.Node('asking', context=graph.context)
    graph.add(node)
    states = States(node, lambda seconds: graph.executor.spin_once(timeout_sec=seconds))
    graph.peer.create_publisher(SkeletonArray, 'skeletons', result_qos())
    graph.until(lambda: states.publishers(['skeletons', 'actions']) == {'/peer', '/recognizer'})
    graph.until(lambda: '/recognizer' in states.idle())
    assert states.idle(['/peer', '/recognizer']) == {'/recognizer': 'inactive'}
    recognizer.trigger_activate()
    assert states.idle(['/peer', '/recognizer']) == {}
