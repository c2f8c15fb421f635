"""Penn Action: 2326 clips of 15 sports actions with 13 joints (Zhang et al., ICCV 2013).

Layout: `<root>/labels/NNNN.mat`; the images are not needed.

The columns the data set calls left are the person's RIGHT, and the other way round: in all clips
of jumping jacks filmed from the front the "left" shoulder has the smaller x, and it is the "left"
hand that strums the guitar in 95 % of the clips and pitches the ball in 73 %. The clips returned
here have them the anatomical way, as every other set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from action_recognition.datasets.clips import SkeletonClip, frame_stamps, read_mat, require_files
from action_recognition.errors import UserError
from action_recognition.skeleton import FLIP, PENN13, adapt

CLASSES = (
    'baseball_pitch',
    'baseball_swing',
    'bench_press',
    'bowl',
    'clean_and_jerk',
    'golf_swing',
    'jump_rope',
    'jumping_jacks',
    'pullup',
    'pushup',
    'situp',
    'squat',
    'strum_guitar',
    'tennis_forehand',
    'tennis_serve',
)
LAYOUT = 'the Penn Action folder, with labels/0001.mat and so on'

#: The data set does not say how fast its clips were filmed; web video is mostly 30 Hz.
FPS = 30.0
#: Score of a joint the annotators marked invisible but placed by guess.
GUESSED_SCORE = 0.3
#: Annotators left an unseen joint at (1, 1); clips resized later carry that corner scaled by
#: 0.67 to 1.33. No visible joint comes this near to it in both coordinates.
CORNER = 2.0

_SPLITS = {'train': 1, 'test': -1}


def load_penn(root: Path, split: str) -> list[SkeletonClip]:
    """The clips of one side of the official split (1258 'train', 1068 'test').

    Visible joints score 1 and guessed ones `GUESSED_SCORE`; joints left at the corner of the
    image are not seen. No source videos are published, so every clip is a group of its own.

    Raises:
        ValueError: `split` is not 'train' or 'test'.
        UserError: `root` does not hold the set, or a file is damaged.
    """
    if split not in _SPLITS:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    root = Path(root)
    require_files(root, 'labels', LAYOUT)
    clips = []
    for path in require_files(root / 'labels', '*.mat', LAYOUT):
        clip, side = _read(path)
        if side == _SPLITS[split]:
            clips.append(clip)
    if not clips:
        raise UserError(f'{root / "labels"} holds no {split} clips; expected {LAYOUT}')
    return clips


def _read(path: Path) -> tuple[SkeletonClip, int]:
    x, y, visibility, action, side, dimensions = read_mat(
        path, 'x', 'y', 'visibility', 'action', 'train', 'dimensions'
    )
    if (
        x.ndim != 2
        or x.shape[1] != 13
        or len(x) == 0
        or not x.shape == y.shape == visibility.shape
        or min(action.size, side.size) != 1
        or dimensions.size < 2
    ):
        raise UserError(
            f'{path}: x, y and visibility must have shape (frames, 13), '
            f'not {x.shape}, {y.shape} and {visibility.shape}'
        )
    if action.item() not in CLASSES:
        raise UserError(f'{path}: {action.item()!r} is no action of Penn Action')
    raw = np.stack([x, y], -1).astype(np.float32)
    score = np.where(visibility > 0, 1.0, GUESSED_SCORE)
    score[(visibility == 0) & (raw < CORNER).all(-1)] = 0
    height, width = (int(side) for side in dimensions.ravel()[:2])
    # MATLAB counts pixels from 1.
    xy, score = adapt(raw - 1, score, PENN13)
    clip = SkeletonClip(
        path.stem,
        str(action.item()),
        path.stem,
        xy[:, FLIP],
        score[:, FLIP],
        frame_stamps(len(raw), FPS),
        (width, height),
    )
    return clip, int(side.item())
