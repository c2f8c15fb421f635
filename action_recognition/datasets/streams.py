"""`SkeletonStream`, a continuous recording of one person with a class for every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from action_recognition.datasets import precog
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.skeleton import TORSO_JOINTS, FloatArray, IntArray, Poses, torso_size

#: Target of a frame that is not to be scored.
UNSCORED = -1

#: The Kinect's colour camera: focal length in pixels, and image size.
FOCAL, IMAGE_SIZE = 525.0, (640, 480)
#: Range of a random view: turn of the person either way in radians, and metres to the camera.
MAX_YAW, DISTANCES = np.radians(30), (2.2, 4.5)

#: Seconds between two clips of a string, in which joints move from one to the other.
GAP = 0.3
_GAP_NS = round(GAP * 1e9)


@dataclass(frozen=True)
class SkeletonStream:
    """The joints of one person doing one thing after another.

    Joints follow the rule of `Poses`: one that is not seen holds NaN and score 0. A frame in
    which the person was not tracked has no joint.

    Attributes:
        name: of the recording.
        group: the person or the source video; a validation split must keep groups together.
        xy: (T, 14, 2) float32 pixels, (0, 0) the centre of the first pixel.
        score: (T, 14) float32 in [0, 1].
        stamps: (T,) int64 nanoseconds from the first frame, strictly increasing.
        image_size: (width, height) in pixels.
        classes: names of the classes.
        targets: (T,) int64 indices of `classes`, -1 where a frame is not to be scored.

    Raises:
        ValueError: a shape is not as above, a score is outside [0, 1], a target is no class, or
            the stream is empty.
    """

    name: str
    group: str
    xy: FloatArray
    score: FloatArray
    stamps: IntArray
    image_size: tuple[int, int]
    classes: tuple[str, ...]
    targets: IntArray

    def __post_init__(self) -> None:
        frames = Poses(self.xy, self.score, image_size=self.image_size)
        for name in ('stamps', 'targets'):
            array = np.array(getattr(self, name), np.int64)
            if len(frames) == 0 or array.shape != (len(frames),):
                raise ValueError(
                    f'{self.name}: {len(frames)} frames need as many {name}, '
                    f'not shape {array.shape}'
                )
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if (np.diff(self.stamps) <= 0).any():
            raise ValueError(f'{self.name}: stamps must increase')
        if self.targets.min() < UNSCORED or self.targets.max() >= len(self.classes):
            raise ValueError(f'{self.name}: targets must lie in [-1, {len(self.classes)})')
        object.__setattr__(self, 'xy', frames.xy)
        object.__setattr__(self, 'score', frames.score)
        object.__setattr__(self, 'image_size', frames.image_size)

    def __len__(self) -> int:
        return len(self.xy)


def segments(targets: npt.ArrayLike) -> list[tuple[int, int, int]]:
    """Unbroken runs of one class as (start, stop, class), in order; runs of -1 are left out.

    Args:
        targets: (T,) class indices.
    """
    targets = np.asarray(targets)
    bounds = [0, *(np.flatnonzero(np.diff(targets)) + 1).tolist(), len(targets)]
    return [
        (start, stop, int(targets[start]))
        for start, stop in pairwise(bounds)
        if stop > start and targets[start] != UNSCORED
    ]


# --- PRECOG ---------------------------------------------------------------------------------


def precog_streams(
    root: Path, part: str, rng: np.random.Generator | None = None
) -> list[SkeletonStream]:
    """The recordings of odd people ('train') or even people ('test'), as a camera sees them.

    Recordings in which nobody was tracked are left out.

    Args:
        root: the PRECOG folder; see `precog`.
        rng: for a view drawn anew for each recording; None is the view of `precog_stream`.

    Raises:
        ValueError: `part` is not 'train' or 'test'.
        UserError: `root` does not hold the set, or a file is damaged.
    """
    if part not in ('train', 'test'):
        raise ValueError(f"part must be 'train' or 'test', not {part!r}")
    return [
        precog_stream(recording, rng)
        for recording in precog.load_precog(root)
        if recording.person % 2 == (part == 'train') and np.isfinite(recording.xyz).any()
    ]


def precog_stream(
    recording: precog.Recording, rng: np.random.Generator | None = None
) -> SkeletonStream:
    """A recording seen by a camera of the Kinect's focal length, at the height of the hips.

    Args:
        rng: draws a turn of the person within `MAX_YAW` and a distance within `DISTANCES`;
            without it the camera stands where the Kinect stood.
    """
    yaw, distance = 0.0, None
    if rng is not None:
        yaw, distance = rng.uniform(-MAX_YAW, MAX_YAW), rng.uniform(*DISTANCES)
    xy = precog.project(recording.xyz, FOCAL, IMAGE_SIZE, yaw, distance)
    return SkeletonStream(
        name=f'Seq{recording.sequence}_{recording.person}',
        group=f'person {recording.person}',
        xy=xy,
        score=np.isfinite(xy).min(-1).astype(np.float32),
        stamps=recording.stamps,
        image_size=IMAGE_SIZE,
        classes=precog.LABELS,
        targets=recording.labels,
    )


# --- clips one after another ----------------------------------------------------------------


def string_together(
    clips: Sequence[SkeletonClip],
    rng: np.random.Generator,
    classes: Sequence[str],
    seconds: float | None = None,
) -> SkeletonStream:
    """One person who does what clips show, one after another without a break.

    Every clip is scaled to the median torso size of the first (a size taken where the last one
    ended would add up errors over many clips) and begins with its torso where that of the one
    before ended. In between, `GAP` seconds long, joints that both know move in a straight line;
    these frames are not scored. Nothing keeps the person inside the image.

    Args:
        clips: at least one with a joint in it; those without are left out.
        rng: draws the order.
        classes: of the stream; the labels of the clips are among them.
        seconds: go through the clips again and again, and end with the clip that reaches this
            length; None takes each once.

    Returns:
        A stream of the first clip's image size that is its own group.

    Raises:
        ValueError: no clip has a joint, or a label is no class.
    """
    usable = [clip for clip in clips if (clip.score > 0).any()]
    if not usable:
        raise ValueError('no clip has a joint')
    index = {label: k for k, label in enumerate(classes)}
    unknown = {clip.label for clip in usable} - set(index)
    if unknown:
        raise ValueError(f'{", ".join(sorted(unknown))} is not among the classes')

    pieces: list[SkeletonClip] = []
    targets: list[int] = []
    for clip in _shuffled(usable, rng, once=seconds is None):
        if pieces:
            clip = _follow(pieces[-1], clip, _size(pieces[0]))
            gap = _bridge(pieces[-1], clip)
            pieces.append(gap)
            targets += [UNSCORED] * len(gap)
        pieces.append(clip)
        targets += [index[clip.label]] * len(clip)
        if seconds is not None and clip.stamps[-1] - pieces[0].stamps[0] >= seconds * 1e9:
            break
    return SkeletonStream(
        name=f'{(len(pieces) + 1) // 2} clips',
        group=f'{(len(pieces) + 1) // 2} clips',
        xy=np.concatenate([piece.xy for piece in pieces]),
        score=np.concatenate([piece.score for piece in pieces]),
        stamps=np.concatenate([piece.stamps for piece in pieces]) - pieces[0].stamps[0],
        image_size=pieces[0].image_size,
        classes=tuple(classes),
        targets=np.array(targets),
    )


def _shuffled(
    clips: Sequence[SkeletonClip], rng: np.random.Generator, once: bool
) -> Iterator[SkeletonClip]:
    while True:
        for row in rng.permutation(len(clips)):
            yield clips[row]
        if once:
            return


def _follow(before: SkeletonClip, clip: SkeletonClip, size: float) -> SkeletonClip:
    """`clip` scaled to a torso size, moved to where `before` ends, and later by `GAP`."""
    scale = size / _size(clip)
    if not np.isfinite(scale):
        scale = 1.0
    xy = clip.xy * np.float32(scale)
    xy = xy + (_places(before.xy)[-1] - _places(xy)[0])
    return replace(clip, xy=xy, stamps=clip.stamps - clip.stamps[0] + before.stamps[-1] + _GAP_NS)


def _bridge(before: SkeletonClip, after: SkeletonClip) -> SkeletonClip:
    """The frames between two clips, at the rate of the one before (30 Hz if it is one frame)."""
    step = float(np.median(np.diff(before.stamps))) if len(before) > 1 else 1e9 / 30
    count = max(round(_GAP_NS / step), 2)
    way = (np.arange(1, count) / count)[:, None, None]
    xy = before.xy[-1] + way * (after.xy[0] - before.xy[-1])  # NaN where one does not know it
    score = np.minimum(before.score[-1], after.score[0])
    stamps = before.stamps[-1] + np.round(_GAP_NS * way[:, 0, 0]).astype(np.int64)
    return replace(after, xy=xy, score=np.tile(score, (count - 1, 1)), stamps=stamps)


def _size(clip: SkeletonClip) -> float:
    """Median torso size in pixels, NaN if it is never seen or has no extent."""
    sizes = torso_size(clip.xy)
    sizes = sizes[sizes > 0]
    return float(np.median(sizes)) if len(sizes) else np.nan


def _places(xy: FloatArray) -> FloatArray:
    """(k, 2) middle of the torso, else of all joints, in the k > 0 frames that show a joint."""
    seen: npt.NDArray[np.bool_] = np.isfinite(xy).min(-1)
    xy, seen = xy[seen.any(1)], seen[seen.any(1)]
    torso = seen & np.isin(np.arange(xy.shape[1]), TORSO_JOINTS)
    used = np.where(torso.any(1, keepdims=True), torso, seen)[..., None]
    return np.where(used, xy, 0).sum(1) / used.sum(1)
