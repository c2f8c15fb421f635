"""Diagnostics: levels, rates and times on a simulated clock."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticStatus

from action_recognition.nodes.health import (
    ANSWERED,
    INPUT_TIMEOUT,
    LOG_INTERVAL,
    OUTPUT_TIMEOUT,
    Health,
)


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
        'last_output_age_s': 'never',
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


def feed(health, clock, seconds, *outcomes):
    """Ten inputs a second, each with these outcomes at once; the report after the last."""
    for _ in range(round(10 * seconds)):
        clock.now += 0.1
        health.received()
        for outcome in outcomes:
            health.count(outcome)
    return health.report('', 'active')


@pytest.mark.parametrize('outcome', ['dropped', 'rejected', 'errors'])
def test_input_of_which_nothing_comes_is_an_error(health, clock, outcome):
    health.expects_input = True
    assert feed(health, clock, OUTPUT_TIMEOUT, outcome).level == DiagnosticStatus.OK
    status = feed(health, clock, 1, outcome)
    assert status.level == DiagnosticStatus.ERROR
    assert status.message == 'input comes, but no output for 6 s'
    assert values(status)['last_output_age_s'] == 'never'
    health.problem('gpu', 'the GPU is lost')
    clock.now += INPUT_TIMEOUT  # also when the input ends
    status = health.report('', 'active')
    assert status.message == 'input comes, but no output for 11 s: the GPU is lost'
    assert health.report('', 'inactive').level == DiagnosticStatus.OK
    assert feed(health, clock, 0.1, 'processed').message == 'running'


@pytest.mark.parametrize('outcome', sorted(ANSWERED))
def test_what_was_answered_is_no_error(health, clock, outcome):
    health.expects_input = True
    status = feed(health, clock, 3 * OUTPUT_TIMEOUT, 'dropped', outcome)
    assert (status.level, status.message) == (DiagnosticStatus.OK, 'running')
    assert values(status)['last_output_age_s'] == '0.0'


def test_one_input_that_failed_and_no_more_is_a_lack_of_input(health, clock):
    health.expects_input = True
    feed(health, clock, 0.1, 'rejected')
    clock.now += 3 * OUTPUT_TIMEOUT
    assert health.report('', 'active').message == f'no input for {3 * OUTPUT_TIMEOUT:.0f} s'


def test_nothing_waits_for_a_node_that_begins_anew(health, clock):
    health.expects_input = True
    health.failed('no such device')
    feed(health, clock, 2 * OUTPUT_TIMEOUT, 'dropped')
    health.begin()
    status = feed(health, clock, OUTPUT_TIMEOUT, 'dropped')
    assert (status.level, status.message) == (DiagnosticStatus.OK, 'running')


def test_a_file_that_waits_for_its_receivers_is_no_error(health, clock):
    assert feed(health, clock, 2 * OUTPUT_TIMEOUT).level == DiagnosticStatus.OK


def test_states(health):
    assert health.report('', 'inactive').message == 'inactive'
    health.note('finished')
    assert health.report('', 'active').message == 'finished'
    health.failed('no such device')
    status = health.report('', 'inactive')
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, 'no such device')
    health.failed('')
    assert health.report('', 'inactive').message == 'inactive'
