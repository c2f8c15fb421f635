"""PCK by hand, and the whole score on an estimator whose answers are known."""

import cv2
import numpy as np
import pytest

from action_recognition.datasets.people import Person
from action_recognition.evaluation import pose as evaluation
from action_recognition.evaluation.pose import correct_joints, evaluate
from action_recognition.skeleton import JOINT_NAMES, Joint, Poses

TRUTH = np.array(
    [
        *[(50, 20), (50, 40), (35, 40), (28, 65), (25, 90), (65, 40), (72, 65), (75, 90)],
        *[(45, 80), (40, 130), (40, 165), (65, 80), (60, 130), (60, 165)],
    ],
    np.float32,
)
# Right shoulder (35, 40) to left hip (65, 80): a diagonal of 50, so 10 pixels are allowed.


def estimate(**moved):
    xy = TRUTH.copy()
    for name, shift in moved.items():
        xy[Joint[name]] += shift
    return xy[None]


def test_all_right_when_exact():
    assert (correct_joints(estimate(), TRUTH[None]) == 1).all()


@pytest.mark.parametrize(('distance', 'right'), [(9.9, 1), (10.1, 0)])
def test_limit_is_a_fifth_of_the_longer_diagonal(distance, right):
    got = correct_joints(estimate(LEFT_WRIST=(0, distance)), TRUTH[None])[0]
    assert got[Joint.LEFT_WRIST] == right
    assert got.sum() == 13 + right


def test_joint_not_found_is_wrong_and_joint_not_labelled_does_not_count():
    truth = TRUTH.copy()
    truth[Joint.LEFT_KNEE] = np.nan
    got = correct_joints(estimate(RIGHT_ANKLE=np.nan), truth[None])[0]
    assert got[Joint.RIGHT_ANKLE] == 0
    assert np.isnan(got[Joint.LEFT_KNEE])
    assert np.nansum(got) == 12


def test_person_without_a_torso_does_not_count():
    truth = TRUTH.copy()
    truth[[Joint.RIGHT_HIP, Joint.LEFT_HIP]] = np.nan
    assert np.isnan(correct_joints(estimate(), truth[None])).all()


class Answers:
    """An estimator that gives the people it was made with, one image after the other."""

    name, device = 'answers', 'cpu'

    def __init__(self, answers):
        self.answers = iter(answers)

    def estimate(self, image, stamp=0):
        return next(self.answers)

    def close(self):
        pass


def poses_of(*people):
    return Poses(np.stack(people), np.full((len(people), 14), 0.9)) if people else Poses.empty()


def test_evaluate_scores_the_first_person_and_counts_the_missed(tmp_path, monkeypatch):
    jpeg = cv2.imencode('.jpg', np.zeros((200, 120, 3), np.uint8))[1].tobytes()
    people = [Person(jpeg, TRUTH)] * 3
    monkeypatch.setitem(evaluation.SETS, 'lspet', lambda root: people)
    wrist = estimate(LEFT_WRIST=(30, 0))[0]
    answers = Answers([poses_of(TRUTH, wrist), poses_of(wrist, TRUTH), poses_of()])
    figures = evaluate('lspet', tmp_path, answers)
    assert figures['n'] == 3
    assert figures['detected'] == pytest.approx(2 / 3)
    assert figures['pck_limb12'] == pytest.approx((12 + 11 + 0) / 36)
    assert figures['pck_all14'] == pytest.approx((14 + 13 + 0) / 42)
    assert figures['per_joint'].keys() == set(JOINT_NAMES)
    assert figures['per_joint']['left_wrist'] == pytest.approx(1 / 3)
    assert figures['ms_per_image'] > 0


def test_limit_spreads_over_the_set(tmp_path, monkeypatch):
    jpeg = cv2.imencode('.jpg', np.zeros((200, 120, 3), np.uint8))[1].tobytes()
    people = [Person(jpeg, TRUTH + i) for i in range(9)]
    monkeypatch.setitem(evaluation.SETS, 'lspet', lambda root: people)
    answers = Answers([poses_of(TRUTH + i) for i in (0, 4, 8)])
    figures = evaluate('lspet', tmp_path, answers, limit=3)
    assert (figures['n'], figures['pck_all14']) == (3, 1.0)
