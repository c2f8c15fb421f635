"""Scenes of several people with known identities, composed from recordings of one person each.

People stand, walk past each other at different depths, meet and turn back, leave the image and
return. What a detector would give of them is derived: whoever is hidden behind somebody is missed,
whole people and single joints are missed at random, joints jitter, left and right are swapped, and
there are ghosts. Everything follows from the recordings and a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.streams import (
    FOCAL,
    IMAGE_SIZE,
    UNSCORED,
    SkeletonStream,
    precog_streams,
    string_together,
)
from action_recognition.datasets.union32 import LABELS, load_union32
from action_recognition.skeleton import (
    FLIP,
    NUM_JOINTS,
    FloatArray,
    IntArray,
    Joint,
    Poses,
    torso_size,
    within,
)

#: Seconds of a scene, and the rate at which people move before images are taken.
SECONDS = 12.0
BASE_RATE = 30
#: Kinds of scene and the people in them.
KINDS = {'crossing': (2, 4), 'meeting': (2, 3), 'exits': (2, 4), 'crowd': (5, 6)}
RATES = (30, 10)
#: Metres from shoulder to opposite hip; what the recordings are scaled to.
TORSO = 0.55
#: Somebody with this share of the seen joints behind another body is not found.
HIDDEN = 0.5
#: Clips that are strung together for one person, and the least share of joints seen in them.
CLIPS, LEAST_SEEN = 12, 0.7
#: Share of the streams that are of PRECOG: one real person throughout, without targets.
PRECOG_SHARE = 0.25

_ROOT = [Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER, Joint.RIGHT_HIP, Joint.LEFT_HIP]
#: Seconds over which the slow drift of a recording is taken out; what is faster stays in.
_DRIFT = 1.0

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Noise:
    """What a detector does wrong.

    Attributes:
        jitter: standard deviation of joints in torso sizes; a scene draws from this range.
        joint_miss: chance that a joint is missed in one image.
        person_miss: chance that a person is missed in one image.
        gaps_per_minute: times that a person is missed for 0.2 to 0.6 s.
        swap: chance that left and right of a person are swapped in one image.
        ghost: chance of somebody who is not there in one image.
        confusion: chance that a joint behind another body is found on that body.
    """

    jitter: tuple[float, float] = (0.02, 0.08)
    joint_miss: float = 0.05
    person_miss: float = 0.03
    gaps_per_minute: float = 4.0
    swap: float = 0.03
    ghost: float = 0.08
    confusion: float = 0.15


@dataclass(frozen=True)
class Scene:
    """Images in which people were found, and who they are.

    Attributes:
        name: kind, rate and number of the scene.
        kind: one of `KINDS`.
        rate: images a second.
        found: the people of each image as a detector gives them, in random order, without ids.
        person: for each image (n,) the number of the person whose pose it is, -1 for a ghost.
        visible: (T, people) whether a person is in the image and not hidden.
        targets: (T, people) indices of `LABELS`, -1 where nothing is to be scored.
    """

    name: str
    kind: str
    rate: int
    found: list[Poses]
    person: list[IntArray]
    visible: Bools
    targets: IntArray

    def __len__(self) -> int:
        return len(self.found)


def recorded_streams(
    root: Path, part: str, count: int, rng: np.random.Generator
) -> list[SkeletonStream]:
    """Streams of one person each, of JHMDB (split 1), Penn Action and PRECOG.

    Args:
        root: the folder that holds the three sets.
        part: 'train', of which settings may be chosen, or 'test'.

    Raises:
        UserError: a set is missing or damaged.
    """
    clips = [
        clip for clip in load_union32(root, part) if clip.score.astype(bool).mean() > LEAST_SEEN
    ]
    real = precog_streams(Path(root) / 'precog2016', part, rng)
    real = [stream for stream in real if (stream.score > 0).all(1).mean() > 0.9]
    streams = []
    for _ in range(count):
        if rng.random() < PRECOG_SHARE:
            streams.append(real[rng.integers(len(real))])
        else:
            chosen: list[SkeletonClip] = [clips[i] for i in rng.integers(len(clips), size=CLIPS)]
            streams.append(string_together(chosen, rng, LABELS, SECONDS))
    return streams


def compose(
    streams: Sequence[SkeletonStream],
    kind: str,
    rate: int,
    rng: np.random.Generator,
    noise: Noise | None = None,
    name: str = '',
) -> Scene:
    """A scene of as many people as there are streams.

    Args:
        kind: how they move, one of `KINDS`.
        rate: images a second, a divisor of 30.

    Raises:
        ValueError: the kind is none of `KINDS`, or the rate no divisor of 30.
    """
    if kind not in KINDS or BASE_RATE % rate:
        raise ValueError(f'kind must be one of {", ".join(KINDS)}, and rate a divisor of 30')
    noise = noise or Noise()
    moments = np.arange(0, round(SECONDS * BASE_RATE), BASE_RATE // rate)
    bodies = [_body(stream) for stream in streams]
    paths = _paths(kind, len(streams), rng)
    xy, depth = (np.stack(part) for part in zip(*map(_place, bodies, paths), strict=True))
    targets = np.stack([_targets(stream) for stream in streams])
    xy, depth, targets = xy[:, moments], depth[:, moments], targets[:, moments]
    inside = within(xy, IMAGE_SIZE)
    covered = _covered(np.where(inside[..., None], xy, np.nan), depth)
    visible = inside.sum(2) >= 4
    known = np.maximum(inside.sum(2), 1)
    visible &= (covered >= 0).sum(2) / known < HIDDEN
    found, person = [], []
    missed = _gaps(len(streams), len(moments), rate, noise, rng)
    jitter = rng.uniform(*noise.jitter)
    for t, moment in enumerate(moments):
        rows = [p for p in range(len(streams)) if visible[p, t] and not missed[p, t]]
        poses = [_seen(xy[:, t], inside[p, t], covered[p, t], p, jitter, noise, rng) for p in rows]
        if rng.random() < noise.ghost:
            poses.append(_ghost(xy[:, t], rng))
            rows.append(-1)
        order = rng.permutation(len(rows))
        stamp = round(moment * 1e9 / BASE_RATE)
        if len(rows):
            joints, score = (np.stack(part)[order] for part in zip(*poses, strict=True))
            found.append(Poses(joints, score, stamp=stamp, image_size=IMAGE_SIZE))
        else:
            found.append(Poses.empty(stamp, IMAGE_SIZE))
        person.append(np.array(rows, np.int64)[order])
    return Scene(name or f'{kind} {rate} Hz', kind, rate, found, person, visible.T, targets.T)


def scenes(root: Path, part: str, seed: int, each: int) -> list[Scene]:
    """`each` scenes of every kind at every rate, of one part of the recordings."""
    rng = np.random.default_rng([seed, part == 'test'])
    plan = [(kind, rate, i) for kind in KINDS for rate in RATES for i in range(each)]
    counts = [int(rng.integers(KINDS[kind][0], KINDS[kind][1] + 1)) for kind, _, _ in plan]
    streams = iter(recorded_streams(root, part, sum(counts), rng))
    return [
        compose([next(streams) for _ in range(n)], kind, rate, rng, name=f'{kind} {rate} Hz {i}')
        for (kind, rate, i), n in zip(plan, counts, strict=True)
    ]


# --- bodies and paths -------------------------------------------------------------------------


def _frames(stream: SkeletonStream) -> IntArray:
    """Rows of a stream at the base rate; one that is too short runs back and forth."""
    times = np.arange(round(SECONDS * BASE_RATE)) * (1e9 / BASE_RATE)
    rows = np.searchsorted(stream.stamps, times + 1e6, 'right') - 1
    length = max(int((stream.stamps < times[-1]).sum()), 2)
    turn = np.arange(len(times)) % (2 * length - 2)
    if stream.stamps[-1] < times[-1]:
        rows = np.where(turn < length, turn, 2 * length - 2 - turn)
    return np.clip(rows, 0, len(stream) - 1)


def _targets(stream: SkeletonStream) -> IntArray:
    if tuple(stream.classes) != LABELS:
        return np.full(round(SECONDS * BASE_RATE), UNSCORED)
    return stream.targets[_frames(stream)]


def _body(stream: SkeletonStream) -> FloatArray:
    """(T, 14, 2) joints round the middle of the trunk in torso sizes, slow drift taken out."""
    xy = stream.xy[_frames(stream)]
    sizes = torso_size(xy)
    size = np.nanmedian(sizes) if np.isfinite(sizes).any() else 1.0
    trunk = xy[:, _ROOT]
    seen = np.isfinite(trunk[..., 0])
    root = np.where(seen[..., None], trunk, 0).sum(1) / np.maximum(seen.sum(1), 1)[:, None]
    time, known = np.arange(len(xy)), seen.any(1)
    if not known.any():
        root, known = np.zeros((len(xy), 2)), np.ones(len(xy), bool)
    root = np.stack([np.interp(time, time[known], root[known, k]) for k in range(2)], -1)
    slow = gaussian_filter1d(root, _DRIFT * BASE_RATE, axis=0, mode='nearest')
    return ((xy - slow[:, None]) / max(float(size), 1e-6)).astype(np.float32)


def _place(body: FloatArray, path: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pixels (T, 14, 2) of a body on its way, and its depth (T,) in metres.

    Args:
        path: (T, 2) metres to the right and away from the camera, which is as high as the trunk.
    """
    x, depth = path.T
    scale = FOCAL * TORSO / depth
    middle = np.stack([FOCAL * x / depth, np.zeros(len(x))], -1) + (np.array(IMAGE_SIZE) - 1) / 2
    return (middle[:, None] + body * scale[:, None, None]).astype(np.float32), depth


