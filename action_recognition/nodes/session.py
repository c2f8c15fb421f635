"""The far side of a running graph: switches its camera on and off and takes in its results."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from action_recognition.closing import Closing
from action_recognition.evaluation.report import Moment
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.convert import msg_to_estimates, msg_to_poses, stamp_to_ns
from action_recognition.nodes.images import BgrImage, image_to_bgr
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.skeleton import Poses

RESULTS = {'skeletons': SkeletonArray, 'actions': ActionLabelArray}
#: Full type names, as bags hold them.
RESULT_TYPES = {name: f'action_recognition/msg/{kind.__name__}' for name, kind in RESULTS.items()}
#: Images that may wait here while results are being taken in.
IMAGE_DEPTH = 5
#: The nodes of the graph, in the order of a frame's way.
STAGES = ('camera', 'perception', 'recognizer')
#: Seconds for an answer of a node: opening a network camera is the slowest thing one does.
LOOK_TIMEOUT, SWITCH_TIMEOUT = 2.0, 60.0


class Session(Closing):
    """Takes in results until it is closed; a context manager.

    Nothing happens between calls of `spin`: callbacks run inside it.

    Args:
        domain_id: of the graph.
        record: called with name ('skeletons' or 'actions'), serialised message and stamp (ns) of
            each result; one that is sent again comes once.
        see: called with the pixels and stamp (ns) of each image of the topic `image`, if given.

    Attributes:
        poses: the people by stamp (ns).
        moments: the labels by stamp (ns), in the order in which they came.
        counts: counters of each node by its name, from its diagnostics.
        reports: how many diagnostics messages of each node have come.
        messages: the last diagnostics message of each node.
        states: the state of each node, such as 'active', at that time.
        problems: what went wrong in the nodes, each once, with the name of the node.
        devices: where each node computes.
        times: 'node stage' -> mean milliseconds of the stage in each of its reports.
    """

    def __init__(
        self,
        domain_id: int,
        record: Callable[[str, bytes, int], None],
        see: Callable[[BgrImage, int], None] | None = None,
    ) -> None:
        self.poses: dict[int, Poses] = {}
        self.moments: dict[int, Moment] = {}
        self.counts: dict[str, dict[str, int]] = defaultdict(dict)
        self.reports: Counter[str] = Counter()
        self.messages: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.problems: list[str] = []
        self.devices: dict[str, str] = {}
        self.times: dict[str, list[float]] = defaultdict(list)
        self._first_arrival = self._last_arrival = 0.0
        self._record = record
        self._seen: set[tuple[str, int]] = set()
        self._context = Context()
        # Ctrl-C is for the program around us, which still wants to tidy up over this context.
        rclpy.init(
            args=[],
            context=self._context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self._node = rclpy.create_node('session', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        # Made now, so that they and the nodes have found each other when they are needed.
        self._clients = {
            (kind, name): self._node.create_client(kind, f'{name}/{service}')
            for name in STAGES
            for kind, service in ((GetState, 'get_state'), (ChangeState, 'change_state'))
        }
        for topic, kind in RESULTS.items():
            callback = partial(self._on_result, topic)
            self._node.create_subscription(kind, topic, callback, result_qos(), raw=True)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 50)
        if see:
            qos = image_qos()
            qos.depth = IMAGE_DEPTH
            self._node.create_subscription(Image, 'image', partial(_pass_on, see), qos)

    def spin(self, seconds: float) -> None:
        """Take in what comes within these seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def span(self) -> float:
        """Seconds by the stamps from the first frame with labels to the last."""
        if not self.moments:
            return 0.0
        return (next(reversed(self.moments)) - next(iter(self.moments))) * 1e-9

    def rate(self) -> float:
        """Frames with labels that came in a second."""
        seconds = self._last_arrival - self._first_arrival
        return (len(self.moments) - 1) / seconds if seconds > 0 else 0.0

    def is_heard(self) -> bool:
        """Whether each of the results has a publisher."""
        return all(map(self.is_published, RESULTS))

    def is_published(self, topic: str) -> bool:
        """Whether a topic has a publisher."""
        return self._node.count_publishers(topic) > 0

    def state(self, name: str) -> str:
        """State of a node, such as 'active'; empty while it does not answer."""
        answer = self._call(GetState, name, GetState.Request(), LOOK_TIMEOUT)
        return answer.current_state.label if answer else ''

    def switch(self, name: str, transition: int) -> bool:
        """Take a node through a transition (`lifecycle_msgs/Transition`); whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=transition))
        answer = self._call(ChangeState, name, request, SWITCH_TIMEOUT)
        return answer is not None and answer.success

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _call(self, kind: type, name: str, request: Any, timeout: float) -> Any:
        client = self._clients[kind, name]
        if not client.service_is_ready():
            return None
        future = client.call_async(request)
        self._executor.spin_until_future_complete(future, timeout_sec=timeout)
        return future.result() if future.done() else None

    def _on_result(self, topic: str, data: bytes) -> None:
        read: Any = msg_to_poses if topic == 'skeletons' else msg_to_estimates
        try:
            message: Any = deserialize_message(data, RESULTS[topic])
            result = read(message)
        except Exception as error:  # whoever shares the domain may send anything
            self._note(f'a damaged message on {topic}: {" ".join(str(error).split())[:100]}')
            return
        stamp = stamp_to_ns(message.header.stamp)
        if (topic, stamp) in self._seen:
            return
        self._seen.add((topic, stamp))
        self._record(topic, data, stamp)
        if topic == 'skeletons':
            self.poses[stamp] = result
        else:
            self._last_arrival = time.monotonic()
            if not self.moments:
                self._first_arrival = self._last_arrival
            self.moments[stamp] = Moment(stamp, tuple(result))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.strip('/')
            self.reports[name] += 1
            self.messages[name] = status.message
            self.devices[name] = status.hardware_id
            for item in status.values:
                if item.key == 'state':
                    self.states[name] = item.value
                elif item.key == 'last_problem' and item.value:
                    self._note(f'{name}: {item.value}')
                elif item.value.isdigit():
                    self.counts[name][item.key] = int(item.value)
                elif item.key.endswith('_ms_mean'):
                    stage = item.key.removesuffix('_ms_mean')
                    self.times[f'{name} {stage}'].append(float(item.value))

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _pass_on(see: Callable[[BgrImage, int], None], message: Image) -> None:
    see(image_to_bgr(message), stamp_to_ns(message.header.stamp))
