"""PCK by hand, and the whole score on an estimator whose answers are known."""

import cv2
import numpy as np
import pytest

from action_recognition.datasets.coco import CocoImage
from action_recognition.datasets.people import Person
from action_recognition.evaluation import pose as evaluation
from action_recognition.evaluation.pose import (
    GHOST_EVERY,
    correct_joints,
    evaluate,
    fit_square,
    full_frame,
    ghosts,
)
from action_recognition.pose.estimator import PADDING
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


@pytest.mark.parametrize('size', [(300, 200), (90, 60), (80, 200)])
def test_a_person_fills_a_square_and_the_joints_move_along(size):
    width, height = size
    at = np.array([[width * 0.25, height * 0.3], [width * 0.7, height * 0.8]], np.float32).round()
    image = np.full((height, width, 3), 60, np.uint8)
    for x, y in at.astype(int):
        cv2.rectangle(image, (x - 4, y - 4), (x + 4, y + 4), (250, 250, 250), cv2.FILLED)
    xy = np.full((14, 2), np.nan, np.float32)
    xy[:2] = at
    fitted, moved = fit_square(Person(cv2.imencode('.png', image)[1].tobytes(), xy), 160)
    assert fitted.shape == (160, 160, 3)
    assert np.isnan(moved[2:]).all()
    bright = fitted[..., 0] > 155
    for x, y in moved[:2]:
        near = np.hypot(*(np.indices(bright.shape) - [[[y]], [[x]]])) < 20
        rows, columns = np.nonzero(bright & near)
        assert (columns.mean(), rows.mean()) == pytest.approx((x, y), abs=0.6)
    # The longer side fills the square, grey fills the rest.
    grey = (fitted == PADDING).all(-1)
    across, along = (grey[:, 80], grey[80]) if width > height else (grey[80], grey[:, 80])
    assert not along.any()
    assert across.sum() == pytest.approx(160 * (1 - min(size) / max(size)), abs=3)


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


def test_score_ece_is_over_the_joints_found_and_labelled(tmp_path, monkeypatch):
    jpeg = cv2.imencode('.jpg', np.zeros((200, 120, 3), np.uint8))[1].tobytes()
    unlabelled = TRUTH.copy()
    unlabelled[Joint.NOSE] = np.nan
    people = [Person(jpeg, TRUTH), Person(jpeg, unlabelled), Person(jpeg, TRUTH)]
    monkeypatch.setitem(evaluation.SETS, 'lspet', lambda root: people)
    wrong_wrist = estimate(LEFT_WRIST=(30, 0))[0]
    figures = evaluate('lspet', tmp_path, Answers([poses_of(wrong_wrist)] * 2 + [poses_of()]))
    # 14 + 13 joints of score .9, two of them wrong; the unseen person has no scores.
    assert figures['score_ece'] == pytest.approx(abs(0.9 - 25 / 27), abs=1e-6)
    per_joint = dict.fromkeys(JOINT_NAMES, 0.1) | {'left_wrist': 0.9}
    assert figures['score_ece_per_joint'] == pytest.approx(per_joint, abs=1e-6)
    unseen = evaluate('lspet', tmp_path, Answers([poses_of()] * 3))
    assert unseen['score_ece'] is None
    assert unseen['score_ece_per_joint'] == dict.fromkeys(JOINT_NAMES)


def test_report_shows_the_best_first_and_the_worst_last(tmp_path, monkeypatch):
    jpeg = cv2.imencode('.jpg', np.zeros((200, 120, 3), np.uint8))[1].tobytes()
    monkeypatch.setitem(evaluation.SETS, 'lspet', lambda root: [Person(jpeg, TRUTH)] * 20)
    rows = []

    def note(given):
        rows.append({name: [caption for *_, caption in cells] for name, cells in given.items()})
        return np.zeros((9, 9, 3), np.uint8)

    monkeypatch.setattr(evaluation, 'sheet', note)
    answers = [estimate()[0] + (300 if k < 5 else 0) for k in range(20)]
    answers[10][Joint.NOSE] += 100
    evaluate('lspet', tmp_path, Answers([poses_of(xy) for xy in answers]), report=tmp_path)
    assert rows == [
        {
            'best': ['14/14'] * 8,
            'median': ['14/14'] * 8,
            'worst': ['14/14'] * 2 + ['13/14'] + ['0/14'] * 5,
        }
    ]
    assert (tmp_path / 'sheet.jpg').is_file()


