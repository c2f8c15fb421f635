"""What the recognisers see: the paper's 34 numbers per frame, and our streaming features."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from action_recognition.skeleton import (
    LIMBS,
    NUM_JOINTS,
    NUM_PARTS,
    TORSO_JOINTS,
    FloatArray,
    part_directions,
    torso_size,
)

PAPER_STEPS = 60
PAPER_FEATURES = 2 * NUM_JOINTS + NUM_PARTS


# --- the paper's features -------------------------------------------------------------------


def sample_uniformly(length: int, steps: int = PAPER_STEPS) -> npt.NDArray[np.int64]:
    """Indices of `steps` frames spread evenly over a clip of `length` frames (section 5).

    The first and the last frame are always taken; a shorter clip repeats frames.

    Raises:
        ValueError: the clip is empty.
    """
    if length < 1:
        raise ValueError('a clip needs at least one frame')
    return np.rint(np.linspace(0, length - 1, steps)).astype(np.int64)


def interpolate(xy: npt.ArrayLike) -> FloatArray:
    """Fill unseen joints of a clip linearly in time, held at its ends.

    Args:
        xy: (T, 14, 2) pixels, NaN where not seen.

    Returns:
        (T, 14, 2); a joint seen in no frame takes the mean of the others in each frame, and a
        clip with no joint at all is zero.
    """
    filled = np.array(xy, np.float32)
    times = np.arange(len(filled))
    for joint in range(filled.shape[1]):
        seen = np.isfinite(filled[:, joint]).all(-1)
        if seen.any() and not seen.all():
            for axis in range(2):
                known = filled[seen, joint, axis]
                filled[:, joint, axis] = np.interp(times, times[seen], known)
    never = np.isnan(filled)
    if never.any():
        known_sum = np.where(never, 0, filled).sum(1, keepdims=True)
        mean = known_sum / np.maximum((~never).sum(1, keepdims=True), 1)
        filled = np.where(never, mean, filled)
    return filled


def paper_features(xy: npt.ArrayLike, score: npt.ArrayLike) -> FloatArray:
    """28 normalised coordinates and the direction of 6 parts in every frame (section 3.2).

    The paper does not say how coordinates are normalised. Here the origin is the middle of the
    joints over the clip, which keeps the motion of the whole body, and the unit is the clip's
    median torso size. Directions are in units of pi, so they lie in [-1, 1].

    Args:
        xy: (T, 14, 2) pixels, NaN where not seen.
        score: (T, 14), 0 where not seen.

    Returns:
        (T, 34) float32, finite.
    """
    filled = interpolate(np.where(np.asarray(score)[..., None] > 0, xy, np.nan))
    size = max(float(np.median(torso_size(filled))), 1.0)
    coordinates = (filled - filled.mean((0, 1))) / size
    directions = part_directions(filled) / np.pi
    return np.concatenate([coordinates.reshape(len(filled), -1), directions], 1, dtype=np.float32)


# --- our streaming features -----------------------------------------------------------------

#: Median bone lengths over the torso size (`skeleton.torso_size`), in the order of `LIMBS`:
#: the mean of Penn Action and JHMDB training joints.
BONE_LENGTHS = (0.3, 0.3, 0.45, 0.42, 0.3, 0.45, 0.42, 0.93, 0.68, 0.65, 0.93, 0.68, 0.65)

#: All pairs of joints, those of `LIMBS` first; their distances say what hands and feet do to the
#: body and to each other (the joint collection distances of DD-Net, arXiv 1907.09658).
PAIRS: tuple[tuple[int, int], ...] = (
    *LIMBS,
    *(
        pair
        for pair in combinations(range(NUM_JOINTS), 2)
        if pair not in LIMBS and pair[::-1] not in LIMBS
    ),
)

#: Time constants in seconds of the low passes whose slopes are the velocities.
VELOCITY_SCALES = (0.04, 0.15, 0.6)
SCALE_MEMORY = 2.0  # seconds over which the body scale is averaged
ROOT_MEMORY = 1.5  # seconds over which the resting place of the body is averaged
MAX_ELAPSED = 1.0  # a longer gap between two frames counts as this many seconds
SURE_SCORE = 0.5  # scores from here up count alike: pose sources differ in how they score
LIMIT = 10.0  # features are clipped to +-10 body scales (per second)

_START, _END = (np.array(side) for side in zip(*LIMBS, strict=True))
_LENGTHS = np.array(BONE_LENGTHS, np.float32)
_RATES = 1 / np.array([*VELOCITY_SCALES, SCALE_MEMORY, ROOT_MEMORY], np.float32)
#: Weights of the joints in the centre of the body: the torso, or what else is known without it.
_CORE = np.where(np.isin(np.arange(NUM_JOINTS), TORSO_JOINTS), 1, 1e-6).astype(np.float32)
#: (14, 91): joints times this are the vectors of `PAIRS`.
_DIFFERENCES = np.zeros((NUM_JOINTS, len(PAIRS)), np.complex64)
for _k, (_a, _b) in enumerate(PAIRS):
    _DIFFERENCES[[_a, _b], _k] = -1, 1

#: Width of each block of the streaming features, in order. `elapsed` is seconds, unscaled.
BLOCKS: dict[str, int] = {
    'elapsed': 1,
    'position': 2 * NUM_JOINTS,
    'root': 2,
    'velocity': 2 * NUM_JOINTS * len(VELOCITY_SCALES),
    'direction': 2 * len(LIMBS),
    'distance': len(PAIRS),
    'score': NUM_JOINTS,
}
ONLINE_FEATURES = sum(BLOCKS.values())
ELAPSED = 0

ComplexArray = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class FeatureState:
    """What the features of each person remember; every array has one row per person.

    A place in the image is one complex number, x + iy pixels: a joint is then one element, and
    one frame of one person takes half as many calls of NumPy, which are what it costs.

    Attributes:
        frames: (n,) frames in which the body scale could be measured.
        known: (n, 14) whether a joint has ever been seen.
        place: (n, 14) complex64, the last place of each known joint.
        low_pass: (n, scales, 14) complex64 of each known joint.
        log_scale: (n,) log of the running body scale in pixels.
        rest: (n,) complex64, the running centre of the body.
    """

    frames: FloatArray
    known: npt.NDArray[np.bool_]
    place: ComplexArray
    low_pass: ComplexArray
    log_scale: FloatArray
    rest: ComplexArray

    @classmethod
    def initial(cls, people: int) -> FeatureState:
        """The state of people before their first frame."""
        return cls(
            frames=np.zeros(people, np.float32),
            known=np.zeros((people, NUM_JOINTS), bool),
            place=np.zeros((people, NUM_JOINTS), np.complex64),
            low_pass=np.zeros((people, len(VELOCITY_SCALES), NUM_JOINTS), np.complex64),
            log_scale=np.zeros(people, np.float32),
            rest=np.zeros(people, np.complex64),
        )

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """All arrays, in order."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def __getitem__(self, rows: Any) -> FeatureState:
        """The people of these rows (whatever indexes an array)."""
        return FeatureState(*(array[rows] for array in self.arrays))

    def replace(self, rows: Any, other: FeatureState) -> FeatureState:
        """A copy in which the people of these rows are those of `other`."""
        copies = [array.copy() for array in self.arrays]
        for copy, array in zip(copies, other.arrays, strict=True):
            copy[rows] = array
        return FeatureState(*copies)

    @classmethod
    def concatenate(cls, states: list[FeatureState]) -> FeatureState:
        """All people of several states, in order."""
        parts = zip(*(state.arrays for state in states), strict=True)
        return cls(*(np.concatenate(part) for part in parts))


