"""Playing a source: pace, rate, loops, faults and breaks."""

from __future__ import annotations

import threading
from itertools import pairwise

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from action_recognition.errors import UserError
from action_recognition.nodes import player as player_module
from action_recognition.nodes.health import Health
from action_recognition.nodes.player import Playback, Player, Thinner

MS = 1_000_000


class Played:
    """A player with what came out of it."""

    def __init__(self, source, playback, reopen=None, ready=lambda: True, limit=None):
        self.frames, self.warnings = [], []
        self.health = Health()
        self.ended = threading.Event()
        self.enough = threading.Event()
        self._limit = limit
        self.player = Player(
            source,
            playback,
            self.health,
            reopen=reopen or (lambda: pytest.fail('opened again')),
            ready=ready,
            deliver=self._deliver,
            warn=self.warnings.append,
            ended=self._end,
        )
        self.player.start()

    def _deliver(self, frame):
        self.frames.append(frame)
        if len(self.frames) == self._limit:
            self.enough.set()

    def _end(self, fault):
        self.fault = fault
        self.ended.set()

    def stamps(self):
        return [round(frame.stamp / MS) for frame in self.frames]


FAST = Playback(paced=False)


def test_every_frame_of_a_file(make_source):
    source = make_source(frames=4, fps=20)
    played = Played(source, FAST)
    assert played.ended.wait(30)
    assert played.stamps() == [0, 50, 100, 150]
    assert source.closed
    assert played.fault == ''
    assert played.health.counted('received') == 4


def test_paced_frames_are_not_early(make_source):
    source = make_source(frames=3, fps=50)
    clock = player_module.time.monotonic_ns
    begin = clock()
    played = Played(source, Playback())
    assert played.ended.wait(30)
    assert clock() - begin > 35 * MS
    assert played.stamps() == [0, 20, 40]


def test_rate(make_source):
    played = Played(make_source(frames=10, fps=30), Playback(rate=10, paced=False))
    assert played.ended.wait(30)
    assert played.stamps() == [0, 100, 200, 300]
    assert played.health.counted('skipped') == 6


def test_loop_goes_on_in_time(make_source):
    played = Played(
        make_source(frames=2, fps=10),
        Playback(loop=True, paced=False),
        reopen=lambda: make_source(frames=2, fps=10),
        limit=5,
    )
    assert played.enough.wait(30)
    played.player.stop()
    assert played.stamps()[:5] == [0, 100, 200, 300, 400]
    assert not played.ended.is_set()


def test_damaged_frames_are_left_out(make_source):
    played = Played(make_source(frames=3, fps=10, faults=(1,)), FAST)
    assert played.ended.wait(30)
    assert played.stamps() == [0, 200]
    assert played.warnings == ['frame 1 is damaged']
    assert played.health.counted('unreadable') == 1


def test_a_loop_of_nothing_ends(make_source):
    played = Played(make_source(frames=1, faults=(0,)), Playback(loop=True, paced=False))
    assert played.ended.wait(30)
    assert played.frames == []


def test_a_fault_in_a_file_is_a_failure(make_source):
    source = make_source()
    source.read = lambda: 1 / 0
    played = Played(source, FAST)
    assert played.ended.wait(30)
    assert source.closed
    assert played.fault.startswith('ZeroDivisionError: division by zero')
    assert played.health.report('', 'active').message == played.fault


def test_truncated_file(make_source):
    source = make_source(frames=1)
    source.truncated = True
    played = Played(source, FAST)
    assert played.ended.wait(30)
    assert played.warnings == ['fake source ended before the length it declares']


def test_a_file_waits_for_listeners(make_source):
    ready = threading.Event()
    asked = threading.Event()

    def is_ready():
        asked.set()
        return ready.is_set()

    played = Played(make_source(frames=2), FAST, ready=is_ready)
    assert asked.wait(30)
    assert played.frames == []
    ready.set()
    assert played.ended.wait(30)
    assert len(played.frames) == 2


