"""What the recognisers see: the paper's 34 numbers per frame, and our streaming features."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from action_recognition.skeleton import (
    LIMBS,
    NUM_JOINTS,
    NUM_PARTS,
    FloatArray,
    Joint,
    part_directions,
    torso_size,
)

PAPER_STEPS = 60
PAPER_FEATURES = 2 * NUM_JOINTS + NUM_PARTS

TORSO = (Joint.NECK, Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER, Joint.RIGHT_HIP, Joint.LEFT_HIP)


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

#: Joint pairs whose distance tells what hands and feet do to the body and to each other.
PAIRS: tuple[tuple[int, int], ...] = (
    (Joint.RIGHT_WRIST, Joint.LEFT_WRIST),
    (Joint.RIGHT_WRIST, Joint.NOSE),
    (Joint.LEFT_WRIST, Joint.NOSE),
    (Joint.RIGHT_WRIST, Joint.RIGHT_SHOULDER),
    (Joint.LEFT_WRIST, Joint.LEFT_SHOULDER),
    (Joint.RIGHT_WRIST, Joint.RIGHT_HIP),
    (Joint.LEFT_WRIST, Joint.LEFT_HIP),
    (Joint.RIGHT_WRIST, Joint.RIGHT_ANKLE),
    (Joint.LEFT_WRIST, Joint.LEFT_ANKLE),
    (Joint.RIGHT_ELBOW, Joint.LEFT_ELBOW),
    (Joint.RIGHT_KNEE, Joint.LEFT_KNEE),
    (Joint.RIGHT_ANKLE, Joint.LEFT_ANKLE),
    (Joint.RIGHT_ANKLE, Joint.RIGHT_HIP),
    (Joint.LEFT_ANKLE, Joint.LEFT_HIP),
    (Joint.RIGHT_ANKLE, Joint.NECK),
    (Joint.LEFT_ANKLE, Joint.NECK),
)

#: Time constants in seconds of the low passes whose slopes are the velocities.
VELOCITY_SCALES = (0.04, 0.15, 0.6)
SCALE_MEMORY = 2.0  # seconds over which the body scale is averaged
ROOT_MEMORY = 1.5  # seconds over which the resting place of the body is averaged
MAX_ELAPSED = 1.0  # a longer gap between two frames counts as this many seconds
SURE_SCORE = 0.5  # scores from here up count alike: pose sources differ in how they score
LIMIT = 10.0  # features are clipped to +-10 body scales (per second)

_START, _END = (np.array(side) for side in zip(*LIMBS, strict=True))
_FROM, _TO = (np.array(side) for side in zip(*PAIRS, strict=True))
_LENGTHS = np.array(BONE_LENGTHS, np.float32)
_SCALES = np.array(VELOCITY_SCALES, np.float32)
_IS_TORSO = np.isin(np.arange(NUM_JOINTS), TORSO)[:, None]

#: Width of each block of the streaming features, in order. `elapsed` is seconds, unscaled.
BLOCKS: dict[str, int] = {
    'elapsed': 1,
    'position': 2 * NUM_JOINTS,
    'root': 2,
    'velocity': 2 * NUM_JOINTS * len(VELOCITY_SCALES),
    'direction': 2 * len(LIMBS),
    'length': len(LIMBS),
    'distance': len(PAIRS),
    'score': NUM_JOINTS,
}
ONLINE_FEATURES = sum(BLOCKS.values())
ELAPSED = 0


@dataclass(frozen=True)
class FeatureState:
    """What the features of each person remember; every array has one row per person.

    Attributes:
        frames: (n,) frames seen so far.
        xy: (n, 14, 2) pixels, the last place of each joint, NaN before it was first seen.
        low_pass: (n, scales, 14, 2) pixels, NaN like `xy`.
        log_scale: (n,) log of the running body scale in pixels.
        rest: (n, 2) pixels, the running centre of the body, NaN before any joint was seen.
    """

    frames: FloatArray
    xy: FloatArray
    low_pass: FloatArray
    log_scale: FloatArray
    rest: FloatArray

    @classmethod
    def initial(cls, people: int) -> FeatureState:
        """The state of people before their first frame."""
        joints = np.full((people, NUM_JOINTS, 2), np.nan, np.float32)
        return cls(
            frames=np.zeros(people, np.float32),
            xy=joints,
            low_pass=np.repeat(joints[:, None], len(_SCALES), 1),
            log_scale=np.zeros(people, np.float32),
            rest=np.full((people, 2), np.nan, np.float32),
        )

    def __getitem__(self, rows: npt.ArrayLike) -> FeatureState:
        """The people of these rows (an index array or a mask)."""
        rows = np.asarray(rows)
        return FeatureState(*(getattr(self, field.name)[rows] for field in fields(self)))

    def replace(self, rows: npt.ArrayLike, other: FeatureState) -> FeatureState:
        """A copy in which the people of these rows are those of `other`."""
        copies = [getattr(self, field.name).copy() for field in fields(self)]
        for copy, field in zip(copies, fields(self), strict=True):
            copy[np.asarray(rows)] = getattr(other, field.name)
        return FeatureState(*copies)

    @classmethod
    def concatenate(cls, states: list[FeatureState]) -> FeatureState:
        """All people of several states, in order."""
        return cls(*(np.concatenate([getattr(s, f.name) for s in states]) for f in fields(cls)))


def online_step(
    xy: FloatArray, score: FloatArray, elapsed: FloatArray, state: FeatureState
) -> tuple[FloatArray, FeatureState]:
    """Features of one frame for n people, from this frame and the past only.

    Lengths are in running body scales (about one torso), velocities in body scales per second at
    three time constants: each is the slope of a low-passed joint, so it does not depend on the
    frame rate. A joint that is not seen moves along with those that are; before it was first
    seen it sits at the centre of the body with no velocity. Its score of 0 says so.

    Args:
        xy: (n, 14, 2) pixels, NaN where not seen.
        score: (n, 14), 0 where not seen.
        elapsed: (n,) seconds since the person's frame before, 0 at the first.
        state: of these people.

    Returns:
        (n, ONLINE_FEATURES) float32, finite, laid out as `BLOCKS`; and the new state.
    """
    elapsed = np.clip(elapsed, 0, MAX_ELAPSED).astype(np.float32)
    seen = (score > 0)[..., None]
    before = state.xy
    had = ~np.isnan(before[..., :1])

    tracked = seen & had
    shift = np.where(tracked, xy - before, 0).sum(1) / np.maximum(tracked.sum(1), 1)
    xy = np.where(seen, xy, before + shift[:, None])
    known = seen | had
    xy0 = np.where(known, xy, 0)  # NaN-free copy for sums
    core = known & _IS_TORSO
    core = np.where(core.any(1, keepdims=True), core, known)
    centre = (xy0 * core).sum(1) / np.maximum(core.sum(1), 1)
    xy0 = np.where(known, xy, centre[:, None])

    bone = xy0[:, _END] - xy0[:, _START]
    bone_known = (known[:, _END] & known[:, _START])[..., 0]
    length = np.sqrt(np.square(bone).sum(-1))
    typical = (bone_known * _LENGTHS).sum(1)
    measured = (bone_known * length).sum(1) / np.maximum(typical, 1e-6)
    usable = measured > 0
    log_scale = np.log(np.where(usable, measured, 1))
    weight = np.maximum(-np.expm1(-elapsed / SCALE_MEMORY), 1 / (state.frames + 1))
    frames = state.frames + usable
    log_scale = state.log_scale + usable * weight * (log_scale - state.log_scale)
    unit = np.exp(-log_scale)[:, None]

    rest = np.where(np.isnan(state.rest), centre, state.rest)
    rest = rest + (-np.expm1(-elapsed / ROOT_MEMORY))[:, None] * (centre - rest)
    rest = np.where(known.any(1), rest, np.nan)

    new = np.isnan(state.low_pass)
    old = np.where(new, xy0[:, None], state.low_pass)
    step = -np.expm1(-elapsed[:, None] / _SCALES)[..., None, None]
    change = step * (xy0[:, None] - old)
    low_pass = np.where(known[:, None], old + change, np.nan)
    rate = unit / np.maximum(elapsed, 1e-3)[:, None]
    velocity = change * rate[..., None, None]

    people = len(xy)
    pairs = xy0[:, _TO] - xy0[:, _FROM]
    features = np.concatenate(
        [
            elapsed[:, None],
            ((xy0 - centre[:, None]) * unit[..., None]).reshape(people, -1),
            np.where(np.isnan(rest), 0, centre - rest) * unit,
            velocity.reshape(people, -1),
            (bone / np.maximum(length, 1e-6)[..., None]).reshape(people, -1),
            length * unit,
            np.sqrt(np.square(pairs).sum(-1)) * unit,
            np.minimum(score / SURE_SCORE, 1),
        ],
        1,
    )
    np.clip(features, -LIMIT, LIMIT, out=features)
    state = FeatureState(
        frames=frames.astype(np.float32),
        xy=np.where(known, xy, np.nan).astype(np.float32),
        low_pass=low_pass.astype(np.float32),
        log_scale=log_scale.astype(np.float32),
        rest=rest.astype(np.float32),
    )
    return features.astype(np.float32), state


def online_features(xy: npt.ArrayLike, score: npt.ArrayLike, stamps: npt.ArrayLike) -> FloatArray:
    """Features of whole sequences, frame by frame through `online_step`.

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
    flat_xy = xy.reshape(-1, steps, NUM_JOINTS, 2)
    flat_score = score.reshape(-1, steps, NUM_JOINTS)
    flat_elapsed = elapsed.reshape(-1, steps).astype(np.float32)
    state = FeatureState.initial(len(flat_xy))
    out = np.empty((len(flat_xy), steps, ONLINE_FEATURES), np.float32)
    for t in range(steps):
        out[:, t], state = online_step(flat_xy[:, t], flat_score[:, t], flat_elapsed[:, t], state)
    return out.reshape(*people, steps, ONLINE_FEATURES)
