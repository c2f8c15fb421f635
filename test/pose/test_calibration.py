"""What the score of a joint means."""

import json

import numpy as np
import pytest

from action_recognition.errors import UserError
from action_recognition.pose.calibration import ScoreCalibration

#: (6, 14): six heights of every joint.
HEIGHTS = np.repeat(np.array([[0, 0.01, 0.2, 0.5, 0.9, 1]], np.float32).T, 14, 1)
SLOPES, OFFSETS = np.linspace(0.5, 2, 14), np.linspace(-1, 1.5, 14)


def test_without_calibration_the_score_is_the_height():
    np.testing.assert_array_equal(ScoreCalibration()(HEIGHTS), HEIGHTS)


def test_calibrated_score_is_the_logistic_curve_of_its_joint_and_rises():
    got = ScoreCalibration(SLOPES, OFFSETS)(HEIGHTS)
    for joint, (slope, offset) in enumerate(zip(SLOPES, OFFSETS, strict=True)):
        heights = HEIGHTS[1:-1, joint]
        want = [1 / (1 + np.exp(-(slope * np.log(h / (1 - h)) + offset))) for h in heights]
        np.testing.assert_allclose(got[1:-1, joint], want, rtol=1e-5)
    assert (got[0] == 0).all()
    assert (np.diff(got, axis=0) > 0).all()
    assert got.dtype == np.float32


def test_nobody_has_no_scores():
    assert ScoreCalibration(SLOPES, OFFSETS)(np.zeros((0, 14), np.float32)).shape == (0, 14)


def test_a_single_number_is_that_of_all_joints():
    """As weights say it that have one curve."""
    calibration = ScoreCalibration.from_header({'slope': 1.25, 'offset': -0.5})
    assert calibration == ScoreCalibration([1.25] * 14, [-0.5] * 14)
    np.testing.assert_array_equal(
        calibration(HEIGHTS), np.repeat(calibration(HEIGHTS)[:, :1], 14, 1)
    )


def test_header_round_trip():
    calibration = ScoreCalibration(SLOPES, OFFSETS)
    header = json.loads(json.dumps(calibration.to_header()))
    assert header == {'slope': SLOPES.tolist(), 'offset': OFFSETS.tolist()}
    assert ScoreCalibration.from_header(header) == calibration
    assert ScoreCalibration.from_header({}) == ScoreCalibration()


@pytest.mark.parametrize(
    'entry',
    [
        *({'slope': -1}, {'slope': 'steep'}, {'bias': 1}, {'offset': float('nan')}),
        *({'slope': [1.0] * 13}, {'slope': [1.0]}, {'slope': [1.0] * 13 + [0.0]}, {'slope': None}),
        *({'offset': [0.0] * 13 + ['x']}, {'offset': [[0.0]] * 14}, {'offset': 10**400}),
    ],
)
def test_damaged_header_is_an_error(entry):
    with pytest.raises(UserError, match='damaged calibration'):
        ScoreCalibration.from_header(entry)
