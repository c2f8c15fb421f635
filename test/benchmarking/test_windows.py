"""Windows of joints on examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from action_recognition.benchmarking.windows import fill, normalise, recent, resample, windows
from action_recognition.skeleton import Joint


def test_joints_between_two_frames_lie_on_the_line_and_at_the_ends_stay():
    xy = np.zeros((1, 6, 14, 2), np.float32)
    xy[0, :, 3, 0] = [np.nan, 1, np.nan, np.nan, 4, np.nan]
    assert fill(xy)[0, :, 3, 0].tolist() == [1, 1, 2, 3, 4, 4]


def test_a_joint_never_seen_is_in_the_middle_of_the_others():
    xy = np.full((2, 2, 14, 2), np.nan, np.float32)
    xy[0, :, 0], xy[0, :, 1] = 2, 6
    filled = fill(xy)
    assert (filled[0, :, 2:] == 4).all()
    assert (filled[1] == 0).all()


def test_resampling_is_linear_and_leaves_the_padding_alone():
    xy = np.zeros((2, 5, 14, 2), np.float32)
    xy[0, :, 0, 0] = [0, 2, 4, 99, 99]
    xy[1, :, 0, 0] = [7, 99, 99, 99, 99]
    out = resample(xy, [3, 1], 5)
    assert out.shape == (2, 5, 14, 2)
    assert out[0, :, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert out[1, :, 0, 0].tolist() == [7] * 5


def test_the_unit_is_the_torso_and_the_origin_the_middle():
    xy = np.zeros((1, 1, 14, 2), np.float32)
    xy[0, 0, Joint.RIGHT_SHOULDER] = (0, 0)
    xy[0, 0, Joint.LEFT_HIP] = (30, 40)  # a diagonal of 50 pixels
    out = normalise(xy)
    assert out[0, 0, Joint.LEFT_HIP] == pytest.approx([0.6 * 13 / 14, 0.8 * 13 / 14])
    assert out.mean((1, 2)) == pytest.approx(np.zeros((1, 2)), abs=1e-6)


def test_windows_of_sequences_do_not_depend_on_their_neighbours_place_or_size():
    rng = np.random.default_rng(0)
    one, other = (rng.uniform(0, 100, (steps, 14, 2)).astype(np.float32) for steps in (9, 20))
    one[2:5, 4] = np.nan
    both = windows([one, other], 16)
    assert both.shape == (2, 16, 14, 2)
    assert both.dtype == np.float32
    assert windows([3 * one + 50], 16)[0] == pytest.approx(both[0], abs=1e-4)


# --- the last seconds of a stream -----------------------------------------------------------


@pytest.fixture
def uneven() -> tuple[np.ndarray, np.ndarray]:
    """Two people over 40 frames at uneven distances: (40, 2, 14, 2), and stamps."""
    rng = np.random.default_rng(0)
    stamps = np.cumsum(rng.integers(20_000_000, 90_000_000, 40))
    return rng.uniform(0, 100, (40, 2, 14, 2)).astype(np.float32), stamps


def test_the_last_seconds_lie_on_the_lines_between_frames(uneven):
    xy, stamps = uneven
    ends = [0, 3, 17, 39]
    found = recent(xy, stamps, ends, 0.8, 25)
    assert found.shape == (4, 25, 2, 14, 2)
    for row, end in enumerate(ends):
        times = stamps[end] - 0.8e9 / 25 * np.arange(24, -1, -1)
        for joint in np.ndindex(2, 14, 2):
            known = xy[(slice(end + 1), *joint)]
            expected = np.interp(times, stamps[: end + 1], known)  # stands still before the first
            assert found[(row, slice(None), *joint)] == pytest.approx(expected, abs=1e-3)


def test_nothing_after_the_frame_is_looked_at(uneven):
    xy, stamps = uneven
    before = recent(xy, stamps, [20], 1.0, 30)
    xy[21:] = np.nan
    assert np.array_equal(recent(xy, stamps, [20], 1.0, 30), before)


def test_a_joint_that_one_frame_hides_is_as_in_the_nearer_one():
    xy = np.zeros((2, 14, 2), np.float32)
    xy[:, 0, 0] = [3, np.nan]
    xy[:, 1, 0] = [np.nan, 5]
    xy[:, 2, 0] = [1, 2]
    found = recent(xy, np.array([0, 100]), [1], 100e-9, 4)[0]  # 25, 50, 75 and 100 ns
    assert found[:, 0, 0] == pytest.approx([3, np.nan, np.nan, np.nan], nan_ok=True)
    assert found[:, 1, 0] == pytest.approx([np.nan, 5, 5, 5], nan_ok=True)
    assert found[:, 2, 0].tolist() == [1.25, 1.5, 1.75, 2]
