"""The clock: who is given which frames, and what is made of the times."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from action_recognition.benchmarking import speed


def test_walkers_are_seen_whole_and_move_at_30_hz():
    frames = speed.walkers(3, 5)
    assert [len(poses) for poses in frames] == [3] * 5
    assert all(poses.seen.all() for poses in frames)
    assert frames[2].track_id.tolist() == [0, 1, 2]
    assert {b.stamp - a.stamp for a, b in pairwise(frames)} == {speed.FRAME}
    assert np.ptp(frames[1].xy - frames[0].xy) > 0


def test_streams_take_turns_and_each_sees_every_frame_once_in_order():
    seen = []
    steps = {name: (lambda poses, name=name: seen.append((name, poses.stamp))) for name in 'ab'}
    times = speed.milliseconds(steps, 1, rounds=2)
    assert {name: len(t) for name, t in times.items()} == {'a': 40, 'b': 40}
    for name in 'ab':
        stamps = [stamp for who, stamp in seen if who == name]
        assert stamps == [k * speed.FRAME for k in range(speed.WARM_UP + 40)]
    timed = [who for who, _ in seen[2 * speed.WARM_UP :]]
    assert timed == ['a'] * 20 + ['b'] * 20 + ['a'] * 20 + ['b'] * 20


def test_summary():
    found = speed.summary(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert (found['ms_median'], found['fps']) == (3, 1000 / 3)
    assert 4 < found['ms_p95'] < 100
