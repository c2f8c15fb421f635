"""Fits what the score of a joint means (`pose.calibration`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from action_recognition.pose.calibration import ScoreCalibration, logit

#: Keeps the slope positive and finite where few joints, or clean ones, would drive it away.
PRIOR = 1e-3


def fit_score(scores: npt.ArrayLike, correct: npt.ArrayLike) -> ScoreCalibration:
    """The calibration under which the joints of a validation part are most likely.

    Args:
        scores: (n,) heights of the joints that were found, in (0, 1], uncalibrated.
        correct: (n,) whether each lies within 0.2 torso sizes of the truth
            (`evaluation.pose.correct_joints`); those that do not count left out.

    Raises:
        ValueError: there is no joint, or the two differ in length.
    """
    x = logit(scores).ravel().astype(np.float64)
    y = np.asarray(correct, np.float64).ravel()
    if len(x) != len(y) or not len(x):
        raise ValueError(f'as many scores as answers are needed, not {len(x)} and {len(y)}')

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """Mean log loss with its gradient; the logarithm of the slope keeps that positive."""
        log_slope, offset = parameters
        slope = np.exp(log_slope)
        z = slope * x + offset
        error = 1 / (1 + np.exp(-z)) - y
        value = np.mean(np.logaddexp(0, z) - y * z) + PRIOR * (log_slope**2 + offset**2)
        gradient = np.array([np.mean(error * x) * slope, np.mean(error)])
        return float(value), gradient + 2 * PRIOR * parameters

    log_slope, offset = minimize(loss, np.zeros(2), jac=True, method='L-BFGS-B').x
    return ScoreCalibration(float(np.exp(log_slope)), float(offset))
