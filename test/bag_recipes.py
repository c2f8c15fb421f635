"""Bags for tests: skeletons and images written by rosbags, without ROS, and who is in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer

from action_recognition.datasets.bags import COMPRESSED, IMAGE, SKELETONS, typestore
from action_recognition.skeleton import NUM_JOINTS, Poses, part_directions

STORE = typestore()
START = 1_700_000_000_000_000_000
#: ns from one frame to the next.
STEP = 33_333_333
#: Classes of what people do.
LABELS = ('background', 'clap', 'run', 'wave')


def new(kind: str, **values):
    """A message by its full type name."""
    return STORE.types[kind](**values)


def header(stamp: int):
    """A header of this stamp (ns)."""
    sec, nanosec = divmod(stamp, 10**9)
    time = new('builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec)
    return new('std_msgs/msg/Header', stamp=time, frame_id='eye')


def walk(
    count: int, ids: Sequence[int] = (1,), seed: int = 0, start: int = START, step: int = STEP
) -> list[Poses]:
    """People whose joints wander, as `Poses` of each frame."""
    rng = np.random.default_rng(seed)
    base = (
        rng.uniform(50, 200, (len(ids), NUM_JOINTS, 2)) + 300 * np.arange(len(ids))[:, None, None]
    )
    frames = []
    for t in range(count):
        base = base + rng.normal(0, 3, base.shape)
        score = np.full(base.shape[:2], 0.9)
        frames.append(Poses(base, score, np.array(ids), start + t * step, (640, 480)))
    return frames


def skeleton_message(poses: Poses):
    """The people of an image, as perception publishes them."""
    people = [
        new(
            'action_recognition/msg/Skeleton',
            track_id=int(i),
            joints=[
                new('action_recognition/msg/Joint', x=float(x), y=float(y), score=float(s))
                for (x, y), s in zip(xy, score, strict=True)
            ],
            score=float(score.mean()),
            part_direction=part_directions(xy),
        )
        for i, xy, score in zip(poses.track_id, poses.xy, poses.score, strict=True)
    ]
    width, height = poses.image_size
    return new(
        SKELETONS,
        header=header(poses.stamp),
        image_width=width,
        image_height=height,
        skeletons=people,
    )


def image_message(image: np.ndarray, stamp: int, jpeg: bool = False):
    """A BGR image, raw or compressed."""
    if jpeg:
        data = cv2.imencode('.jpg', image)[1].reshape(-1)
        return new(COMPRESSED, header=header(stamp), format='bgr8; jpeg compressed bgr8', data=data)
    height, width = image.shape[:2]
    return new(
        IMAGE,
        header=header(stamp),
        height=height,
        width=width,
        encoding='bgr8',
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(image).reshape(-1),
    )


def stamp_of(message) -> int:
    """Stamp of a message with a header, ns."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def write_bag(
    path: Path,
    topics: dict[str, Iterable],
    plugin: StoragePlugin = StoragePlugin.MCAP,
    version: int = 8,
) -> Path:
    """A bag of messages with headers, recorded in this order, at their stamps where that can be."""
    with Writer(path, version=version, storage_plugin=plugin) as writer:
        for topic, messages in topics.items():
            connection, time = None, 0
            for message in messages:
                kind = message.__msgtype__
                connection = connection or writer.add_connection(topic, kind, typestore=STORE)
                data = STORE.serialize_cdr(message, kind)
                time = max(stamp_of(message), time + 1)
                writer.write(connection, time, data)
    return path


def skeleton_bag(path: Path, frames: Iterable[Poses], **options) -> Path:
    """A bag of people only, with the options of `write_bag`."""
    return write_bag(path, {'/skeletons': [skeleton_message(p) for p in frames]}, **options)


def chunked_bag(
    path: Path, kind: str, messages: Iterable, chunk_size: int = 8192, late: int = 0
) -> Path:
    """One mcap file in many small chunks, as ROS writes it, `late` ns after the stamps."""
    with path.open('wb') as stream:
        writer = McapWriter(stream, chunk_size=chunk_size)
        writer.start('ros2')
        text = STORE.generate_msgdef(kind, ros_version=2)[0]
        schema = writer.register_schema(kind, 'ros2msg', text.encode())
        channel = writer.register_channel('/topic', 'cdr', schema)
        for message in messages:
            stamp = stamp_of(message)
            data = bytes(STORE.serialize_cdr(message, kind))
            writer.add_message(channel, stamp + late, data, stamp + late)
        writer.finish()
    return path
