"""What the score of a joint means: the chance that it lies within 0.2 torso sizes of the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from action_recognition.errors import UserError
from action_recognition.skeleton import NUM_JOINTS, FloatArray

#: Heights nearer to 0 or 1 than this are taken for this near.
EDGE = 1e-3


def logit(height: npt.ArrayLike) -> FloatArray:
    """ln(p / (1 - p)) of heights of peaks, kept off 0 and 1 by `EDGE`."""
    p = np.clip(np.asarray(height, np.float32), EDGE, 1 - EDGE)
    return np.log(p / (1 - p))


@dataclass(frozen=True, init=False)
class ScoreCalibration:
    """Height of a peak -> probability, by a logistic curve over its logit for each kind of joint.

    A curve rises, so joints of a kind keep their order; slope 1 and offset 0 leave the height as
    it is. `training.pose_calibration.fit_score` finds the curves.

    Args:
        slope, offset: of each of the 14 joints; a single number is that of all.

    Raises:
        ValueError: one of them is no number, or there are not 14, or one is not finite, or a slope
            is not positive.
    """

    slope: tuple[float, ...]
    offset: tuple[float, ...]

    def __init__(self, slope: npt.ArrayLike = 1.0, offset: npt.ArrayLike = 0.0) -> None:
        object.__setattr__(self, 'slope', _of_each_joint('slope', slope))
        object.__setattr__(self, 'offset', _of_each_joint('offset', offset))
        if min(self.slope) <= 0:
            raise ValueError(f'slope {min(self.slope)} must be positive')

    def __call__(self, height: FloatArray) -> FloatArray:
        """Probabilities for (..., 14) heights in [0, 1]; 0, which means not found, stays 0."""
        if self == ScoreCalibration():
            return height
        slope, offset = np.asarray([self.slope, self.offset], np.float32)
        return np.where(height > 0, expit(slope * logit(height) + offset), 0).astype(np.float32)

    def to_header(self) -> dict[str, list[float]]:
        """For `weights.Header.calibration`."""
        return {'slope': list(self.slope), 'offset': list(self.offset)}

    @classmethod
    def from_header(cls, calibration: Mapping[str, Any]) -> ScoreCalibration:
        """That of a weights file, or none for weights that were not calibrated.

        Raises:
            UserError: the header's entry is damaged.
        """
        try:
            return cls(**calibration)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f'damaged calibration in the header ({error})') from error


def _of_each_joint(name: str, given: npt.ArrayLike) -> tuple[float, ...]:
    values = np.asarray(given, np.float64)
    if values.shape not in ((), (NUM_JOINTS,)):
        raise ValueError(f'{name} must be one number or {NUM_JOINTS}, not of shape {values.shape}')
    if not np.isfinite(values).all():
        raise ValueError(f'{name} must be finite, not {given!r:.60}')
    return tuple(np.broadcast_to(values, NUM_JOINTS).tolist())
