"""Fits what the score of a joint means (`pose.calibration`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from action_recognition.pose.calibration import ScoreCalibration, logit
from action_recognition.skeleton import NUM_JOINTS

#: Weight of the squared distance from where a fit begins, beside the mean log loss: keeps the slope
#: positive and finite where clean answers would drive it away.
PRIOR = 1e-3
#: A kind of joint gets its own curve from this many right and this many wrong answers on.
LEAST = 50


def fit_score(scores: npt.ArrayLike, correct: npt.ArrayLike) -> ScoreCalibration:
    """The calibration under which the joints of a validation part are most likely.

    Each kind of joint gets its own curve. Where fewer than `LEAST` of its answers are right, or
    wrong, it gets the curve of all joints taken together.

    Args:
        scores: (n, 14) heights of the peaks in [0, 1], uncalibrated; 0 for a joint that was not
            found, which does not count.
        correct: (n, 14) 1 if it lies within 0.2 torso sizes of the truth, 0 if not, NaN where it
            does not count (`evaluation.pose.correct_joints`).

    Raises:
        ValueError: no joint counts, or the two are not both of shape (n, 14).
    """
    scores, correct = np.asarray(scores, np.float32), np.asarray(correct, np.float64)
    if scores.shape != correct.shape or scores.shape[1:] != (NUM_JOINTS,):
        raise ValueError(
            f'scores and answers of {NUM_JOINTS} joints are needed, '
            f'not {scores.shape} and {correct.shape}'
        )
    counts = (scores > 0) & np.isfinite(correct)
    if not counts.any():
        raise ValueError('no joint was found that counts')
    x = logit(scores).astype(np.float64)
    common = _curve(x[counts], correct[counts], np.zeros(2))
    curves = np.tile(common, (NUM_JOINTS, 1))
    for joint, used in enumerate(counts.T):
        right = correct[used, joint]
        if min(right.sum(), (1 - right).sum()) >= LEAST:
            curves[joint] = _curve(x[used, joint], right, common)
    return ScoreCalibration(np.exp(curves[:, 0]), curves[:, 1])


def _curve(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], begin: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Logarithm of the slope, which keeps that positive, and offset of the curve through answers.

    Args:
        x: (n,) logits of heights.
        y: (n,) 1 or 0.
        begin: (2,) what it stays near where the answers say little.
    """

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """Mean log loss and the prior, with their gradient."""
        log_slope, offset = parameters
        slope = np.exp(log_slope)
        z = slope * x + offset
        error, away = expit(z) - y, parameters - begin
        value = np.mean(np.logaddexp(0, z) - y * z) + PRIOR * (away @ away)
        gradient = np.array([np.mean(error * x) * slope, np.mean(error)])
        return float(value), gradient + 2 * PRIOR * away

    return minimize(loss, begin, jac=True, method='L-BFGS-B').x
