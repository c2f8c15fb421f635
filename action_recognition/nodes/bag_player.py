"""Plays a bag into a running graph: on time, or in step with its answers so that none is lost."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

from action_recognition.datasets.bags import COMPRESSED, IMAGE, SKELETONS, BagReader
from action_recognition.errors import UserError
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.convert import ns_to_stamp, stamp_to_ns
from action_recognition.nodes.qos import image_qos, latched_qos, result_qos
from action_recognition.nodes.states import States

#: What the graph takes in, and so answers.
INPUTS = (IMAGE, COMPRESSED, SKELETONS)
LABELS = 'action_recognition/msg/LabelInfo'
#: What our graph makes, stage after stage, from what stands before it.
CHAIN = (
    (IMAGE, COMPRESSED),
    (SKELETONS,),
    ('action_recognition/msg/ActionLabelArray', LABELS),
    ('action_recognition/msg/BehaviorEvent',),
)
#: The last part of the name of a topic on which several nodes each say a thing once, for good.
TF_STATIC = 'tf_static'
#: What can be waited for.
ANSWERS = {'skeletons': SkeletonArray, 'actions': ActionLabelArray}
#: Seconds between two messages of /clock.
CLOCK_INTERVAL = 0.01
#: Seconds without a new subscriber after which all parties have found each other.
DISCOVERY_TIME = 0.5
#: Seconds after the first one in which others may come.
SETTLE_TIME = 5.0
#: How often an unanswered message is sent, and seconds to wait each time.
ATTEMPTS, ANSWER_TIMEOUT = 3, 5.0
#: Seconds after the last message, which is still on its way.
LINGER = 0.5
#: Why a topic is left out.
PUBLISHED = 'the running graph publishes it itself'
MADE_ANEW = 'the graph makes it anew: name it with --topics to play it'


@dataclass(frozen=True)
class PlayOptions:
    """How to play.

    Attributes:
        clock: publish /clock, the time of recording, for nodes with `use_sim_time`.
        rate: speed; None: 1, or in lockstep as fast as the graph answers.
        loop: begin again at the end. Stamps jump back then, and the graph forgets everybody.
        lockstep: topic that must answer an input before the next message; '' does not wait.
        topics: to play; empty: all but results that the graph makes of others of them.
        wait: seconds to wait for subscribers and for `active`.
        active: full names of nodes with a life cycle that must be active.
    """

    clock: bool = False
    rate: float | None = None
    loop: bool = False
    lockstep: str = ''
    topics: Sequence[str] = ()
    wait: float = 60.0
    active: Sequence[str] = ()


@dataclass
class Tally:
    """What came of it.

    Attributes:
        played: messages by topic.
        left_out: why topics were not played, by topic.
        repeated: messages sent again, for no answer came.
        unanswered: messages that never got one.
    """

    played: dict[str, int]
    left_out: dict[str, str]
    repeated: int = 0
    unanswered: int = 0


class BagPlayer:
    """Publishes the messages of a bag; `play` does it all.

    Args:
        ros_args: of its node, such as remappings.

    Raises:
        UserError: the bag cannot be read, or holds none of the topics asked for.
    """

    def __init__(
        self,
        path: Path,
        options: PlayOptions,
        context: Context | None = None,
        ros_args: Sequence[str] = (),
    ) -> None:
        self._bag = BagReader(path)
        self._options = options
        self._node = Node('player', context=context, cli_args=list(ros_args))
        self._context = self._node.context
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._states = States(self._node, self._spin)
        self._answered: int | None = None
        self._heard: set[str] = set()
        self.tally = Tally({}, {})
        self._publishers: dict[str, Publisher] = {}
        self._clock = self._node.create_publisher(Clock, '/clock', 10) if options.clock else None
        if options.lockstep:
            kind = ANSWERS[options.lockstep]
            self._node.create_subscription(kind, options.lockstep, self._on_answer, result_qos())
        missing = [topic for topic in options.topics if topic not in self._bag.types]
        if missing:
            there = ', '.join(f'{t} ({kind})' for t, kind in sorted(self._bag.types.items()))
            self.close()
            raise UserError(f'bag {path} holds no {", ".join(missing)}; it holds {there}')

    def play(self) -> Tally:
        """Wait for listeners, then play to the end.

        Raises:
            UserError: nobody listens, nothing can be played, the bag is damaged, or in lockstep a
                node of the graph stays inactive.
        """
        self._advertise()
        self._await_listeners()
        self._leave_out_second_sources()
        self.tally.played = dict.fromkeys(self._publishers, 0)
        while self._play_once() and self._options.loop:
            pass
        self._spin(LINGER)
        return self.tally

    def close(self) -> None:
        """Leave the graph."""
        self._bag.close()
        self._executor.shutdown()
        self._node.destroy_node()

    def _advertise(self) -> None:
        self._spin(DISCOVERY_TIME)  # to know what others publish
        made_anew = () if self._options.topics else results(self._bag.types)
        for topic in self._options.topics or sorted(self._bag.types):
            kind = self._bag.types[topic]
            if topic in made_anew:
                self.tally.left_out[topic] = MADE_ANEW
                continue
            if self._node.count_publishers(self._node.resolve_topic_name(topic)):
                self.tally.left_out[topic] = PUBLISHED
                continue
            try:
                self._publishers[topic] = self._node.create_publisher(
                    message_type(kind), topic, self._qos(topic)
                )
            except UserError as error:
                self.tally.left_out[topic] = str(error)
        self._require_something()

    def _leave_out_second_sources(self) -> None:
        """What a graph that came after us publishes itself: no node takes in two of a kind."""
        of_the_graph = {kind for kinds in CHAIN for kind in kinds}
        for topic in [t for t in self._publishers if self._bag.types[t] in of_the_graph]:
            if self._node.count_publishers(self._node.resolve_topic_name(topic)) > 1:
                self._node.destroy_publisher(self._publishers.pop(topic))
                self.tally.left_out[topic] = PUBLISHED
        self._require_something()

    def _require_something(self) -> None:
        """Raises: UserError, nothing is left to play."""
        if not self._publishers:
            reasons = '; '.join(f'{topic}: {why}' for topic, why in self.tally.left_out.items())
            raise UserError(f'there is nothing to play in {self._bag.path}: {reasons}')

    def _qos(self, topic: str) -> QoSProfile:
        kind, is_tf = self._bag.types[topic], topic.rpartition('/')[2] == TF_STATIC
        if kind in (IMAGE, COMPRESSED):
            return image_qos(reliable=bool(self._options.lockstep))
        kept = self._bag.kept(topic)
        if kept == 0 or (kept is None and kind != LABELS and not is_tf):
            return result_qos()
        qos = latched_qos()
        # This one publisher stands for all that were recorded.
        qos.depth = self._bag.count([topic]) if is_tf else kept or 1
        return qos

    def _await_listeners(self) -> None:
        """Until an input has a listener, or where there is none any topic, and answers come; then
        until no more listeners do.
        """
        inputs = [topic for topic in self._publishers if self._bag.types[topic] in INPUTS]
        watched = [self._publishers[topic] for topic in inputs or self._publishers]
        deadline = time.monotonic() + self._options.wait
        while reason := self._obstacle(watched):
            if time.monotonic() > deadline:
                names = ', '.join(inputs or self._publishers)
                hint = ''.join(f'; {t}: {why}' for t, why in self.tally.left_out.items())
                raise UserError(
                    f'{reason} after {self._options.wait:g} s of waiting: {names}; '
                    f'{self._activate()}start the graph, or remap the topic with -r{hint}'
                )
            self._spin(0.05)
        self._await_the_rest()
        self._heard = {t for t in inputs if self._publishers[t].get_subscription_count()}

    def _obstacle(self, watched: Sequence[Publisher]) -> str:
        """Why nothing that these publishers send is answered, '' where it should be."""
        if self._options.active and (states := self._states.inactive(self._options.active)):
            return _described(states)
        if not any(publisher.get_subscription_count() for publisher in watched):
            return 'nobody listens'
        answers = self._options.lockstep
        if not answers:
            return ''
        # An inactive node has a publisher, and takes in nothing.
        stages = list(ANSWERS)[: list(ANSWERS).index(answers) + 1]
        if not self._states.publishers([answers]):
            return f'nobody answers on {answers}'
        return _described(self._states.idle(self._states.publishers(stages)))

    def _activate(self) -> str:
        """What of the graph might have to be activated, '' for nothing."""
        idle = self._states.idle()
        return f'activate it where it is not active ({_described(idle)}), ' if idle else ''

    def _await_the_rest(self) -> None:
        """Until for `DISCOVERY_TIME` no more subscribers have come, on any topic.

        Who has been found may not have found us yet, and others may still be looking.
        """
        quiet_since, before = time.monotonic(), -1
        deadline = quiet_since + SETTLE_TIME
        while (now := time.monotonic()) < deadline and now - quiet_since < DISCOVERY_TIME:
            count = sum(p.get_subscription_count() for p in self._publishers.values())
            if count != before:
                quiet_since, before = now, count
            self._spin(0.05)

    def _play_once(self) -> bool:
        """Play the bag from its begin; whether anything was in it."""
        began, first = time.monotonic(), None
        rate = self._options.rate or (None if self._options.lockstep else 1.0)
        inputs = {t for t in self._publishers if self._bag.types[t] in INPUTS}
        for topic, stamp, data in self._bag.messages(self._publishers):
            if first is None:
                first = stamp
            if rate is not None:
                self._await_time(began, first, stamp, rate)
            self._tell_time(stamp)
            self._send(topic, data, topic in inputs)
        return first is not None

    def _await_time(self, began: float, first: int, stamp: int, rate: float) -> None:
        due = began + (stamp - first) * 1e-9 / rate
        while (left := due - time.monotonic()) > 0:
            if self._clock:
                self._tell_time(stamp - round(left * rate * 1e9))
            self._spin(min(left, CLOCK_INTERVAL))

    def _tell_time(self, stamp: int) -> None:
        if self._clock:
            self._clock.publish(Clock(clock=ns_to_stamp(stamp)))

    def _send(self, topic: str, data: bytes, is_input: bool) -> None:
        publisher = self._publishers[topic]
        self.tally.played[topic] += 1
        heard = publisher.get_subscription_count() > 0
        if not (is_input and self._options.lockstep and (heard or topic in self._heard)):
            publisher.publish(data)
            return
        if not heard:
            self._pause(topic)
        stamp, self._answered = header_stamp(data), None
        attempts = 0
        while attempts < ATTEMPTS:
            self.tally.repeated += attempts > 0
            publisher.publish(data)
            deadline = time.monotonic() + ANSWER_TIMEOUT
            while time.monotonic() < deadline:
                if self._answered == stamp:
                    return
                self._executor.spin_once(timeout_sec=0.05)
            # One that was sent to nodes which were not active does not count.
            attempts += not self._pause(topic)
            if self._answered == stamp:
                return
        self.tally.unanswered += 1

    def _pause(self, topic: str) -> bool:
        """Wait while the graph cannot answer this input; whether that was so.

        Raises:
            UserError: it has been so for `wait` seconds.
        """
        deadline, warned = time.monotonic() + self._options.wait, ''
        while reason := self._obstacle([self._publishers[topic]]):
            if time.monotonic() > deadline:
                raise UserError(
                    f'{topic} is no longer answered: {reason} after {self._options.wait:g} s of '
                    f'waiting; {self._activate()}or start the graph again'
                )
            if reason != warned:
                self._node.get_logger().warning(f'waiting, as {reason}')
                warned = reason
            self._spin(0.05)
        return bool(warned)

    def _on_answer(self, message: Any) -> None:
        self._answered = stamp_to_ns(message.header.stamp)

    def _spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)


def results(types: Mapping[str, str]) -> set[str]:
    """Topics of a bag that the graph makes of others of it.

    Args:
        types: full type names of all its topics.
    """
    stages = [stage for stage, kinds in enumerate(CHAIN) if {*kinds} & {*types.values()}]
    later = {kind for kinds in CHAIN[min(stages, default=0) + 1 :] for kind in kinds}
    return {topic for topic, kind in types.items() if kind in later}


def header_stamp(data: bytes) -> int:
    """Stamp (ns) of a serialised message that begins with a header."""
    sec, nanosec = struct.unpack_from('<iI' if data[1:2] == b'\x01' else '>iI', data, 4)
    return sec * 10**9 + nanosec


def message_type(name: str) -> type:
    """The class of a message type by its full name, such as 'sensor_msgs/msg/Image'.

    Raises:
        UserError: it is not installed.
    """
    package, _, kind = name.partition('/msg/')
    try:
        return getattr(import_module(f'{package}.msg'), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f'its type {name} is not installed') from error


def describe(tally: Tally) -> Mapping[str, str]:
    """What came of it, a line each topic."""
    lines = {topic: f'{count} messages' for topic, count in tally.played.items()}
    return {**lines, **{topic: f'left out: {why}' for topic, why in tally.left_out.items()}}


def _described(states: Mapping[str, str]) -> str:
    return ', '.join(f'{name} is {state}' for name, state in states.items())
