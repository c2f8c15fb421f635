"""What the score of a joint means: the chance that it lies within 0.2 torso sizes of the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from action_recognition.errors import UserError
from action_recognition.skeleton import FloatArray

#: Heights nearer to 0 or 1 than this are taken for this near.
EDGE = 1e-3


def logit(height: npt.ArrayLike) -> FloatArray:
    """ln(p / (1 - p)) of heights of peaks, kept off 0 and 1 by `EDGE`."""
    p = np.clip(np.asarray(height, np.float32), EDGE, 1 - EDGE)
    return np.log(p / (1 - p))


@dataclass(frozen=True)
class ScoreCalibration:
    """Height of a peak -> probability, by a logistic curve over the logit of the height.

    The curve rises, so joints keep their order; slope 1 and offset 0 leave the height as it is.
    `training.pose_calibration.fit_score` finds it.

    Raises:
        ValueError: the slope is not positive, or one of them is not finite.
    """

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope) and np.isfinite(self.offset) and self.slope > 0):
            raise ValueError(f'slope {self.slope} must be positive, offset {self.offset} finite')

    def __call__(self, height: FloatArray) -> FloatArray:
        """Probabilities for heights in [0, 1]; 0, which means not found, stays 0."""
        if self == ScoreCalibration():
            return height
        chance = 1 / (1 + np.exp(-(self.slope * logit(height) + self.offset)))
        return np.where(height > 0, chance, 0).astype(np.float32)

    def to_header(self) -> dict[str, float]:
        """For `weights.Header.calibration`."""
        return asdict(self)

    @classmethod
    def from_header(cls, calibration: Mapping[str, Any]) -> ScoreCalibration:
        """That of a weights file, or none for weights that were not calibrated.

        Raises:
            UserError: the header's entry is damaged.
        """
        try:
            return cls(**{key: float(value) for key, value in calibration.items()})
        except (TypeError, ValueError) as error:
            raise UserError(f'damaged calibration in the header ({error})') from error