def _paths(kind: str, people: int, rng: np.random.Generator) -> list[FloatArray]:
    """(T, 2) metres for each person; depths differ by at least a step."""
    depths = rng.uniform(2.6, 3.4) + np.cumsum(rng.uniform(0.35, 0.7, people))
    depths = rng.permutation(depths * min(1.0, 6.0 / depths.max()))
    time = np.arange(round(SECONDS * BASE_RATE)) / BASE_RATE
    makers: dict[str, Sequence[Callable[..., FloatArray]]] = {
        'crossing': (_pace,),
        'meeting': (_meet,),
        'exits': (_leave,),
        'crowd': (_stand, _pace, _pace, _leave),
    }
    chosen = [makers[kind][i % len(makers[kind])] for i in range(people)]
    if kind in ('crossing', 'exits') and people > 2:
        chosen[0] = _stand
    x = [
        make(time, depth, i, rng)
        for i, (make, depth) in enumerate(zip(chosen, depths, strict=True))
    ]
    sway = [0.1 * np.sin(time * rng.uniform(0.3, 1) + rng.uniform(0, 6)) for _ in range(people)]
    return [np.stack([a, d + s], -1) for a, d, s in zip(x, depths, sway, strict=True)]


def _edge(depth: float) -> float:
    """Metres from the middle to the border of the image."""
    return depth * IMAGE_SIZE[0] / 2 / FOCAL


