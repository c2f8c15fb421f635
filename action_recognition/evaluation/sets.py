"""Sets of labelled clips, their classes and joints, and the weights that ship for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from action_recognition.datasets import jhmdb, penn, union32
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.estimated import JointCache, jhmdb_videos

#: Sets of labelled clips and their classes.
SETS: dict[str, tuple[str, ...]] = {
    'penn': penn.CLASSES,
    'jhmdb14': jhmdb.TRUTH_CLASSES,
    'jhmdb21': jhmdb.CLASSES,
    'union32': union32.LABELS,
}
#: Where the joints of JHMDB can come from.
JOINTS = ('truth', 'teacher', 'best', 'estimated')


def load_set(
    name: str,
    data: Path,
    part: str,
    split: int = 1,
    joints: str | None = None,
    cache: JointCache | None = None,
) -> list[SkeletonClip]:
    """Clips of one part of a labelled set, under the set's own labels.

    Args:
        name: one of `SETS`.
        data: the folder that holds the sets, as `Penn_Action` and `jhmdb`.
        split: of JHMDB; the others have one official split.
        joints: of JHMDB; by default 'truth' for jhmdb14 and 'best' for the others; 'estimated'
            are those that our own pose network finds in the videos.
        cache: of the estimated joints.

    Raises:
        UserError: the combination does not exist, or the data cannot be read.
    """
    if name not in SETS:
        raise UserError(f'unknown set {name!r}; known: {", ".join(SETS)}')
    if split != 1 and name in ('penn', 'union32'):
        raise UserError(f'{name} has one official split only: leave out --split or give 1')
    if split not in jhmdb.SPLITS:
        raise UserError(f'JHMDB has the splits 1, 2 and 3, not {split}')
    if joints not in (None, 'truth') and name == 'penn':
        raise UserError('penn has annotated joints only: leave out --joints or give truth')
    clips: list[SkeletonClip] = []
    if name != 'penn':
        default = 'truth' if name == 'jhmdb14' else 'best'
        root = data / 'jhmdb'
        if joints == 'estimated':
            videos = jhmdb_videos(root, jhmdb.clip_names(root, split, part))
            clips += (cache or JointCache()).clips(videos)
        else:
            clips += jhmdb.load_jhmdb(root, split, part, joints or default)
        if name == 'jhmdb14':
            clips = [clip for clip in clips if clip.label in jhmdb.TRUTH_CLASSES]
    if name in ('penn', 'union32'):
        clips += penn.load_penn(data / 'Penn_Action', part)
    return relabel(clips, union32.LABELS) if name == 'union32' else clips


def relabel(clips: Sequence[SkeletonClip], labels: Sequence[str]) -> list[SkeletonClip]:
    """The clips under labels of a model: their own, else those of the 32-class task.

    Raises:
        UserError: the model knows neither.
    """
    out, unknown = [], set()
    for clip in clips:
        label = clip.label
        if label not in labels:
            label = union32.CANONICAL.get(label, label)
        if label not in labels:
            unknown.add(label)
        out.append(replace(clip, label=label))
    if unknown:
        raise UserError(f'the model does not know {", ".join(sorted(unknown))}')
    return out


def default_model(set_name: str, split: int = 1, joints: str | None = None) -> str:
    """Name of the weights that ship for a set.

    Args:
        split, joints: as in `load_set`. JHMDB's 21 classes have weights of their own for joints
            that our pose network finds.
    """
    if set_name == 'precog':
        return 'online_precog'
    families = {
        'jhmdb14': 'online_jhmdb14',
        'jhmdb21': 'online_jhmdb21_video' if joints == 'estimated' else 'online_union32',
    }
    if set_name not in families:
        return 'online_union32'
    return families[set_name] + (f'_split{split}' if split != 1 else '')
