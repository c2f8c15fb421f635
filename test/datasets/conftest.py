"""Tiny data sets in the published layouts, so that readers are tested without the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from action_recognition.datasets import jhmdb

VideoWriter = Callable[..., Path]


@pytest.fixture
def write_video() -> VideoWriter:
    """Writes a clip of 64 x 48 pixels: frame i is grey, level 12 * i, above noise."""

    def write(path: Path, count: int = 12, fps: float = 12.5, codec: str = 'mp4v') -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (64, 48))
        if not writer.isOpened():
            pytest.skip(f'this OpenCV cannot write {codec}')
        image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        for index in range(count):
            image[:32] = 12 * index
            writer.write(image)
        writer.release()
        return path

    return write


@pytest.fixture
def write_penn_clip() -> Callable[..., None]:
    """Writes one `labels/NNNN.mat`: joint j of frame t at x = 10 j + 11 + t, y = 10 j + 21."""

    def write(root: Path, number: int, action: str, train: int, frames: int = 3, **changes) -> None:
        (root / 'labels').mkdir(parents=True, exist_ok=True)
        x = 10.0 * np.arange(13) + 11 + np.arange(frames)[:, None]
        content = {
            'action': action,
            'train': train,
            'x': x,
            'y': np.tile(10.0 * np.arange(13) + 21, (frames, 1)),
            'visibility': np.ones((frames, 13), np.uint8),
            'dimensions': np.array([[240, 320, frames]], np.uint16),
            'bbox': np.zeros((frames, 4)),
        }
        content |= changes
        savemat(root / 'labels' / f'{number:04d}.mat', content)

    return write


@pytest.fixture
def jhmdb_tree(tmp_path: Path, write_video: VideoWriter) -> Path:
    """JHMDB with three clips in split 1: 'a_catch_0' and 'b_shoot_bow_0' train, 'a_catch_1' test.

    Joint j of frame t lies at x = 10 j + 1 + t, y = 5 j + 1 in the truth of 'catch', and at
    x = 10 j, y = 5 j in the teacher's.
    """
    root = tmp_path / 'jhmdb'
    (root / 'splits').mkdir(parents=True)
    for label in jhmdb.CLASSES:
        for split in (1, 2, 3):
            lines = ''
            if (label, split) == ('catch', 1):
                lines = 'a_catch_0.avi 1\na_catch_1.avi 2\n'
            if (label, split) == ('shoot_bow', 1):
                lines = 'b_shoot_bow_0.avi 1 \n'
            (root / 'splits' / f'{label}_test_split{split}.txt').write_text(lines)
    for clip in ('a_catch_0', 'a_catch_1'):
        folder = root / 'joint_positions' / 'catch' / clip
        folder.mkdir(parents=True)
        joints = np.arange(15.0)
        x = 10 * joints[:, None] + 1 + np.arange(4)
        y = np.tile(5 * joints[:, None] + 1, 4)
        savemat(folder / 'joint_positions.mat', {'pos_img': np.stack([x, y])})
        write_video(root / 'ReCompress_Videos' / 'catch' / f'{clip}.mp4', count=4)
    names = ('catch/a_catch_0', 'catch/a_catch_1', 'shoot_bow/b_shoot_bow_0')
    coco = np.stack([10.0 * np.arange(17), 5.0 * np.arange(17), np.linspace(0.1, 0.9, 17)], -1)
    np.savez(root / 'movenet_thunder.npz', **{name: np.tile(coco, (4, 1, 1)) for name in names})
    np.savez(root / 'person_boxes.npz', **{name: np.tile([1.0, 2, 3, 4], (4, 1)) for name in names})
    (root / 'joint_positions' / 'recovery.json').write_text(
        '{"catch/a_catch_0": {"reliable": true}, "catch/a_catch_1": {"reliable": false}}'
    )
    return root