def _stand(time: FloatArray, depth: float, i: int, rng: np.random.Generator) -> FloatArray:
    return np.full(len(time), rng.uniform(-0.6, 0.6) * _edge(depth))


def _pace(time: FloatArray, depth: float, i: int, rng: np.random.Generator) -> FloatArray:
    """To and fro across the image, with rests at the turns."""
    reach = rng.uniform(0.45, 0.75) * _edge(depth)
    speed = rng.uniform(0.5, 1.4)
    phase = 2 * reach * (i % 2) + rng.uniform(0, reach)
    way = np.abs((time * speed + phase) % (4 * reach) - 2 * reach) - reach
    return gaussian_filter1d(way, 0.25 * BASE_RATE, mode='nearest')


def _meet(time: FloatArray, depth: float, i: int, rng: np.random.Generator) -> FloatArray:
    """To a common point in the middle, a while there, then back (or past), again and again."""
    side = -1 if i % 2 else 1
    x, stops = [0.7 * side * _edge(depth)], [0.0]
    beside = 0.12 * side * (1 + i // 2)
    while stops[-1] < SECONDS:
        speed = rng.uniform(0.6, 1.3)
        target = beside if len(x) % 2 else side * rng.uniform(0.5, 0.75) * _edge(depth)
        stops.append(stops[-1] + max(abs(target - x[-1]) / speed, 0.2))
        x.append(target)
        stops.append(stops[-1] + rng.uniform(0.2, 1.0))
        x.append(target)
        x.append(x[-1])  # keeps the parity of the next target
        stops.append(stops[-1] + 1e-3)
        if rng.random() < 0.4 and abs(target) < 0.5:
            side = -side
    return gaussian_filter1d(np.interp(time, stops, x), 0.15 * BASE_RATE, mode='nearest')


def _leave(time: FloatArray, depth: float, i: int, rng: np.random.Generator) -> FloatArray:
    """Across the image and out of it, back in from there after a pause."""
    out = _edge(depth) + 0.8
    side = 1 if i % 2 else -1
    x, stops = [rng.uniform(-0.5, 0.5) * _edge(depth)], [0.0]
    while stops[-1] < SECONDS:
        speed = rng.uniform(0.7, 1.5)
        stops.append(stops[-1] + abs(side * out - x[-1]) / speed)
        x.append(side * out)
        stops.append(stops[-1] + rng.choice([0.1, 0.5, 2.0]))
        x.append(side * out)
        side = -side
        if rng.random() < 0.5:  # not all the way: a turn in the middle, and out where they came in
            middle = rng.uniform(-0.3, 0.3) * _edge(depth)
            stops.append(stops[-1] + abs(middle - x[-1]) / speed)
            x.append(middle)
            side = -side
    return gaussian_filter1d(np.interp(time, stops, x), 0.15 * BASE_RATE, mode='nearest')


# --- what a detector gives --------------------------------------------------------------------


def _covered(xy: FloatArray, depth: FloatArray) -> IntArray:
    """(people, T, 14) who stands before a joint, -1 for nobody: the box of their trunk and head."""
    with np.errstate(all='ignore'):
        low = np.where(np.isfinite(xy), xy, np.inf).min(2)
        high = np.where(np.isfinite(xy), xy, -np.inf).max(2)
    trunk = xy[:, :, _ROOT]
    left = np.where(np.isfinite(trunk[..., 0]), trunk[..., 0], np.inf).min(2)
    right = np.where(np.isfinite(trunk[..., 0]), trunk[..., 0], -np.inf).max(2)
    thick = 0.25 * FOCAL * TORSO / depth
    out = np.full(xy.shape[:3], -1)
    for p in range(len(xy)):
        for q in range(len(xy)):
            if p == q:
                continue
            x, y = xy[p, ..., 0], xy[p, ..., 1]
            before = (depth[q] < depth[p])[:, None]
            behind = (x > (left[q] - thick[q])[:, None]) & (x < (right[q] + thick[q])[:, None])
            behind &= (y > low[q, :, 1][:, None]) & (y < high[q, :, 1][:, None])
            out[p][before & behind] = q
    return out


def _gaps(people: int, frames: int, rate: int, noise: Noise, rng: np.random.Generator) -> Bools:
    """(people, T) whom the detector misses for no reason."""
    missed = rng.random((people, frames)) < noise.person_miss
    for start in np.argwhere(rng.random((people, frames)) < noise.gaps_per_minute / 60 / rate):
        missed[start[0], start[1] : start[1] + round(rng.uniform(0.2, 0.6) * rate)] = True
    return missed


def _seen(
    everybody: FloatArray, inside: Bools, covered: IntArray, p: int,
    jitter: float, noise: Noise, rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Joints (14, 2) and scores (14,) of one person in one image."""
    xy = everybody[p].copy()
    size = _size(xy)
    lost = ~inside | (rng.random(NUM_JOINTS) < noise.joint_miss)
    behind = covered >= 0
    fate = rng.random(NUM_JOINTS)
    confused = behind & (fate < noise.confusion)
    xy[confused] = everybody[covered[confused], np.flatnonzero(confused)]
    lost |= behind & (fate >= noise.confusion) & (fate < 0.75)
    xy += rng.normal(0, jitter * size, xy.shape)
    certain = np.clip(rng.normal(0.8, 0.06), 0.4, 0.95)
    score = np.clip(rng.normal(certain, 0.1, NUM_JOINTS), 0.1, 1)
    score = np.where(behind, 0.5 * score, score)
    score[lost] = 0
    if rng.random() < noise.swap:
        xy, score = xy[list(FLIP)], score[list(FLIP)]
    return xy, np.where(np.isfinite(xy).all(-1), score, 0)


def _size(xy: FloatArray) -> float:
    size = float(torso_size(xy))
    return size if np.isfinite(size) else 40.0


def _ghost(everybody: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A body that is not there: the shape of somebody elsewhere, or twice the same person."""
    xy = everybody[rng.integers(len(everybody))].copy()
    middle = np.nan_to_num(np.nanmean(xy, 0) if np.isfinite(xy).any() else np.zeros(2))
    if rng.random() < 0.6:
        place = rng.uniform((0.1, 0.3), (0.9, 0.7)) * IMAGE_SIZE
        xy = place + rng.uniform(0.5, 1.1) * (xy - middle)
    xy = xy + rng.normal(0, 0.2 * _size(xy), xy.shape)
    score = np.clip(rng.normal(rng.uniform(0.25, 0.65), 0.1, NUM_JOINTS), 0.05, 1)
    score[rng.random(NUM_JOINTS) < 0.35] = 0
    return xy.astype(np.float32), np.where(np.isfinite(xy).all(-1), score, 0)