class _Motion(NamedTuple):
    """What a frame needs of the past: joints in pixels, and how to make them features."""

    joints: ComplexArray  # (n, 14) all known or at the centre
    centre: ComplexArray  # (n,)
    unit: FloatArray  # (n,) body scales per pixel
    root: ComplexArray  # (n,) pixels from the resting place
    velocity: ComplexArray  # (n, scales, 14) pixels per second


def online_step(
    xy: FloatArray, score: FloatArray, elapsed: FloatArray, state: FeatureState
) -> tuple[FloatArray, FeatureState]:
    """Features of one frame for n people, from this frame and the past only.

    Lengths are in running body scales (about one torso), velocities in body scales per second at
    three time constants: each is the slope of a low-passed joint, so it does not depend on the
    frame rate. A joint that is not seen moves along with those that are; before it was first
    seen it sits at the centre of the body with no velocity. Its score of 0 says so.

    Args:
        xy: (n, 14, 2) float32 pixels; what a joint not seen holds does not matter.
        score: (n, 14) float32, 0 where not seen.
        elapsed: (n,) float32 seconds since the person's frame before, 0 at the first.
        state: of these people.

    Returns:
        (n, ONLINE_FEATURES) float32, finite, laid out as `BLOCKS`; and the new state.
    """
    elapsed = np.minimum(np.maximum(elapsed, 0), np.float32(MAX_ELAPSED))
    motion, state = _track(xy, score, elapsed, state)
    return _describe(motion, score, elapsed), state


