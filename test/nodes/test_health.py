"""Diagnostics: levels, rates and times on a simulated clock."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticStatus

from action_recognition.nodes.health import INPUT_TIMEOUT, LOG_INTERVAL, Health


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(clock)


def values(status):
    return {entry.key: entry.value for entry in status.values}


def test_rate_age_and_counts(health, clock):
    for _ in range(30):
        health.received()
    health.count('dropped', 4)
    health.fact('device', 'cuda:0')
    clock.now += 2
    status = health.report('/perception', 'active')
    assert (status.name, status.hardware_id) == ('/perception', 'cuda:0')
    assert values(status) == {
        'state': 'active',
        'device': 'cuda:0',
        'rate_hz': '15.0',
        'last_input_age_s': '2.0',
        'received': '30',
        'dropped': '4',
        'last_problem': '',
    }
    clock.now += 1
    assert values(health.report('', 'active'))['rate_hz'] == '0.0'


def test_stage_times_are_those_since_the_last_report(health):
    health.took('pose', 0.010)
    health.took('pose', 0.030)
    report = values(health.report('', 'active'))
    assert (report['pose_ms_mean'], report['pose_ms_max']) == ('20.00', '30.00')
    assert 'pose_ms_mean' not in values(health.report('', 'active'))


def test_problems_are_throttled_by_kind_but_always_reported(health, clock):
    assert health.problem('step', 'step is wrong')
    assert not health.problem('step', 'step is wrong again')
    assert health.problem('size', 'size is 0')
    status = health.report('', 'active')
    assert (status.level, status.message) == (DiagnosticStatus.WARN, 'size is 0')
    status = health.report('', 'active')
    assert status.level == DiagnosticStatus.OK
    assert values(status)['last_problem'] == 'size is 0'
    clock.now += LOG_INTERVAL
    assert health.problem('step', 'step is still wrong')


@pytest.mark.parametrize(
    ('age', 'level', 'message'),
    [
        (None, DiagnosticStatus.WARN, 'no input yet'),
        (1.0, DiagnosticStatus.OK, 'running'),
        (INPUT_TIMEOUT + 2, DiagnosticStatus.WARN, 'no input for 7 s'),
    ],
)
def test_silence(health, clock, age, level, message):
    health.expects_input = True
    if age is not None:
        health.received()
        clock.now += age
    status = health.report('', 'active')
    assert (status.level, status.message) == (level, message)


def test_states(health):
    assert health.report('', 'inactive').message == 'inactive'
    health.note('finished')
    assert health.report('', 'active').message == 'finished'
    health.failed('no such device')
    status = health.report('', 'inactive')
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, 'no such device')
    health.failed('')
    assert health.report('', 'inactive').message == 'inactive'
