"""The chain that most people write first, as a node to measure ours against.

One callback does everything: it converts the image, finds people in the whole of it, tracks them,
runs an LSTM over the last 60 frames of each of them and publishes. Images queue up meanwhile.
"""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from functools import partial
from typing import Any

import numpy as np
import rclpy
import torch
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from action_recognition.benchmarking.lstm import WindowLstm
from action_recognition.benchmarking.windows import windows
from action_recognition.msg import ActionLabel, ActionLabelArray
from action_recognition.nodes.convert import stamp_to_ns
from action_recognition.nodes.images import to_bgr
from action_recognition.pose.estimator import EstimatorConfig, PoseEstimator, create_estimator
from action_recognition.skeleton import FloatArray
from action_recognition.tracking.tracker import Tracker

#: Images that may wait, as tutorials have it.
DEPTH = 10
CLASSES = 32


class NaiveNode(Node):
    """Subscribes `image`, publishes `actions`.

    Args:
        estimator: finds people.
    """

    def __init__(self, estimator: PoseEstimator, **node_options: Any) -> None:
        super().__init__('naive', **node_options)
        self._estimator = estimator
        self._tracker = Tracker()
        # Untrained: what it says does not matter here.
        self._network = WindowLstm(CLASSES).eval()
        frames = self._network.frames
        self._past: dict[int, deque[FloatArray]] = defaultdict(partial(deque, maxlen=frames))
        self._publisher = self.create_publisher(ActionLabelArray, 'actions', DEPTH)
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(Image, 'image', self._on_image, qos)

    def _on_image(self, message: Image) -> None:
        stamp = stamp_to_ns(message.header.stamp)
        people = self._tracker.update(self._estimator.estimate(to_bgr(message), stamp))
        answer = ActionLabelArray(header=message.header)
        for track_id, xy in zip(people.track_id.tolist(), people.xy, strict=True):
            if track_id < 0:
                continue
            past = self._past[track_id]
            past.append(xy)
            scores = self._classify(np.stack(past))
            best = int(scores.argmax())
            answer.actions.append(
                ActionLabel(track_id=track_id, class_id=best, confidence=float(scores[best]))
            )
        self._publisher.publish(answer)

    @torch.inference_mode()
    def _classify(self, xy: FloatArray) -> FloatArray:
        window = torch.from_numpy(windows([xy], self._network.frames))
        return self._network(window).softmax(-1)[0].numpy()


def main() -> int:
    """Run the node, whose backend is the only argument, until it is interrupted."""
    rclpy.init(args=[])
    try:
        estimator = create_estimator(config=EstimatorConfig(backend=sys.argv[1]))
        # The kindest to it: small products shared out to threads wait for each other, on a busy
        # computer for seconds.
        torch.set_num_threads(1)
        rclpy.spin(NaiveNode(estimator))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
