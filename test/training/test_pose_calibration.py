"""The score of a joint becomes the chance that it is right."""

import numpy as np
import pytest

from action_recognition.evaluation.common import expected_calibration_error
from action_recognition.pose.calibration import ScoreCalibration
from action_recognition.training.pose_calibration import LEAST, fit_score

#: Joints whose scores say too little, just enough, or too much.
SLOPES = np.linspace(0.5, 2, 14)
OFFSETS = np.linspace(1, -0.7, 14)


def answers(people, calibration, seed=0):
    """(people, 14) heights, and whether each is right, by the curves of a calibration."""
    rng = np.random.default_rng(seed)
    height = rng.uniform(0.05, 0.95, (people, 14)).astype(np.float32)
    return height, (rng.random(height.shape) < calibration(height)).astype(np.float32)


def test_the_curves_that_made_the_answers_are_found_joint_by_joint():
    height, correct = answers(20_000, ScoreCalibration(SLOPES, OFFSETS))
    found = fit_score(height, correct)
    np.testing.assert_allclose(found.slope, SLOPES, rtol=0.08)
    np.testing.assert_allclose(found.offset, OFFSETS, atol=0.08)
    for joint in range(14):
        error = expected_calibration_error(found(height)[:, joint], correct[:, joint])
        assert error < 0.02


def test_what_does_not_count_changes_nothing():
    height, correct = answers(400, ScoreCalibration(SLOPES, OFFSETS))
    found = fit_score(height, correct)
    more = np.tile(np.float32([[0.0], [0.5]]), (30, 14))  # not found; not labelled
    unlabelled = np.tile(np.float32([[1.0], [np.nan]]), (30, 14))
    assert fit_score(np.vstack([height, more]), np.vstack([correct, unlabelled])) == found


def test_a_joint_of_few_answers_or_of_one_outcome_has_the_curve_of_all():
    height, correct = answers(2000, ScoreCalibration(SLOPES, OFFSETS))
    few, right, wrong, just, enough = 1, 4, 6, 8, 12
    correct[2 * LEAST - 1 :, few] = np.nan
    correct[:, right], correct[:, wrong] = 1, 0
    for joint, outcomes in ((just, LEAST - 1), (enough, LEAST)):
        correct[np.flatnonzero(correct[:, joint] == 0)[outcomes:], joint] = np.nan
    found = fit_score(height, correct)
    common = found.slope[few], found.offset[few]
    assert common[0] > 0
    for joint in range(14):
        same = (found.slope[joint], found.offset[joint]) == common
        assert same == (joint in (few, right, wrong, just))
    # Of the curve of all, the mean chance is the share of right answers: where its offset is best.
    of_all = ScoreCalibration(*common)(height)[np.isfinite(correct)].mean()
    assert of_all == pytest.approx(np.nanmean(correct), abs=2e-3)


def test_joints_that_are_all_right_give_a_finite_curve():
    heights = np.tile(np.float32([[0.2], [0.5], [0.9]]), (1, 14))
    found = fit_score(heights, np.ones((3, 14)))
    assert (found(np.full((1, 14), 0.5, np.float32)) > 0.9).all()
    assert 0 < min(found.slope) <= max(found.slope) < 100


def test_answers_must_fit_the_scores():
    for scores, correct in ((np.ones((2, 14)), np.ones((1, 14))), ([0.2, 0.4], [1, 1])):
        with pytest.raises(ValueError, match='of 14 joints are needed'):
            fit_score(scores, correct)
    with pytest.raises(ValueError, match='no joint was found'):
        fit_score(np.zeros((3, 14)), np.ones((3, 14)))
