"""Traces: what stands in the file, whoever writes and however they end."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from rclpy.parameter import Parameter
from std_msgs.msg import Header

from action_recognition.errors import UserError
from action_recognition.nodes.common import StageNode
from action_recognition.nodes.convert import ns_to_stamp
from action_recognition.nodes.health import Health
from action_recognition.nodes.trace import TraceFile, close_trace, open_trace

#: One of today, which no float holds.
STAMP = 1_764_000_000_123_456_789


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'trace.json'


@pytest.fixture
def health(path):
    health = Health()
    health.trace = open_trace(str(path), 'eye')
    yield health
    if health.trace:
        close_trace(health.trace)


def events(path, whole=True):
    text = path.read_text()
    # Linux may end a write for a signal between two pages of memory: the last line may be cut.
    if not whole and not text.rstrip(',\n').endswith('}'):
        text = text.rpartition('\n')[0].rstrip(',')
    return [e for e in json.loads(text if whole else text + ']') if e['ph'] != 'M']


def finish(health):
    close_trace(health.trace)
    health.trace = None


def test_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    close_trace(open_trace('~/trace.json', 'eye'))
    assert (tmp_path / 'trace.json').exists()


def test_stages_nest_in_their_frame_and_carry_its_stamp(health, path):
    with health.timed('read'):
        pass
    with health.frame(STAMP, 'image'), health.timed('outer'):
        with health.timed('inner'):
            time.sleep(0.002)
        health.sent('skeletons')
    finish(health)
    spans = {e['name']: e for e in events(path) if e['ph'] == 'X'}
    assert list(spans) == ['eye read', 'eye inner', 'eye outer', 'eye frame']
    assert 'args' not in spans['eye read']
    ends = {name: (e['ts'], e['ts'] + e['dur']) for name, e in spans.items()}
    for outer, inner in (('frame', 'outer'), ('outer', 'inner')):
        (begin, end), (first, last) = ends[f'eye {outer}'], ends[f'eye {inner}']
        assert begin <= first < last <= end + 1e-3  # ts is rounded to a float
        assert spans[f'eye {inner}']['args'] == {'stamp': str(STAMP)}
    assert spans['eye inner']['dur'] >= 2000


def test_what_diagnostics_say_is_what_the_trace_says(health, path):
    for _ in range(3):
        with health.timed('pose'):
            pass
    report = {v.key: v.value for v in health.report('', 'active').values}
    finish(health)
    spans = [e['dur'] * 1e-3 for e in events(path)]
    assert report['pose_ms_mean'] == f'{sum(spans) / 3:.2f}'
    assert report['pose_ms_max'] == f'{max(spans):.2f}'


def test_arrows_lead_from_the_span_that_sent_to_the_frame_that_it_came_to(path):
    sender, receiver = Health(), Health()
    sender.trace, receiver.trace = (open_trace(str(path), name) for name in ('eye', 'mind'))
    with sender.frame(STAMP), sender.timed('publish'):
        sender.sent('skeletons')
    with receiver.frame(STAMP, 'skeletons'):
        pass
    finish(sender)
    finish(receiver)
    found = events(path)
    begin, end = (e for e in found if e['ph'] in 'sf')
    assert (begin['ph'], end['ph'], end['bp']) == ('s', 'f', 'e')
    assert int(begin['id'], 16) == int(end['id'], 16) == STAMP
    assert (begin['name'], begin['cat']) == (end['name'], end['cat'])
    spans = {e['name']: e for e in found if e['ph'] == 'X'}
    for arrow, name in ((begin, 'eye publish'), (end, 'mind frame')):
        span = spans[name]
        assert arrow['tid'] == span['tid']
        assert span['ts'] <= arrow['ts'] <= span['ts'] + span['dur'] + 1e-3


def test_waiting_is_a_track_of_its_own_and_a_time_in_the_diagnostics(health, path):
    now = time.monotonic_ns()
    health.waited(now - 5_000_000, now, STAMP)
    report = {v.key: v.value for v in health.report('', 'active').values}
    finish(health)
    begin, end = events(path)
    assert (begin['ph'], end['ph']) == ('b', 'e')
    assert begin['id'] == end['id'] == hex(STAMP)
    assert end['ts'] - begin['ts'] >= 5000
    waited = (end['ts'] - begin['ts']) / 1e3
    assert float(report['queue_ms_mean']) == pytest.approx(waited, abs=0.01)


def test_a_frame_ends_with_its_block_whatever_happens(health, path):
    with pytest.raises(RuntimeError), health.frame(STAMP):
        raise RuntimeError
    with health.timed('next'):
        pass
    health.sent('nothing')  # outside of a frame
    finish(health)
    frame, after = events(path)
    assert frame['name'] == 'eye frame'
    assert 'args' not in after


def test_threads_have_names_and_stamps_of_their_own(health, path):
    def other():
        with health.timed('elsewhere'):
            pass

    with health.frame(STAMP):
        thread = threading.Thread(target=other, name='player')
        thread.start()
        thread.join()
    finish(health)
    named = {e['tid']: e['args']['name'] for e in json.loads(path.read_text()) if e['ph'] == 'M'}
    elsewhere, frame = events(path)
    assert 'args' not in elsewhere
    assert named[elsewhere['tid']] == 'player'
    assert elsewhere['tid'] != frame['tid']


def test_off_leaves_no_file_and_no_trace_of_frames(tmp_path):
    health = Health()
    with health.frame(STAMP, 'image'), health.timed('pose'):
        health.sent('skeletons')
    assert list(tmp_path.iterdir()) == []
    assert 'pose_ms_mean' in [v.key for v in health.report('', 'active').values]


def test_a_file_is_bounded_and_whole_when_it_is_full(path):
    file = TraceFile(path, 1000)
    while not file.is_full:
        file.write('x', 'i', 1)
    size = path.stat().st_size
    file.write('x', 'i', 1)
    file.close()
    assert size - 100 < 1000 - 100 < path.stat().st_size <= 1000
    assert len(events(path)) > 5


def _write_until_killed(path, begun):
    file = TraceFile(path)
    number = 0
    while True:
        file.write('x', 'i', number)
        number += 1
        if number == 100:
            begun.set()


def test_a_file_is_whole_but_for_its_bracket_when_the_writer_is_killed(path):
    context = multiprocessing.get_context('fork')
    begun = context.Event()
    process = context.Process(target=_write_until_killed, args=(path, begun))
    process.start()
    assert begun.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    found = events(path, whole=False)
    assert [e['ts'] for e in found] == [i / 1000 for i in range(len(found))]
    assert len(found) >= 100


def _write_some(path, number, gate):
    file = TraceFile(path)
    gate.wait()
    for index in range(200):
        file.write(f'{number}', 'i', index)
    gate.wait()
    file.close()


def test_processes_share_a_file_and_the_last_one_closes_it(path):
    left = TraceFile(path)
    left.write('of an earlier run', 'i', 1)
    left.close()
    context = multiprocessing.get_context('fork')
    gate = context.Barrier(3)
    arguments = [(path, number, gate) for number in range(3)]
    processes = [context.Process(target=_write_some, args=args) for args in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    found = events(path)
    for number in range(3):
        mine = [e for e in found if e['name'] == str(number)]
        assert [e['ts'] for e in mine] == [i / 1000 for i in range(200)]
        assert len({e['pid'] for e in mine}) == 1
    assert len({e['pid'] for e in found}) == 3


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r'cannot write the trace .*: Is a directory'):
        open_trace(str(tmp_path), 'eye')


@pytest.mark.parametrize(
    'content',
    ['rules:\n  greet:\n', '[\n]\n', '[\n{"name": "process_name", "ph": "M", "pid": 1}\n]\n', ' '],
)
def test_a_file_that_is_no_trace_of_ours_is_left_as_it_is(path, content):
    path.write_text(content)
    for _ in range(2):
        with pytest.raises(UserError, match=r'trace\.json is no trace of action_recognition'):
            open_trace(str(path), 'eye')
    assert path.read_text() == content


def test_a_file_of_others_stays_theirs_while_they_hold_its_lock(path):
    """Whoever is not the first may not add a line either."""
    path.write_text('a journal')
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(UserError, match='is no trace'):
            open_trace(str(path), 'eye')
    assert path.read_text() == 'a journal'


def test_an_empty_file_and_a_trace_cut_off_are_begun_anew(path):
    path.touch()
    for _ in range(2):
        file = TraceFile(path)
        file.write('x', 'i', 1000)
        file.close()
        assert [e['ts'] for e in events(path)] == [1.0]
        path.write_bytes(path.read_bytes()[:-3])


def test_a_pipe_is_refused_and_nobody_waits_for_its_reader(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(UserError, match='is no trace'):
        open_trace(str(tmp_path / 'pipe'), 'eye')


class Blink(StageNode):
    NAME = 'blink'

    def start(self):
        self.blinks = self.worker('lid', 'image', lambda header: self.done.append(header))
        self.done = []

    def stop(self):
        if hasattr(self, 'blinks'):
            self.blinks.stop()


class Message:
    header = Header(stamp=ns_to_stamp(STAMP))


def test_nodes_write_what_their_workers_do_while_they_are_active(graph, path):
    node = graph.node(Blink, parameters={'trace': str(path)})
    message = Message()
    node.blinks.offer(message)
    graph.until(lambda: node.done)
    node.trigger_deactivate()
    assert node.done == [message]
    wait, stop, arrow, frame = events(path)
    assert (wait['name'], stop['ph'], arrow['ph']) == ('blink queue', 'e', 'f')
    assert frame['name'] == 'blink frame'
    assert frame['args'] == {'stamp': str(STAMP)}
    node.trigger_activate()  # begins anew
    assert events(path, whole=False) == []


def test_the_file_is_chosen_when_the_node_starts(graph, path, tmp_path):
    node = graph.node(Blink, parameters={'trace': str(path)})
    node.trigger_deactivate()
    refused = node.set_parameters([Parameter('trace', value=str(tmp_path / 'other'))])[0]
    assert not refused.successful
    assert 'read-only' in refused.reason
    assert node.value('trace') == str(path)


def test_a_node_whose_trace_is_full_says_so_once_and_goes_on(graph, path):
    node = graph.node(Blink, parameters={'trace': str(path)})
    node.health.trace.file.is_full = True
    graph.until(lambda: node.health.trace is None)
    report = {v.key: v.value for v in node.health.report('', 'active').values}
    assert 'is full' in report['last_problem']
    node.blinks.offer(Message())
    graph.until(lambda: node.done)
    node.trigger_deactivate()
