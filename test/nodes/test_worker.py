"""The worker: one at a time, only the latest waits, nothing is uncounted."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from action_recognition.nodes.worker import Worker


def test_only_the_latest_waits():
    begun, gate, done = threading.Semaphore(0), threading.Semaphore(0), []

    def work(item):
        begun.release()
        gate.acquire()
        done.append(item)

    worker = Worker('test', work)
    assert worker.offer(1) is False
    begun.acquire()
    assert [worker.offer(item) for item in (2, 3, 4)] == [False, True, True]
    gate.release()
    begun.acquire()  # 4 is in hand
    worker.offer(5)
    gate.release()
    stopped = []
    stopper = threading.Thread(target=lambda: stopped.append(worker.stop()))
    # Whether 5 is still begun depends on who is first; it is accounted for either way.
    stopper.start()
    gate.release()
    stopper.join()
    assert done[:2] == [1, 4]
    assert len(done) - 2 + stopped[0] == 1


def test_stop_when_idle():
    worker = Worker('test', lambda item: None)
    assert worker.stop() == 0
