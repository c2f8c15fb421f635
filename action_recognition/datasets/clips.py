"""`SkeletonClip`, one labelled clip of joints, and what several readers share."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from action_recognition.errors import UserError
from action_recognition.skeleton import FloatArray, IntArray, Poses, within


@dataclass(frozen=True)
class SkeletonClip:
    """The joints of one person doing one action.

    Joints follow the rule of `Poses`: one that is not seen holds NaN and score 0. Annotated
    joints may lie outside the image; see `inside`.

    Attributes:
        name: '<class>/<clip>', or the number of the clip in sets that number them.
        label: the action.
        group: the source video. Clips of one group look alike, so a validation split must
            keep them together (`train_validation` does).
        xy: (T, 14, 2) float32 pixels, (0, 0) the centre of the first pixel.
        score: (T, 14) float32 in [0, 1].
        stamps: (T,) int64 nanoseconds from the first frame, strictly increasing.
        image_size: (width, height) in pixels.

    Raises:
        ValueError: a shape is not as above, a score is outside [0, 1], or the clip is empty.
    """

    name: str
    label: str
    group: str
    xy: FloatArray
    score: FloatArray
    stamps: IntArray
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        frames = Poses(self.xy, self.score, image_size=self.image_size)
        stamps = np.array(self.stamps, np.int64)
        if len(frames) == 0 or stamps.shape != (len(frames),):
            raise ValueError(
                f'{self.name}: {len(frames)} frames need as many stamps, not shape {stamps.shape}'
            )
        if (np.diff(stamps) <= 0).any():
            raise ValueError(f'{self.name}: stamps must increase')
        stamps.flags.writeable = False
        object.__setattr__(self, 'xy', frames.xy)
        object.__setattr__(self, 'score', frames.score)
        object.__setattr__(self, 'stamps', stamps)
        object.__setattr__(self, 'image_size', frames.image_size)

    def __len__(self) -> int:
        return len(self.xy)

    def poses(self, index: int, track_id: int = 1) -> Poses:
        """Frame `index` as the `Poses` of one tracked person."""
        return Poses(
            self.xy[index][None],
            self.score[index][None],
            np.array([track_id]),
            int(self.stamps[index]),
            self.image_size,
        )

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """(T, 14) True where a joint is known and lies in the image, as pose training needs."""
        return within(self.xy, self.image_size)


def frame_stamps(count: int, fps: float) -> IntArray:
    """(count,) nanoseconds of the frames of a clip at a constant rate, from 0."""
    return np.round(np.arange(count) * (1e9 / fps)).astype(np.int64)


def train_validation(
    clips: Sequence[SkeletonClip], fraction: float, seed: int
) -> tuple[list[SkeletonClip], list[SkeletonClip]]:
    """Split training clips into (train, validation), by label, keeping groups together.

    Groups are drawn at random, label by label, while that brings the label nearer to its share.
    A label with several groups gets at least one of them in each half where the groups it shares
    with other labels allow it; a label with one group stays in training.

    Args:
        fraction: share of each label's clips wanted for validation, in (0, 1).
        seed: the same seed gives the same split, whatever the order of `clips`.

    Raises:
        ValueError: `fraction` is outside (0, 1).
    """
    if not 0 < fraction < 1:
        raise ValueError(f'fraction must lie between 0 and 1, not {fraction}')
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        sizes[clip.label][clip.group] += 1
    rng = np.random.default_rng(seed)
    held_out: dict[str, bool] = {}
    for label in sorted(sizes):
        groups = sizes[label]
        drawn = [str(group) for group in rng.permutation(sorted(groups))]
        target = fraction * groups.total()
        count = sum(groups[group] for group in drawn if held_out.get(group))
        undecided = [group for group in drawn if group not in held_out]
        chosen = []
        for group in undecided:
            if abs(count + groups[group] - target) < abs(count - target):
                count += groups[group]
                chosen.append(group)
        if count == 0 and len(groups) > 1 and undecided:
            chosen.append(min(undecided, key=lambda group: groups[group]))
        held = sum(held_out.get(group, False) for group in groups) + len(chosen)
        if held == len(groups) and chosen:  # of a large fraction the nearest share is all of it
            chosen.remove(min(chosen, key=lambda group: groups[group]))
        held_out.update((group, group in chosen) for group in undecided)
    train = [clip for clip in clips if not held_out[clip.group]]
    return train, [clip for clip in clips if held_out[clip.group]]


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts `frame2.png` before `frame10.png`."""
    parts = re.split(r'(\d+)', path.name.lower())
    return [(int(part), '') if part.isdigit() else (-1, part) for part in parts]


def require_file(path: Path, layout: str) -> Path:
    """`path`, or a UserError that says which layout was expected."""
    if not path.is_file():
        raise UserError(f'{path} does not exist; expected {layout}')
    return path


def require_files(root: Path, pattern: str, layout: str) -> list[Path]:
    """The files of `root` that match a glob pattern, in natural order.

    Raises:
        UserError: `root` is no folder, or has no such file; the message names the layout.
    """
    if not root.is_dir():
        raise UserError(f'{root} is not a folder; expected {layout}')
    files = sorted(root.glob(pattern), key=lambda path: (path.parent, natural_key(path)))
    if not files:
        raise UserError(f'{root} holds no {pattern}; expected {layout}')
    return files


def read_mat(path: Path, *names: str) -> list[npt.NDArray[Any]]:
    """The named variables of a MATLAB file.

    Raises:
        UserError: the file cannot be read or lacks one of them.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=names)
    except Exception as error:  # scipy raises nearly anything on a damaged file
        raise UserError(f'cannot read {path} as a MATLAB file: {_one_line(error)}') from error
    missing = [name for name in names if name not in content]
    if missing:
        raise UserError(f'{path} lacks the variable {", ".join(missing)}')
    return [content[name] for name in names]


def read_npz(path: Path, layout: str) -> dict[str, npt.NDArray[Any]]:
    """All arrays of a NumPy archive.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    require_file(path, layout)
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive fails in zipfile, zlib or NumPy
        raise UserError(f'cannot read {path} as a NumPy archive: {_one_line(error)}') from error


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
