"""JHMDB: 928 short clips of 21 everyday actions with 15 joints (Jhuang et al., ICCV 2013).

Layout: `<root>/ReCompress_Videos/<class>/<clip>.{mp4,avi}`,
`<root>/joint_positions/<class>/<clip>/joint_positions.mat` and
`<root>/splits/<class>_test_split{1,2,3}.txt`. Beside those of the data set, two files may lie in
`<root>`: `person_boxes.npz` and `movenet_thunder.npz`, the joints a pose network found.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from action_recognition.datasets.clips import (
    SkeletonClip,
    frame_stamps,
    read_mat,
    read_npz,
    require_file,
    require_files,
)
from action_recognition.errors import UserError
from action_recognition.skeleton import COCO17, JHMDB15, FloatArray, adapt

CLASSES = (
    'brush_hair',
    'catch',
    'clap',
    'climb_stairs',
    'golf',
    'jump',
    'kick_ball',
    'pick',
    'pour',
    'pullup',
    'push',
    'run',
    'shoot_ball',
    'shoot_bow',
    'shoot_gun',
    'sit',
    'stand',
    'swing_baseball',
    'throw',
    'walk',
    'wave',
)
_WITHOUT_TRUTH = (
    'brush_hair',
    'climb_stairs',
    'kick_ball',
    'shoot_ball',
    'shoot_bow',
    'shoot_gun',
    'swing_baseball',
)
#: The classes whose joints could be recovered; the 14-class task is made of them.
TRUTH_CLASSES = tuple(name for name in CLASSES if name not in _WITHOUT_TRUTH)
LAYOUT = (
    'the JHMDB folder, with splits/<class>_test_split1.txt, ReCompress_Videos/<class>/<clip>.mp4 '
    'and joint_positions/<class>/<clip>/joint_positions.mat'
)
TEACHER_FILE = 'movenet_thunder.npz'
BOXES_FILE = 'person_boxes.npz'
IMAGE_SIZE = (320, 240)
FPS = 30.0

#: The official splits.
SPLITS = (1, 2, 3)
_PARTS = {'train': '1', 'test': '2'}
_JOINTS = ('truth', 'teacher', 'best')


def load_jhmdb(root: Path, split: int, part: str, joints: str = 'best') -> list[SkeletonClip]:
    """The clips of one part of an official split, with the joints asked for.

    Annotated joints score 1, also outside the image, where they are guesses of a fitted puppet
    (`SkeletonClip.inside` tells); teacher joints have the score of the network that found them.
    The group of a clip is its source video: the file name up to the class word. One film can
    give clips to several classes.

    Args:
        split: 1, 2 or 3.
        part: 'train' or 'test'.
        joints: 'truth', annotated, the 14 `TRUTH_CLASSES` only; 'teacher', all 21 `CLASSES`;
            'best', all 21, annotated where there is a file, else teacher.

    Raises:
        ValueError: an argument is none of the above.
        UserError: `root` does not hold the set, or a file is missing or damaged.
    """
    if joints not in _JOINTS:
        raise ValueError(f'joints must be one of {_JOINTS}, not {joints!r}')
    root = Path(root)
    names = clip_names(root, split, part)
    if joints == 'truth':
        names = [name for name in names if label_of(name) in TRUTH_CLASSES]
    teacher = {}
    if joints == 'teacher' or (
        joints == 'best' and not all(_truth_path(root, name).is_file() for name in names)
    ):
        teacher = read_npz(root / TEACHER_FILE, f'{TEACHER_FILE} in {LAYOUT}')
    clips = []
    for name in names:
        if joints == 'truth' or (joints == 'best' and _truth_path(root, name).is_file()):
            xy, score = _read_truth(_truth_path(root, name))
        elif name in teacher:
            xy, score = _adapt_teacher(root, name, teacher[name])
        else:
            raise UserError(f'{root / TEACHER_FILE} lacks the clip {name}')
        stamps = frame_stamps(len(xy), FPS)
        clips.append(
            SkeletonClip(name, label_of(name), group_of(name), xy, score, stamps, IMAGE_SIZE)
        )
    return clips


def is_root(root: Path) -> bool:
    """Whether a folder is that of the set: it holds the official splits."""
    return (root / 'splits').is_dir()


def clip_names(root: Path, split: int, part: str) -> list[str]:
    """'<class>/<clip>' of one part of an official split, sorted.

    Raises:
        ValueError: there is no such split or part.
        UserError: a split file is missing or holds something else.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be 1, 2 or 3, not {split!r}')
    if part not in _PARTS:
        raise ValueError(f"part must be 'train' or 'test', not {part!r}")
    folder = Path(root) / 'splits'
    require_files(folder, '*_test_split?.txt', LAYOUT)
    names = []
    for label in CLASSES:
        path = require_file(folder / f'{label}_test_split{split}.txt', LAYOUT)
        for line in path.read_text(encoding='utf-8').splitlines():
            if not line.strip():
                continue
            file_name, _, side = line.strip().rpartition(' ')
            if side not in ('0', '1', '2') or not file_name:
                raise UserError(f"{path}: expected lines '<clip>.avi 1|2', not {line.strip()!r}")
            if side == _PARTS[part]:
                names.append(f'{label}/{Path(file_name).stem}')
    return sorted(names)