def test_a_file_nobody_listens_to_can_be_stopped(make_source):
    source = make_source()
    played = Played(source, FAST, ready=lambda: False)
    played.player.stop()
    assert source.closed
    assert not played.ended.is_set()


def test_a_live_source_is_opened_again(make_source, monkeypatch):
    monkeypatch.setattr(player_module, 'REOPEN_INTERVAL', 0.01)
    first, second = make_source(frames=3, faults=(1,)), make_source(frames=2)
    first.live = second.live = True
    openings = iter([UserError('camera is gone'), second])

    def reopen():
        result = next(openings)
        if isinstance(result, Exception):
            raise result
        return result

    played = Played(first, Playback(), reopen=reopen)
    assert played.ended.wait(30)
    assert played.warnings == ['frame 1 is damaged', 'camera is gone']
    assert first.closed and second.closed
    assert [frame.index for frame in played.frames] == [0, 0, 1]
    stamps = [frame.stamp for frame in played.frames]
    assert stamps == sorted(set(stamps))


def test_no_error_of_a_driver_ends_a_live_source(make_source, monkeypatch):
    """While it is read, while it is closed, and while it is opened."""
    monkeypatch.setattr(player_module, 'REOPEN_INTERVAL', 0.01)
    first, second = make_source(frames=0), make_source(frames=2)
    first.live = second.live = True

    def fail(error):
        raise error

    closings = iter([cv2.error('no\nhandle')])
    first.read = lambda: fail(MemoryError('no frame'))
    first.close = lambda: [fail(error) for error in closings]
    openings = iter([lambda: fail(cv2.error('no device')), lambda: second])
    played = Played(first, Playback(), reopen=lambda: next(openings)())
    assert played.ended.wait(30)
    assert [frame.index for frame in played.frames] == [0, 1]
    assert played.fault == ''
    assert played.warnings == [
        'fake source broke off by MemoryError: no frame',
        'fake source cannot be opened again: error: no handle',
        'fake source cannot be opened again: error: no device',
    ]
    assert played.health.counted('unreadable') == 1


@pytest.mark.parametrize(('fps', 'rate', 'kept'), [(30, 15, 15), (25, 10, 10), (30, 60, 30)])
def test_thinner_is_even(fps, rate, kept):
    thinner = Thinner(rate)
    passed = [i for i in range(10 * fps) if thinner.passes(round(i * 1e9 / fps))]
    assert len(passed) == 10 * kept
    gaps = {b - a for a, b in pairwise(passed)}
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(('fps', 'rate'), [(30, 30), (30, 15), (30, 10), (60, 15), (25, 5)])
def test_where_the_rate_divides_every_so_many_frames_pass(fps, rate):
    """Of a file, whose stamps are exact, and of a camera, whose frames come early and late."""
    exact = np.round(np.arange(600) * 1e9 / fps)
    jitter = np.random.default_rng(0).uniform(-0.24, 0.24, 600) * 1e9 / fps
    for stamps in (exact, exact + jitter):
        thinner = Thinner(rate)
        passed = [i for i, stamp in enumerate(stamps) if thinner.passes(int(stamp))]
        assert passed == list(range(0, 600, fps // rate))


def test_a_camera_that_drifts_and_pauses_loses_next_to_nothing():
    rng = np.random.default_rng(1)
    times = np.arange(3000) / 30.02 + rng.normal(0, 0.005, 3000)
    times[1500:] += 7.77
    thinner = Thinner(30)
    passed = sum(thinner.passes(int(time * 1e9)) for time in np.sort(times))
    assert 2980 <= passed < 3000  # 30.02 a second are more than 30


def test_thinner_begins_anew_where_stamps_jump_back():
    thinner = Thinner(10)
    passed = [ms for ms in (5000, 5050, 5100, 20, 70, 120) if thinner.passes(ms * MS)]
    assert passed == [5000, 5100, 20, 120]
