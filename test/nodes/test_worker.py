"""The worker: one at a time, only the latest waits, nothing is uncounted."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from action_recognition.nodes import worker as worker_module
from action_recognition.nodes.worker import Worker

#: Seconds in which anything a test waits for has happened, even on a busy machine.
PATIENCE = 60.0


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.001)


def test_only_the_latest_waits():
    begun, gate, done = threading.Semaphore(0), threading.Semaphore(0), []

    def work(item, offered):
        begun.release()
        assert gate.acquire(timeout=PATIENCE)
        done.append(item)

    worker = Worker('test', work)
    assert worker.offer(1) is False
    assert begun.acquire(timeout=PATIENCE)
    assert [worker.offer(item) for item in (2, 3, 4)] == [False, True, True]
    gate.release()
    assert begun.acquire(timeout=PATIENCE)  # 4 is in hand
    worker.offer(5)
    gate.release()
    stopped = []
    stopper = threading.Thread(target=lambda: stopped.append(worker.stop()))
    # Whether 5 is still begun depends on who is first; it is accounted for either way.
    stopper.start()
    gate.release()
    stopper.join(PATIENCE)
    assert done[:2] == [1, 4]
    assert len(done) - 2 + stopped[0] == 1


def test_the_thread_says_when_it_ends_however_late(monkeypatch):
    monkeypatch.setattr(worker_module, 'STOP_TIMEOUT', 0.05)
    begun, gate, told = threading.Event(), threading.Event(), []

    def work(item, offered):
        begun.set()
        gate.wait(PATIENCE)

    worker = Worker('test', work, lambda: told.append(threading.current_thread()))
    worker.offer(1)
    assert begun.wait(PATIENCE)
    assert worker.stop() is None
    assert told == []
    gate.set()
    worker._thread.join(PATIENCE)
    assert told == [worker._thread]


def test_work_that_hangs_holds_nobody(monkeypatch):
    monkeypatch.setattr(worker_module, 'STOP_TIMEOUT', 0.05)
    begun, gate, done = threading.Event(), threading.Event(), []

    def work(item, offered):
        begun.set()
        gate.wait(PATIENCE)
        done.append(item)

    worker = Worker('test', work)
    worker.offer(1)
    assert begun.wait(PATIENCE)
    worker.offer(2)
    assert worker.stop() is None
    assert worker._thread.daemon  # nor the process
    gate.set()
    worker._thread.join(PATIENCE)
    assert done == [1]


def test_stop_when_idle():
    worker = Worker('test', lambda item, offered: None)
    assert worker.stop() == 0


def test_every_item_is_worked_on_or_counted_as_replaced_or_left():
    """Against a plain account of the same offers, one after the other."""
    done, gate = [], threading.Event()

    def work(item, offered):
        done.append(item)
        gate.wait(PATIENCE)

    worker = Worker('test', work)
    worker.offer(0)
    until(lambda: done)
    replaced = sum(worker.offer(item) for item in range(1, 101))
    assert replaced == 99  # of 1 to 99; 100 waits
    gate.set()
    until(lambda: len(done) == 2)
    left = worker.stop()
    assert done == [0, 100]
    assert len(done) + replaced + left == 101


def test_work_is_told_when_the_item_was_offered():
    told, before = [], time.monotonic_ns()
    worker = Worker('test', lambda item, offered: told.append(offered))
    worker.offer('x')
    after = time.monotonic_ns()
    until(lambda: told)
    worker.stop()
    assert before <= told[0] <= after
