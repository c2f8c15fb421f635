"""The score of a joint becomes the chance that it is right."""

import numpy as np
import pytest

from action_recognition.evaluation.common import expected_calibration_error
from action_recognition.pose.calibration import ScoreCalibration
from action_recognition.training.pose_calibration import fit_score


@pytest.mark.parametrize(('slope', 'offset'), [(1.0, 0.0), (2.0, 1.0), (0.5, -0.7)])
def test_the_curve_that_made_the_answers_is_found(slope, offset):
    rng = np.random.default_rng(0)
    height = rng.uniform(0.05, 0.95, 20_000).astype(np.float32)
    truth = ScoreCalibration(slope, offset)
    correct = rng.random(len(height)) < truth(height)
    found = fit_score(height, correct)
    assert found.slope == pytest.approx(slope, rel=0.05)
    assert found.offset == pytest.approx(offset, abs=0.05)
    assert expected_calibration_error(found(height), correct) < 0.02


def test_joints_that_are_all_right_give_a_finite_curve():
    found = fit_score([0.2, 0.5, 0.9], [1, 1, 1])
    assert found(np.float32([0.5]))[0] > 0.9
    assert 0 < found.slope < 100


def test_answers_must_fit_the_scores():
    with pytest.raises(ValueError, match='not 2 and 1'):
        fit_score([0.2, 0.4], [1])
    with pytest.raises(ValueError, match='not 0 and 0'):
        fit_score([], [])
