"""What the score of a joint means."""

import numpy as np
import pytest

from action_recognition.errors import UserError
from action_recognition.pose.calibration import ScoreCalibration

HEIGHTS = np.array([0, 0.01, 0.2, 0.5, 0.9, 1], np.float32)


def test_without_calibration_the_score_is_the_height():
    np.testing.assert_array_equal(ScoreCalibration()(HEIGHTS), HEIGHTS)


def test_calibrated_score_is_the_logistic_curve_and_rises():
    got = ScoreCalibration(1.5, 0.4)(HEIGHTS)
    want = [1 / (1 + np.exp(-(1.5 * np.log(h / (1 - h)) + 0.4))) for h in HEIGHTS[1:-1]]
    np.testing.assert_allclose(got[1:-1], want, rtol=1e-5)
    assert got[0] == 0
    assert (np.diff(got) > 0).all()
    assert got.dtype == np.float32


def test_header_round_trip():
    calibration = ScoreCalibration(1.25, -0.5)
    assert ScoreCalibration.from_header(calibration.to_header()) == calibration
    assert ScoreCalibration.from_header({}) == ScoreCalibration()


@pytest.mark.parametrize(
    'entry', [{'slope': -1}, {'slope': 'steep'}, {'bias': 1}, {'offset': float('nan')}]
)
def test_damaged_header_is_an_error(entry):
    with pytest.raises(UserError, match='damaged calibration'):
        ScoreCalibration.from_header(entry)