def test_whole_photographs_pair_people_by_likeness(tmp_path, monkeypatch):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.zeros((300, 600, 3), np.uint8))
    away, alone = np.add(TRUTH, (200, 50)), np.add(TRUTH, (400, 0))
    few = np.add(TRUTH, (0, 100))
    few[5:] = np.nan
    photograph = CocoImage(path, np.stack([TRUTH, away, alone, few]), np.zeros((4, 4), np.float32))
    monkeypatch.setattr(evaluation, 'load_coco', lambda root: [photograph])
    ghost = np.add(TRUTH, (100, 0))
    wrist = away.copy()
    wrist[Joint.LEFT_WRIST] += 40
    figures = full_frame(tmp_path, Answers([poses_of(ghost, wrist, TRUTH)]), None)
    # One exact, one with a wrong wrist, one not seen; the one with few joints does not count.
    assert figures['n_full_frame'] == 3
    assert figures['pck_full_frame_limb12'] == pytest.approx((12 + 11 + 0) / 36)
    exact = Answers([poses_of(alone, wrist, TRUTH)])
    assert full_frame(tmp_path, exact, None)['pck_full_frame_limb12'] == pytest.approx(35 / 36)


def test_photographs_in_which_nobody_counts_have_no_figure(tmp_path, monkeypatch):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.zeros((300, 600, 3), np.uint8))
    few = TRUTH.copy()
    few[5:] = np.nan
    photograph = CocoImage(path, few[None], np.zeros((1, 4), np.float32))
    monkeypatch.setattr(evaluation, 'load_coco', lambda root: [photograph])
    figures = full_frame(tmp_path, Answers([poses_of(TRUTH)]), None)
    assert figures == {'pck_full_frame_limb12': None, 'n_full_frame': 0}


def test_coco_gives_crops_and_whole_photographs(tmp_path, monkeypatch):
    jpeg = cv2.imencode('.jpg', np.zeros((200, 120, 3), np.uint8))[1].tobytes()
    monkeypatch.setitem(evaluation.SETS, 'coco', lambda root: [Person(jpeg, TRUTH)])
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.zeros((300, 600, 3), np.uint8))
    photograph = CocoImage(path, TRUTH[None], np.zeros((1, 4), np.float32))
    monkeypatch.setattr(evaluation, 'load_coco', lambda root: [photograph])
    figures = evaluate('coco', tmp_path, Answers([poses_of(TRUTH), poses_of()]))
    assert figures['pck_limb12'] == 1
    assert figures['pck_full_frame_limb12'] == 0
    assert figures['n_full_frame'] == 1


def test_ghosts_are_people_seen_beside_the_only_one(tmp_path, monkeypatch):
    image = np.zeros((200, 300, 3), np.uint8)
    jpeg = cv2.imencode('.jpg', image)[1].tobytes()
    middle, at_the_left = TRUTH + np.float32([100, 0]), TRUTH
    people = [Person(jpeg, middle.astype(np.float32))] * 2 + [Person(jpeg, at_the_left)]
    asked = []

    def load(root, part, every):
        asked.append((root, part, every))
        return people

    monkeypatch.setattr(evaluation, 'jhmdb_people', load)
    answers = Answers([poses_of(), poses_of(TRUTH), poses_of(TRUTH, TRUTH), poses_of(), poses_of()])
    figures = ghosts(tmp_path, answers, None)
    assert figures == {'ghosts_per_image': 3 / 5, 'n_empty': 5}
    assert asked == [(tmp_path, 'test', GHOST_EVERY)]
    monkeypatch.setattr(evaluation, 'jhmdb_people', lambda *_: [])
    assert ghosts(tmp_path, answers, None) == {'ghosts_per_image': None, 'n_empty': 0}
