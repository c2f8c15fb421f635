"""Cross-validation by source: clips of one source are never learnt from and asked about at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.skeleton import IntArray

MOST_FOLDS = 5


def folds_of(clips: Sequence[SkeletonClip], seed: int) -> IntArray:
    """(clips,) the fold in which each clip is asked about, -1 for one that is in none.

    Each class is spread over the folds as evenly as its sources allow. A class that has one source,
    or whose sources all ended up in one fold for the sake of other classes, is only learnt from:
    `learnt_from` says when.
    """
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        sizes[clip.group][clip.label] += 1
    sources: Counter[str] = Counter()
    for found in sizes.values():
        sources.update(found.keys())
    count = min(MOST_FOLDS, max(sources.values(), default=0))
    if count < 2:
        return np.full(len(clips), -1)
    groups = sorted(sizes)
    np.random.default_rng(seed).shuffle(groups)
    # Those that are hardest to place first: of rare classes, then large ones.
    groups.sort(key=lambda g: (min(sources[label] for label in sizes[g]), -sizes[g].total()))
    loads: dict[str, Counter[int]] = defaultdict(Counter)
    placed: dict[str, int] = {}
    for group in groups:
        placed[group] = min(
            range(count),
            key=lambda fold: (
                sum(loads[label][fold] for label in sizes[group]),
                sum(load[fold] for load in loads.values()),
            ),
        )
        for label, size in sizes[group].items():
            loads[label][placed[group]] += size
    alone = {label for label, load in loads.items() if len(load) < 2}
    return np.array([-1 if clip.label in alone else placed[clip.group] for clip in clips])


def learnt_from(clips: Sequence[SkeletonClip], folds: IntArray, fold: int) -> IntArray:
    """Rows of the clips to learn from where this fold of `folds_of` is asked about.

    A source of the fold may also have clips of a class that is in no fold: they show the same
    moment, and are left out with it.
    """
    asked = {clip.group for clip, of in zip(clips, folds, strict=True) if of == fold}
    return np.flatnonzero([clip.group not in asked for clip in clips])
