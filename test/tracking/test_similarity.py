"""OKS against a plain second implementation and hand-computed values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from action_recognition.skeleton import NUM_JOINTS, Joint
from action_recognition.tracking.similarity import SIGMAS, oks


def people(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    xy = rng.uniform(0, 100, (count, NUM_JOINTS, 2))
    score = rng.uniform(0.1, 1, (count, NUM_JOINTS))
    hidden = rng.random((count, NUM_JOINTS)) < 0.3
    xy[hidden], score[hidden] = np.nan, 0
    return xy, score


def plain_oks(a: np.ndarray, b: np.ndarray, spread: float) -> float:
    """One pair, joint by joint in float64."""

    def area(xy: np.ndarray) -> float:
        xy = xy[np.isfinite(xy[:, 0])]
        w, h = xy.max(0) - xy.min(0)
        longest = max(w, h)
        return max(w, longest / 3) * max(h, longest / 3)

    s2 = (area(a) + area(b)) / 2
    terms = [
        math.exp(-((ax - bx) ** 2 + (ay - by) ** 2) / (2 * s2 * (4 * k**2 + spread**2)))
        for (ax, ay), (bx, by), k in zip(a, b, SIGMAS.astype(float), strict=True)
        if not math.isnan(ax) and not math.isnan(bx)
    ]
    return sum(terms) / len(terms)


@pytest.mark.parametrize('spread', [0.0, 0.3])
def test_agrees_with_the_formula(spread: float) -> None:
    rng = np.random.default_rng(0)
    a, a_score = people(rng, 4)
    b, b_score = people(rng, 3)
    expected = [[plain_oks(x, y, spread) for y in b] for x in a]
    np.testing.assert_allclose(oks(a, a_score, b, b_score, spread=spread), expected, rtol=1e-4)


def test_hand_computed_wrist() -> None:
    """A 100 x 100 px body whose right wrist is 12.4 px (2 sigma s) off: 13 ones and e^-0.5."""
    xy = np.full((1, NUM_JOINTS, 2), 50.0)
    xy[0, Joint.NOSE], xy[0, Joint.RIGHT_ANKLE] = (0, 0), (100, 100)
    other = xy.copy()
    other[0, Joint.RIGHT_WRIST, 0] += 2 * 0.062 * 100
    one = np.ones((1, NUM_JOINTS))
    assert oks(xy, one, other, one)[0, 0] == pytest.approx((13 + math.exp(-0.5)) / 14, abs=1e-6)


def test_symmetric_and_one_for_the_same_pose() -> None:
    a, score = people(np.random.default_rng(1), 5)
    alike = oks(a, score, a, score)
    np.testing.assert_allclose(alike, alike.T, rtol=1e-6)
    np.testing.assert_array_equal(np.diag(alike), 1)


def test_scale_free() -> None:
    rng = np.random.default_rng(2)
    (a, a_score), (b, b_score) = people(rng, 2), people(rng, 2)
    small = oks(a, a_score, b, b_score)
    np.testing.assert_allclose(oks(a * 7, a_score, b * 7, b_score), small, rtol=1e-4)


@pytest.mark.parametrize(('common', 'least', 'alike'), [(3, 3, 1), (2, 3, 0), (2, 1, 1), (0, 0, 0)])
def test_joints_in_common(common: int, least: int, alike: float) -> None:
    xy = np.random.default_rng(3).uniform(0, 100, (1, NUM_JOINTS, 2))
    a = np.zeros((1, NUM_JOINTS))
    b = np.zeros((1, NUM_JOINTS))
    a[:, :7] = 1
    b[:, 7 - common :] = 1
    assert oks(xy, a, xy, b, min_common=least)[0, 0] == alike


def test_nobody() -> None:
    nobody, none = np.empty((0, NUM_JOINTS, 2)), np.empty((0, NUM_JOINTS))
    one, score = people(np.random.default_rng(4), 1)
    assert oks(nobody, none, one, score).shape == (0, 1)
    assert oks(one, score, nobody, none).shape == (1, 0)


def test_a_person_of_one_joint_has_no_size() -> None:
    xy = np.full((2, NUM_JOINTS, 2), np.nan)
    score = np.zeros((2, NUM_JOINTS))
    xy[:, Joint.NOSE], score[:, Joint.NOSE] = [[5, 5], [6, 5]], 1
    np.testing.assert_array_equal(oks(xy, score, xy, score), np.eye(2))
