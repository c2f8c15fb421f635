"""The far side of a running graph: switches its camera on and off and takes in its results."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from action_recognition.errors import UserError
from action_recognition.evaluation.report import Moment
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.common import result_qos
from action_recognition.nodes.convert import msg_to_estimates, msg_to_poses, stamp_to_ns
from action_recognition.nodes.images import Picture, to_bgr
from action_recognition.skeleton import Poses

RESULTS = {'skeletons': SkeletonArray, 'actions': ActionLabelArray}
#: Full type names, as bags hold them.
RESULT_TYPES = {name: f'action_recognition/msg/{kind.__name__}' for name, kind in RESULTS.items()}
#: Images that may wait here while results are being taken in.
IMAGE_DEPTH = 5

Times = dict[str, tuple[float, float]]


class Session:
    """Takes in results until it is closed; a context manager.

    Nothing happens between calls of `spin`: callbacks run inside it.

    Args:
        domain_id: of the graph.
        record: called with name ('skeletons' or 'actions'), serialised message and stamp (ns) of
            each result; one that is sent again comes once.
        see: called with each image of the topic `image`, if given.

    Attributes:
        poses: the people by stamp (ns).
        moments: the labels, in the order in which they came.
        counts: counters of each node by its name, from its diagnostics.
        messages: the last diagnostics message of each node.
        devices: where each node computes.
        times: node and stage -> all reports of (mean, highest) milliseconds.
    """

    def __init__(
        self,
        domain_id: int,
        record: Callable[[str, bytes, int], None],
        see: Callable[[Picture], None] | None = None,
    ) -> None:
        self.poses: dict[int, Poses] = {}
        self.moments: list[Moment] = []
        self.counts: dict[str, dict[str, int]] = defaultdict(dict)
        self.messages: dict[str, str] = {}
        self.devices: dict[str, str] = {}
        self.times: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
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
        self._clients: dict[str, Any] = {}
        for topic in RESULTS:
            self._node.create_subscription(
                RESULTS[topic],
                topic,
                lambda data, topic=topic: self._on_result(topic, data),
                result_qos(),
                raw=True,
            )
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 50)
        if see:
            qos = QoSProfile(
                history=HistoryPolicy.KEEP_LAST,
                depth=IMAGE_DEPTH,
                reliability=ReliabilityPolicy.BEST_EFFORT,
            )
            self._node.create_subscription(
                Image, 'image', lambda image: see(Picture(image.header, to_bgr(image))), qos
            )

    def spin(self, seconds: float) -> None:
        """Take in what comes within these seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def is_heard(self) -> bool:
        """Whether somebody publishes each of the results."""
        return all(self._node.count_publishers(topic) for topic in RESULTS)

    def is_active(self, name: str) -> bool:
        """Whether this node runs and is active; takes a moment to find out."""
        answer = self._call(GetState, f'{name}/get_state', GetState.Request(), 1.0)
        return answer is not None and answer.current_state.label == 'active'

    def is_running(self, name: str) -> bool:
        """Whether this node answers at all."""
        return self._call(GetState, f'{name}/get_state', GetState.Request(), 1.0) is not None
