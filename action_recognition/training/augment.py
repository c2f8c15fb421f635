"""Random changes to the joints of a clip: other people, cameras, speeds, and pose networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.ranges import FLAG, PART, SHARE, Range, check
from action_recognition.skeleton import (
    FLIP,
    LIMBS,
    NUM_JOINTS,
    FloatArray,
    IntArray,
    Joint,
    torso_size,
)

#: Joints that go missing together: legs below the picture, the side beyond its edge, an arm behind
#: the body, the head.
HIDDEN_TOGETHER: tuple[tuple[int, ...], ...] = (
    (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE, Joint.LEFT_KNEE, Joint.LEFT_ANKLE),
    (Joint.RIGHT_ANKLE, Joint.LEFT_ANKLE),
    (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE),
    (Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_KNEE, Joint.LEFT_ANKLE),
    (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST),
    (Joint.LEFT_ELBOW, Joint.LEFT_WRIST),
    (Joint.NOSE,),
)

#: Indices into `LIMBS` of the same bone, left and right.
MIRRORED_LIMBS = tuple(
    (LIMBS.index((FLIP[parent], FLIP[child])), k)
    for k, (parent, child) in enumerate(LIMBS)
    if LIMBS.index((FLIP[parent], FLIP[child])) > k
)
#: What the fields of `Augmentation` may be.
AMOUNTS = {
    'flip': SHARE,
    'rotation': Range(0, 180),
    'stretch': PART,
    'proportions': Range(0, 1),
    'warp': Range(0, 1),
    'speed': Range(1, 10),
    'least_rate': Range(0),
    'late_start': PART,
    'jitter': Range(0, 10),
    'bias': Range(0, 10),
    'missing': SHARE,
    'hidden': SHARE,
    'swapped': SHARE,
    'scores': FLAG,
    'max_frames': Range(0, whole=True),
}
#: Paces drawn for a clip whose pace changes, at even distances.
WARP_BENDS = 4


class Track(NamedTuple):
    """The joints of one person over time, as in `SkeletonClip`: NaN and score 0 if not seen.

    `target` is the (T,) class of each frame, -1 where there is none to be scored; None where
    nobody asks for classes.
    """

    xy: FloatArray
    score: FloatArray
    stamps: IntArray
    target: IntArray | None = None

    @classmethod
    def of(cls, clip: SkeletonClip) -> Track:
        return cls(clip.xy, clip.score, clip.stamps)

    def select(self, frames: IntArray | slice) -> Track:
        """These frames of it."""
        target = None if self.target is None else self.target[frames]
        return Track(self.xy[frames], self.score[frames], self.stamps[frames], target)


@dataclass(frozen=True)
class Augmentation:
    """How much of what; all amounts are the largest, drawn anew for each clip. 0 = none.

    Attributes:
        flip: probability of the mirror image, left and right joints swapped.
        rotation: degrees either way.
        stretch: relative difference of the two axes, and shear.
        proportions: standard deviation of the logarithm of how much longer each bone of this
            person is; left and right are nearly alike.
        warp: standard deviation of the logarithm of the pace, which changes within a clip.
        speed: the action runs at 1/speed to speed times its pace (1 = as filmed).
        least_rate: frames are dropped down to a rate drawn between this and the clip's, in Hz.
        late_start: share of the clip that may be skipped at its beginning.
        jitter: standard deviation of the noise of joints, in torso sizes.
        bias: of a constant offset per joint and clip, in torso sizes (sets mark heads, necks
            and hips at different places).
        missing: share of joints that go missing, for single frames and for stretches.
        hidden: probability that a group of joints is hidden for the whole clip.
        swapped: share of time in which left and right are swapped.
        scores: replace scores by random ones, lower for noisier joints, so that a model cannot
            tell the source of the joints by how it scores.
        max_frames: longer clips are cut to a random stretch of this many frames.

    Raises:
        UserError: one of them is out of its range in `AMOUNTS`.
    """

    flip: float = 0.0
    rotation: float = 0.0
    stretch: float = 0.0
    proportions: float = 0.0
    warp: float = 0.0
    speed: float = 1.0
    least_rate: float = 0.0
    late_start: float = 0.0
    jitter: float = 0.0
    bias: float = 0.0
    missing: float = 0.0
    hidden: float = 0.0
    swapped: float = 0.0
    scores: bool = False
    max_frames: int = 0

    def __post_init__(self) -> None:
        check(vars(self), AMOUNTS, 'augmentation.')

    def __call__(
        self, track: Track, rng: np.random.Generator, mirror: IntArray | None = None
    ) -> Track:
        """A changed copy of a track.

        Args:
            mirror: (classes,) the class that each class is in the mirror, -1 if that is none of
                them, so that there is no mirror image of it; None if they are all their own.
        """
        xy, score, stamps, target = self._in_time(track, rng)
        sizes = torso_size(xy)
        sizes = sizes[np.isfinite(sizes)]
        size = float(np.median(sizes)) if len(sizes) else 50.0
        xy = self._in_space(xy, rng)
        flip = rng.random() < self.flip
        if flip and target is not None and mirror is not None:
            flip = bool((mirror[target[target >= 0]] >= 0).all())
            target = np.where(target < 0, target, mirror[target]) if flip else target
        if flip:
            xy = xy[:, FLIP] * np.array([-1, 1], np.float32)
            score = score[:, FLIP]
        return Track(*self._as_estimated(xy, score.copy(), size, rng), stamps, target)

    def _in_time(self, track: Track, rng: np.random.Generator) -> Track:
        length = len(track.stamps)
        start = int(rng.uniform(0, self.late_start) * length)
        stop = length
        if self.max_frames and stop - start > self.max_frames:
            start = int(rng.integers(start, stop - self.max_frames + 1))
            stop = start + self.max_frames
        rows = np.arange(start, stop)
        stamps = track.stamps[rows] / self.speed ** rng.uniform(-1, 1)
        if self.warp and len(rows) > 2:
            steps = np.diff(stamps)
            bends = np.linspace(0, len(steps) - 1, WARP_BENDS)
            pace = np.interp(np.arange(len(steps)), bends, rng.normal(0, self.warp, WARP_BENDS))
            steps *= np.exp(pace - pace.mean())
            stamps = stamps[0] + np.cumsum([0, *steps])
        if self.least_rate and len(rows) > 2:
            rate = (len(rows) - 1) / (stamps[-1] - stamps[0]) * 1e9
            wanted = rng.uniform(min(self.least_rate, rate), rate)
            ticks = np.arange(stamps[0], stamps[-1] + 1, 1e9 / wanted)
            keep = np.unique(np.searchsorted(stamps, ticks - 1))
            rows, stamps = rows[keep], stamps[keep]
        return track.select(rows)._replace(stamps=stamps.astype(np.int64))

    def _in_space(self, xy: FloatArray, rng: np.random.Generator) -> FloatArray:
        angle = np.radians(rng.uniform(-self.rotation, self.rotation))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        wide, shear = rng.uniform(-self.stretch, self.stretch, 2)
        if self.proportions:
            xy = self._another_body(xy, rng)
        return (xy @ (turn @ np.array([[1 + wide, shear], [0, 1]])).T).astype(np.float32)

    def _another_body(self, xy: FloatArray, rng: np.random.Generator) -> FloatArray:
        """The same movements of a person whose bones are longer or shorter."""
        longer = rng.normal(0, self.proportions, len(LIMBS))
        for left, right in MIRRORED_LIMBS:
            longer[left] = longer[right] + rng.normal(0, self.proportions / 3)
        out = xy.copy()
        for (parent, child), by in zip(LIMBS, np.exp(longer).astype(np.float32), strict=True):
            out[:, child] = out[:, parent] + by * (xy[:, child] - xy[:, parent])
        # Where a parent is not seen its children stay where they were.
        return np.where(np.isnan(out), xy, out)

    def _as_estimated(
        self, xy: FloatArray, score: FloatArray, size: float, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """What a pose network might have made of these joints."""
        steps = len(xy)
        joints = (steps, NUM_JOINTS)
        level = rng.random()
        noise = rng.standard_normal((*joints, 2), np.float32)
        hardness = rng.gamma(2, 0.5, (NUM_JOINTS, 1))  # some joints are harder than others
        noise *= (level * self.jitter * size * hardness).astype(np.float32)
        xy = xy + noise
        xy += rng.normal(0, rng.random() * self.bias * size, (1, NUM_JOINTS, 2)).astype(np.float32)
        if self.scores:
            off = np.hypot(noise[..., 0], noise[..., 1]) * np.float32(rng.uniform(0, 2) / size)
            sure = np.float32(rng.uniform(0.3, 1.2)) - off
            sure += np.float32(0.05) * rng.standard_normal(joints, np.float32)
            score = np.where(score > 0, np.clip(sure, 0.05, 1), np.float32(0))
        if self.swapped:
            t = _stretches(steps, np.array([self.swapped * rng.random()]), rng)[:, 0]
            xy[t], score[t] = xy[t][:, FLIP], score[t][:, FLIP]
        gone = rng.random(joints) < self.missing * rng.random() / 2
        if self.missing:
            gone |= _stretches(steps, self.missing * rng.random(NUM_JOINTS) / 2, rng)
        if rng.random() < self.hidden:
            gone[:, HIDDEN_TOGETHER[rng.integers(len(HIDDEN_TOGETHER))]] = True
        xy[gone], score[gone] = np.nan, 0
        return xy, score


def _stretches(
    steps: int, share: npt.NDArray[np.float64], rng: np.random.Generator, mean: int = 6
) -> npt.NDArray[np.bool_]:
    """(steps, columns) True in random stretches of about `mean` frames.

    Args:
        share: (columns,) of the time that they cover, on average and before they overlap.
    """
    column = np.repeat(np.arange(len(share)), rng.poisson(share * steps / mean))
    start = rng.integers(0, steps, len(column))
    stop = start + rng.geometric(1 / mean, len(column))
    covered = np.zeros((steps, len(share)), bool)
    for first, last, k in zip(start.tolist(), stop.tolist(), column.tolist(), strict=True):
        covered[first:last, k] = True
    return covered
