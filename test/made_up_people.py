"""People who walk on the spot, for scenes that need no data set."""

from __future__ import annotations

import numpy as np

from action_recognition.datasets.streams import IMAGE_SIZE, SkeletonStream
from action_recognition.datasets.union32 import LABELS
from action_recognition.skeleton import NUM_JOINTS, Joint

#: Neck at (0, 0), shoulder to opposite hip about 40 px.
STANDING = np.array(
    [
        (0, -15), (0, 0), (-12, 2), (-16, 20), (-17, 37), (12, 2), (16, 20), (17, 37),
        (-8, 38), (-9, 60), (-9, 82), (8, 38), (9, 60), (9, 82),
    ],
    float,
)  # fmt: skip


def streams(count: int, seconds: float = 13) -> list[SkeletonStream]:
    """Arms and legs swing at another pace for everybody; two actions take turns."""
    out = []
    for i in range(count):
        time = np.arange(round(seconds * 30)) / 30
        swing = 10 * np.sin(2 * np.pi * (0.8 + 0.1 * i) * time + i)
        xy = np.tile(STANDING, (len(time), 1, 1)) + 150
        for joint, share in (
            (Joint.RIGHT_WRIST, 1), (Joint.LEFT_WRIST, -1), (Joint.RIGHT_ANKLE, -1),
            (Joint.LEFT_ANKLE, 1), (Joint.RIGHT_KNEE, -0.5), (Joint.LEFT_KNEE, 0.5),
        ):  # fmt: skip
            xy[:, joint, 0] += share * swing
        targets = (i + (time // 2).astype(int)) % 2
        stamps = np.round(time * 1e9).astype(np.int64)
        score = np.ones((len(time), NUM_JOINTS))
        out.append(SkeletonStream(f'p{i}', f'p{i}', xy, score, stamps, IMAGE_SIZE, LABELS, targets))
    return out
