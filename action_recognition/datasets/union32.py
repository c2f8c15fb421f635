"""The 32-class task: JHMDB-21 and Penn Action-15 under one set of labels.

The classes the two sets share are joined (golf, pull-up, baseball swing), and so are the two
tennis strokes. Official splits: JHMDB split 1 and Penn Action's own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from action_recognition.datasets import jhmdb, penn
from action_recognition.datasets.clips import SkeletonClip

#: Name in either set -> label of the task, where they differ.
CANONICAL = {
    'golf': 'golf_swing',
    'pullup': 'pull_up',
    'pushup': 'push_up',
    'situp': 'sit_up',
    'swing_baseball': 'baseball_swing',
    'tennis_forehand': 'tennis_stroke',
    'tennis_serve': 'tennis_stroke',
}
LABELS: tuple[str, ...] = tuple(
    sorted({CANONICAL.get(name, name) for name in (*jhmdb.CLASSES, *penn.CLASSES)})
)
JHMDB_SPLIT = 1


def load_union32(root: Path, part: str) -> list[SkeletonClip]:
    """Clips of one part, 'train' (1918) or 'test' (1336), labelled with `LABELS`.

    JHMDB joints are annotated where the set has them, else the teacher's.

    Args:
        root: the folder that holds both sets, as `Penn_Action` and `jhmdb`.

    Raises:
        ValueError: `part` is not 'train' or 'test'.
        UserError: a set is missing or damaged.
    """
    root = Path(root)
    clips = [
        *jhmdb.load_jhmdb(root / 'jhmdb', JHMDB_SPLIT, part, 'best'),
        *penn.load_penn(root / 'Penn_Action', part),
    ]
    return [replace(clip, label=CANONICAL.get(clip.label, clip.label)) for clip in clips]
