"""Windows of joints, for recognisers that look at a fixed number of frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import nn

from action_recognition.skeleton import NUM_JOINTS, FloatArray, IntArray, torso_size


class WindowNetwork(nn.Module):
    """A network that makes (n, classes) logits of (n, frames, 14, 2) normalised joints."""

    frames: int


def windows(sequences: Sequence[FloatArray], frames: int) -> FloatArray:
    """Sequences of any length as windows of one length, in units of the body.

    Args:
        sequences: (T, 14, 2) pixels each, NaN where not seen.
        frames: of a window; it spans its sequence evenly from the first to the last frame.

    Returns:
        (len(sequences), frames, 14, 2) float32, finite: see `fill`, `resample`, `normalise`.
    """
    lengths = np.array([len(xy) for xy in sequences])
    padded = np.full((len(lengths), lengths.max(), NUM_JOINTS, 2), np.nan, np.float32)
    for row, xy in enumerate(sequences):
        padded[row, : len(xy)] = xy
    return normalise(resample(fill(padded), lengths, frames))


def recent(
    xy: FloatArray, stamps: IntArray, ends: npt.ArrayLike, seconds: float, frames: int
) -> FloatArray:
    """The last seconds before some frames of a stream; nothing after these frames is looked at.

    Joints are taken at even distances of `seconds / frames`, the last of them at the frame
    itself, linearly between two frames; where one of both does not show a joint, the nearer one
    decides. Before its first frame the stream is taken to have stood still.

    Args:
        xy: (T, ..., 2) pixels, NaN where not seen.
        stamps: (T,) nanoseconds, increasing.
        ends: (n,) indices of frames.
        frames: of a window.

    Returns:
        (n, frames, ..., 2) pixels, NaN where not seen.
    """
    ends = np.asarray(ends)[:, None]
    ago = np.round(np.arange(frames)[::-1] * (seconds * 1e9 / frames)).astype(np.int64)
    times = np.maximum(stamps[ends] - ago, stamps[0])
    low = np.searchsorted(stamps, times, 'right') - 1
    high = np.minimum(low + 1, ends)
    share = (times - stamps[low]) / np.maximum(stamps[high] - stamps[low], 1)
    share = share.astype(np.float32).reshape(*share.shape, *[1] * (xy.ndim - 1))
    before, after = xy[low], xy[high]
    between = before + share * (after - before)
    nearer = np.where(share < 0.5, before, after)
    return np.where(np.isfinite(between), between, nearer)


def fill(xy: FloatArray) -> FloatArray:
    """Joints not seen lie on the line between the frames before and after, or stay in place.

    Args:
        xy: (n, T, 14, 2) pixels, NaN where not seen.

    Returns:
        The same without NaN; a joint seen in no frame is in the middle of the others, and
        somebody without any joint is zero.
    """
    seen = np.asarray(np.isfinite(xy).all(-1))
    if seen.all():
        return xy
    steps = xy.shape[1]
    time = np.arange(steps)[:, None]
    before = np.maximum.accumulate(np.where(seen, time, -1), 1)
    after = np.minimum.accumulate(np.where(seen, time, steps)[:, ::-1], 1)[:, ::-1]
    never = ~np.any(seen, axis=1, keepdims=True)
    first = np.where(never, 0, np.where(before < 0, after, before))
    second = np.where(never, 0, np.where(after == steps, before, after))
    start, end = (np.take_along_axis(xy, rows[..., None], 1) for rows in (first, second))
    share = (time - first) / np.maximum(second - first, 1)
    filled = start + share[..., None].astype(np.float32) * (end - start)
    known = np.where(never[..., None], 0, filled).sum(2, keepdims=True)
    middle = known / np.maximum((~never).sum(2, keepdims=True), 1)[..., None]
    return np.where(never[..., None], middle, filled).astype(np.float32)


def resample(xy: FloatArray, lengths: npt.ArrayLike, frames: int) -> FloatArray:
    """(n, T, 14, 2) to (n, frames, 14, 2), linear in time, over the first `lengths` (n,) frames."""
    last = np.asarray(lengths)[:, None] - 1
    if frames == xy.shape[1] and (last == frames - 1).all():
        return xy
    place = last * np.linspace(0, 1, frames)
    low = place.astype(int)
    high = np.minimum(low + 1, last)
    share = (place - low)[..., None, None].astype(np.float32)
    person = np.arange(len(xy))[:, None]
    return xy[person, low] * (1 - share) + xy[person, high] * share


def normalise(xy: FloatArray) -> FloatArray:
    """(n, T, 14, 2) pixels to units of the median torso from the middle of all joints and frames.

    As the paper's model is given them (`recognition.features.paper_features`): the motion of the
    whole body stays in.
    """
    size = np.maximum(np.median(torso_size(xy), axis=1), 1)
    return (xy - xy.mean((1, 2), keepdims=True)) / size[:, None, None, None].astype(np.float32)
