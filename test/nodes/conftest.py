"""A ROS graph for each test, seen by nobody else, and stand-ins for what is slow."""

from __future__ import annotations

import functools
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from action_recognition.errors import UserError
from action_recognition.recognition.labels import ActionEstimate, LabelConfig
from action_recognition.skeleton import NUM_JOINTS, Poses

#: Seconds in which anything a test waits for has happened, even on a busy machine.
PATIENCE = 60.0


@functools.cache
def set_imports_aside() -> None:
    """Spare the garbage collection all the modules that are loaded by now, and stay."""
    gc.collect()
    gc.freeze()


def collect_garbage() -> None:
    """Free what is only left in reference cycles."""
    set_imports_aside()
    gc.collect()


class Graph:
    """Nodes in a context of their own; they spin in the thread of the test, while it waits."""

    def __init__(self, domain_id: int) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        self.context.init(domain_id=domain_id)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes: list[Any] = []
        self.peer = self.add(rclpy.create_node('peer', context=self.context))

    def add(self, node: Any) -> Any:
        """Let a node spin with the others."""
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def node(self, kind: type, active: bool = True, **options: Any) -> Any:
        """A node of ours, its parameters given as `parameters`; active unless told otherwise."""
        from rclpy.parameter import Parameter

        overrides = [
            Parameter(name, value=value) for name, value in options.pop('parameters', {}).items()
        ]
        node = kind(context=self.context, parameter_overrides=overrides, **options)
        self.add(node)
        if active:
            assert node.autostart(), node.health.report('', '').message
        return node

    def collect(self, kind: type, topic: str, qos: Any) -> list[Any]:
        """A list into which the messages of a topic come, once its publisher is there."""
        messages: list[Any] = []
        self.peer.create_subscription(kind, topic, messages.append, qos)
        name = self.peer.resolve_topic_name(topic)
        owners = [n for n in self.nodes if n is not self.peer]
        if any(p.topic_name == name for node in owners for p in node.publishers):
            self.until(
                lambda: any(
                    p.get_subscription_count()
                    for node in owners
                    for p in node.publishers
                    if p.topic_name == name
                )
            )
        return messages

    def publisher(self, kind: type, topic: str, qos: Any) -> Any:
        """A publisher that a node of ours already listens to."""
        publisher = self.peer.create_publisher(kind, topic, qos)
        self.until(lambda: publisher.get_subscription_count() > 0)
        return publisher

    def until(self, condition: Callable[[], Any], interval: float = 0.05) -> None:
        """Spin until the condition holds; what threads do is seen after an interval (s)."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, 'waited in vain'
            self.executor.spin_once(timeout_sec=interval)

    def clear(self) -> None:
        """Take the nodes down, all but the peer; they join their threads."""
        while self.nodes[-1] is not self.peer:
            node = self.nodes.pop()
            self.executor.remove_node(node)
            node.destroy_node()
            del node
        # rclpy keeps what a lifecycle node has in reference cycles: until these are collected, the
        # node is still in the ROS graph, in the sight of the next one of that name.
        collect_garbage()

    def close(self) -> None:
        """Take everything down."""
        self.clear()
        self.peer.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()


@pytest.fixture
def graph(domain_id: int) -> Iterator[Graph]:
    """An empty graph."""
    graph = Graph(domain_id)
    threads = set(threading.enumerate())
    yield graph
    graph.close()
    left = [t.name for t in threading.enumerate() if t not in threads and t.is_alive()]
    assert not left, f'threads left behind: {left}'


class FakeEstimator:
    """Finds one person whose place follows from the image: every pixel counts.

    Black images hold nobody; `gate` holds up every estimate until it is set; an image whose
    first pixel is 13 breaks it.
    """

    name = 'fake'
    device = 'cpu'
    runtime = 'oracle float32'

    def __init__(self) -> None:
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()
        self.stamps: list[int] = []

    def estimate(self, image: np.ndarray, stamp: int = 0) -> Poses:
        assert self.gate.wait(PATIENCE)
        assert not self.closed
        self.stamps.append(stamp)
        if image[0, 0, 0] == 13:
            raise RuntimeError('out of luck')
        height, width = image.shape[:2]
        if not image.any():
            return Poses.empty(stamp, (width, height))
        x, y = image[..., 0].mean() / 3, image[..., 1].mean() / 3
        xy = np.stack([x + np.arange(NUM_JOINTS) * 2, y + np.arange(NUM_JOINTS) * 3], -1)
        return Poses(
            xy[None], np.full((1, NUM_JOINTS), 0.9), stamp=stamp, image_size=(width, height)
        )

    def close(self) -> None:
        self.closed = True


class FakeRecognizer:
    """Everybody waves; the confidence grows with the frames seen since the last reset."""

    labels = ('run', 'wave')
    device = 'cpu'

    def __init__(self) -> None:
        self.config = LabelConfig()
        self.closed = False
        self.seen: list[Poses] = []

    def configure(self, config: LabelConfig, forget_after: float) -> None:
        self.config = config
        self.forget_after = forget_after

    def close(self) -> None:
        self.closed = True

    def reset(self) -> None:
        self.seen = []

    def update(self, poses: Poses) -> list[ActionEstimate]:
        if self.seen and poses.stamp < self.seen[-1].stamp:
            self.reset()
        self.seen.append(poses)
        confidence = 1 - 1 / (1 + len(self.seen))
        scores = np.array([1 - confidence, confidence], np.float32)
        return [
            ActionEstimate(
                track_id, 1, 'wave', float(scores[1]), 'confirmed', self.seen[0].stamp, scores
            )
            for track_id in poses.track_id.tolist()
        ]


class FakeSource:
    """Frames of rising brightness; an entry that is an error is raised in its place."""

    live = False
    name = 'fake source'
    truncated = False
    start: int | None = None
    frame_id = ''

    def __init__(self, frames: int = 3, fps: float = 30.0, faults: tuple[int, ...] = ()) -> None:
        self.fps, self.length, self.size = fps, frames, (64, 48)
        self.closed = False
        self._faults = faults
        self._index = 0

    def read(self) -> Any:
        from action_recognition.datasets.sources import Frame

        index = self._index
        if index >= self.length:
            return None
        self._index += 1
        if index in self._faults:
            raise UserError(f'frame {index} is damaged')
        image = np.full((48, 64, 3), 20 + 7 * index % 200, np.uint8)
        return Frame(image, round(index * 1e9 / self.fps), index)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def estimator() -> FakeEstimator:
    """A stand-in for the pose network."""
    return FakeEstimator()


@pytest.fixture
def recognizer() -> FakeRecognizer:
    """A stand-in for the action model."""
    return FakeRecognizer()


@pytest.fixture
def make_source() -> type[FakeSource]:
    """A stand-in for a video."""
    return FakeSource