def label_of(name: str) -> str:
    """The class of '<class>/<clip>'."""
    return name.partition('/')[0]


def group_of(name: str) -> str:
    """The source video of '<class>/<clip>': the clip's name up to the class word."""
    label, _, clip = name.partition('/')
    source, found, _ = clip.rpartition(f'_{label}_')
    return source if found else clip


def video_path(root: Path, name: str) -> Path:
    """The video of '<class>/<clip>'.

    Raises:
        UserError: there is none.
    """
    stem = Path(root) / 'ReCompress_Videos' / name
    for suffix in ('.mp4', '.avi'):
        path = stem.with_name(stem.name + suffix)
        if path.is_file():
            return path
    raise UserError(f'{stem}.mp4 (or .avi) does not exist; expected {LAYOUT}')


def person_boxes(root: Path) -> dict[str, FloatArray]:
    """Boxes of the acting person: '<class>/<clip>' -> (T, 4) x0, y0, x1, y1 px, NaN = unknown.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = Path(root) / BOXES_FILE
    boxes = read_npz(path, f'{BOXES_FILE} in {LAYOUT}')
    for name, box in boxes.items():
        if box.ndim != 2 or box.shape[1] != 4:
            raise UserError(f'{path}: {name} must have shape (frames, 4), not {box.shape}')
    return boxes


def reliable(root: Path) -> set[str]:
    """'<class>/<clip>' of the clips whose joints are good enough to teach and score pose.

    Joints of these files were recovered from normalised annotations, and
    `joint_positions/recovery.json` says how well. The data set's own annotations come without
    that file: all of their clips are reliable.

    Raises:
        UserError: the joints are missing, or the file is damaged.
    """
    folder = Path(root) / 'joint_positions'
    path = folder / 'recovery.json'
    if not path.is_file():
        files = require_files(folder, '*/*/joint_positions.mat', LAYOUT)
        return {f'{file.parent.parent.name}/{file.parent.name}' for file in files}
    try:
        recovery = json.loads(path.read_text(encoding='utf-8'))
        return {name for name, quality in recovery.items() if quality['reliable']}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f'{path} is damaged ({error!r}); copy it again') from error


def _truth_path(root: Path, name: str) -> Path:
    return root / 'joint_positions' / name / 'joint_positions.mat'


def _read_truth(path: Path) -> tuple[FloatArray, FloatArray]:
    require_file(path, LAYOUT)
    (positions,) = read_mat(path, 'pos_img')
    if positions.ndim != 3 or positions.shape[:2] != (2, 15) or positions.shape[2] == 0:
        raise UserError(f'{path}: pos_img must have shape (2, 15, frames), not {positions.shape}')
    # MATLAB counts pixels from 1.
    xy = positions.transpose(2, 1, 0) - 1
    return adapt(xy, np.ones(xy.shape[:2]), JHMDB15)


def _adapt_teacher(root: Path, name: str, joints: FloatArray) -> tuple[FloatArray, FloatArray]:
    if joints.ndim != 3 or joints.shape[1:] != (17, 3) or len(joints) == 0:
        raise UserError(
            f'{root / TEACHER_FILE}: {name} must have shape (frames, 17, 3), not {joints.shape}'
        )
    return adapt(joints[..., :2], joints[..., 2], COCO17)