def online_features(xy: npt.ArrayLike, score: npt.ArrayLike, stamps: npt.ArrayLike) -> FloatArray:
    """Features of whole sequences, the same arithmetic as `online_step`.

    Args:
        xy: (..., T, 14, 2) pixels, NaN where not seen; leading axes are people.
        score: (..., T, 14).
        stamps: (..., T) int nanoseconds, not decreasing.

    Returns:
        (..., T, ONLINE_FEATURES).
    """
    xy, score = np.asarray(xy, np.float32), np.asarray(score, np.float32)
    elapsed = np.diff(np.asarray(stamps, np.int64), axis=-1, prepend=0) / 1e9
    elapsed[..., 0] = 0
    people, steps = xy.shape[:-3], xy.shape[-3]
    # Time first: what does not depend on the past is computed for all frames at once.
    xy = np.moveaxis(xy.reshape(-1, steps, NUM_JOINTS, 2), 1, 0)
    score = np.ascontiguousarray(score.reshape(-1, steps, NUM_JOINTS).swapaxes(0, 1))
    elapsed = elapsed.reshape(-1, steps).T.clip(0, MAX_ELAPSED).astype(np.float32)
    state = FeatureState.initial(xy.shape[1])
    frames = []
    for t in range(steps):
        motion, state = _track(xy[t], score[t], elapsed[t], state)
        frames.append(motion)
    merged = _Motion(*(np.concatenate(part) for part in zip(*frames, strict=True)))
    out = _describe(merged, score.reshape(-1, NUM_JOINTS), elapsed.ravel())
    return out.reshape(steps, -1, ONLINE_FEATURES).swapaxes(0, 1).reshape(*people, steps, -1)


def _track(
    xy: FloatArray, score: FloatArray, elapsed: FloatArray, state: FeatureState
) -> tuple[_Motion, FeatureState]:
    """The part of a frame that depends on the past."""
    seen, had = score > 0, state.known
    joints = np.ascontiguousarray(xy, np.float32).view(np.complex64)[..., 0]
    tracked = seen & had
    shift = np.where(tracked, joints - state.place, 0).sum(1) / np.maximum(tracked.sum(1), 1)
    joints = np.where(seen, joints, state.place + shift[:, None].astype(np.complex64))
    known = seen | had
    weights = np.where(known, _CORE, 0)
    weighted = np.where(known, joints * _CORE, 0).sum(1)
    centre = weighted / np.maximum(weights.sum(1), np.float32(1e-9))
    joints = np.where(known, joints, centre[:, None])

    # 1 - exp(-elapsed / memory) of every low pass
    gains = -np.expm1(-elapsed[:, None] * _RATES)
    whole = known[:, _END] & known[:, _START]
    measured = (np.abs(joints[:, _END] - joints[:, _START]) * whole).sum(1)
    measured /= np.maximum(whole @ _LENGTHS, np.float32(1e-6))
    usable = measured > 0
    weight = usable * np.maximum(gains[:, -2], 1 / (state.frames + 1))
    log_scale = state.log_scale + weight * (
        np.log(np.where(usable, measured, np.float32(1))) - state.log_scale
    )
    first = ~had.any(1)
    rest = state.rest + np.where(first, np.float32(1), gains[:, -1]) * (centre - state.rest)

    past = had[:, None]
    old = np.where(past, state.low_pass, joints[:, None])
    change = gains[:, :-2, None] * (joints[:, None] - old)
    velocity = change / np.maximum(elapsed, np.float32(1e-3))[:, None, None]
    motion = _Motion(joints, centre, np.exp(-log_scale), centre - rest, velocity)
    return motion, FeatureState(state.frames + usable, known, joints, old + change, log_scale, rest)


def _describe(motion: _Motion, score: FloatArray, elapsed: FloatArray) -> FloatArray:
    """The features of frames of which `_track` has told all that needs the past."""
    people, unit = len(score), motion.unit[:, None]
    position = (motion.joints - motion.centre[:, None]) * unit
    pairs = position @ _DIFFERENCES
    distance = np.abs(pairs)
    bones = pairs[:, : len(LIMBS)] / np.maximum(distance[:, : len(LIMBS)], np.float32(1e-6))
    velocity = (motion.velocity * unit[..., None]).reshape(people, -1)
    features = np.concatenate(
        [
            elapsed[:, None],
            position.view(np.float32),
            (motion.root[:, None] * unit).view(np.float32),
            velocity.view(np.float32),
            bones.view(np.float32),
            distance,
            score * np.float32(1 / SURE_SCORE),
        ],
        1,
    )
    np.maximum(features, np.float32(-LIMIT), out=features)
    np.minimum(features, np.float32(LIMIT), out=features)
    np.minimum(features[:, -NUM_JOINTS:], np.float32(1), out=features[:, -NUM_JOINTS:])
    return features
