"""Draws the picture of the README: what `action-recognition demo` saw, without the recording.

python docs/images/picture.py DEMO_OUT PICTURE.png [SECONDS ...]
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import Reader

from action_recognition.datasets.bags import typestore
from action_recognition.skeleton import Poses
from action_recognition.visualization.overlay import Caption, draw_people

BACKGROUND = (44, 38, 34)
HEIGHT = 360  # of a tile, pixels


def read_poses(bag: Path) -> list[Poses]:
    """The skeletons of a demo's bag, in order."""
    store = typestore()
    frames = []
    with Reader(bag) as reader:
        for connection, _, data in reader.messages():
            if not connection.msgtype.endswith('/SkeletonArray'):
                continue
            message = store.deserialize_cdr(data, connection.msgtype)
            people = message.skeletons
            joints = [[(j.x, j.y, j.score) for j in person.joints] for person in people]
            table = np.array(joints, np.float32).reshape(-1, 14, 3)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            size = (message.image_width, message.image_height)
            ids = np.array([person.track_id for person in people], np.int64)
            frames.append(Poses(table[..., :2], table[..., 2], ids, stamp, size))
    return frames


def read_captions(path: Path) -> dict[int, dict[int, Caption]]:
    """Stamp (ns) -> person -> caption, of a demo's labels.csv."""
    captions: dict[int, dict[int, Caption]] = {}
    with path.open(newline='') as file:
        for row in csv.DictReader(file):
            stamp = round(float(row['stamp']) * 1e6)
            caption = Caption(row['label'], float(row['confidence']), row['state'] == 'confirmed')
            captions.setdefault(stamp, {})[int(row['person'])] = caption
    return captions


def main(arguments: list[str]) -> None:
    out, picture, *seconds = arguments
    frames = read_poses(Path(out) / 'bag')
    captions = read_captions(Path(out) / 'labels.csv')
    first = frames[0].stamp
    tiles = []
    for second in map(float, seconds):
        poses = min(frames, key=lambda frame: abs(frame.stamp - first - second * 1e9))
        width, height = poses.image_size
        scale = HEIGHT / height
        canvas = np.full((HEIGHT, round(width * scale), 3), BACKGROUND, np.uint8)
        scaled = Poses(poses.xy * scale, poses.score, poses.track_id, poses.stamp)
        said = captions.get(round((poses.stamp - first) / 1e3), {})
        tiles.append(draw_people(canvas, scaled, said))
    cv2.imwrite(picture, np.hstack(tiles))


if __name__ == '__main__':
    main(sys.argv[1:])
