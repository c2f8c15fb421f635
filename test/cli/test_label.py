"""Truth files made and checked on the command line, and keys that label a recording."""

from __future__ import annotations

import os
import pty
import shutil
import sys

import pytest
from bag_recipes import START, STORE, skeleton_message, write_bag

from action_recognition.cli import main
from action_recognition.cli.record import key_reader
from action_recognition.datasets.bags import SKELETONS
from action_recognition.datasets.key_labels import KeyLabels, parse_keys
from action_recognition.datasets.truth import ANY, Segment, read_truth, write_truth
from action_recognition.errors import UserError
from action_recognition.evaluation import offline
from action_recognition.evaluation.proposals import propose
from action_recognition.recognition.labels import ActionEstimate
from action_recognition.skeleton import NUM_JOINTS, Poses

SECOND = 10**9


def bag(path, seconds=3, ids=(4,)):
    poses = [
        Poses(
            [[(j, j + t) for j in range(NUM_JOINTS)] for _ in ids],
            [[0.9] * NUM_JOINTS for _ in ids],
            list(ids),
            START + t * SECOND // 10,
            (64, 48),
        )
        for t in range(10 * seconds + 1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bag(path, {'/skeletons': [skeleton_message(p) for p in poses]})


def test_folders(tmp_path, capsys):
    bag(tmp_path / 'data' / 'wave' / 'one')
    bag(tmp_path / 'data' / 'run' / 'two', seconds=2)
    out = tmp_path / 'truth.csv'
    command = ['label', '--from-folders', str(tmp_path / 'data'), '--out', str(out)]
    assert main(command) == 0
    run, wave = read_truth(out)
    assert (run.bag, run.start, run.person, run.label) == ('run/two', 0, ANY, 'run')
    assert run.end == pytest.approx(2 + 1 / 30, abs=1e-6)
    assert (wave.bag, wave.label) == ('wave/one', 'wave')
    assert main(command) == 1
    assert 'exists' in capsys.readouterr().err
    bags = [str(tmp_path / 'data' / s.bag) for s in (run, wave)]
    assert main(['label', '--check', str(out), '--bag', *bags]) == 0


def test_folders_take_unfinished_bags_and_leave_out_what_cannot_be_read(tmp_path, capsys):
    killed = bag(tmp_path / 'data' / 'wave' / 'one')
    (killed / 'metadata.yaml').unlink()
    damaged = tmp_path / 'data' / 'wave' / 'two.mcap'
    damaged.write_bytes(b'no bag')
    out = tmp_path / 'truth.csv'
    command = ['label', '--from-folders', str(tmp_path / 'data'), '--out', str(out)]
    assert main(command) == 0
    assert [s.bag for s in read_truth(out)] == ['wave/one']
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'left out: cannot read bag {damaged}')
    out.unlink()
    shutil.rmtree(killed)
    assert main(command) == 1
    assert not out.exists()
    assert 'no bag of' in capsys.readouterr().err.splitlines()[-1]


def test_check_names_every_fault(tmp_path, capsys):
    path = bag(tmp_path / 'k')
    truth = tmp_path / 'truth.csv'
    rows = [
        Segment('k', 0, 2, ANY, 'wave'),
        Segment('k', 1, 2, ANY, 'run'),
        Segment('k', 9, 10, ANY, 'wave'),
        Segment('k', 2, 3, ANY, 'wavee'),
        Segment('other', 0, 1, ANY, 'jmp'),
    ]
    write_truth(truth, rows)
    assert main(['label', '--check', str(truth), '--bag', str(path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    parts = ['did you mean wave?', 'overlap', 'outside the bag', 'bag that is not given', 'jump?']
    for part in parts:
        assert sum(part in line for line in lines) == 1, part
    assert len(lines) == len(parts)
    assert main(['label', '--check', str(tmp_path / 'gone.csv')]) == 1


def test_import(tmp_path, capsys):
    export = tmp_path / 'export.csv'
    export.write_text('Behavior,Start (s),Stop (s)\nwave,1,2\n')
    command = ['label', '--import', str(export), '--out', str(tmp_path / 'truth.csv')]
    assert main(command) == 1
    assert 'needs one --bag' in capsys.readouterr().err
    assert main([*command, '--bag', 'data/k:/skeletons']) == 0
    assert read_truth(tmp_path / 'truth.csv') == [Segment('k', 1, 2, ANY, 'wave')]


def test_proposals_are_what_is_confirmed(tmp_path, monkeypatch):
    path = bag(tmp_path / 'k')

    class Waver:
        """Everybody waves from 0.5 to 1.5 s."""

        def reset(self):
            pass

        def update(self, poses):
            seconds = (poses.stamp - START) / SECOND
            state = 'confirmed' if 0.5 <= seconds <= 1.5 else 'candidate'
            began = START + SECOND // 2
            return [ActionEstimate(4, 1, 'wave', 0.9, state, began, [0.1, 0.9])]

        def close(self):
            pass

    monkeypatch.setattr(offline, 'create_recognizer', lambda setup: Waver())
    left_out = []
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(b'nothing')
    specs = [str(broken), str(path)]
    (found,) = propose(offline.Setup('waver'), specs, left_out.append)
    assert ['broken.mcap' in str(error) for error in left_out] == [True]
    assert (found.bag, found.person, found.label) == ('k', '4', 'wave')
    assert (found.start, found.end) == (pytest.approx(0.5), pytest.approx(1.5))


# --- keys -----------------------------------------------------------------------------------


def test_keys():
    assert parse_keys('1=wave, 2=clap') == {'1': 'wave', '2': 'clap'}
    for text, complaint in (
        ('wave', 'write one letter'),
        ('12=wave', 'write one letter'),
        ('1=', 'write one letter'),
        ('1=wave,1=run', "'1' is taken"),
        ('0=wave', "'0' is taken"),
    ):
        with pytest.raises(UserError, match=complaint):
            parse_keys(text)


def test_presses_become_segments():
    labels = KeyLabels('k', {'1': 'wave', '2': 'clap'})
    presses = [('1', 1), ('x', 2), ('2', 3), ('2', 4), ('1', 5), (' ', 6), ('0', 7), ('2', 8)]
    known = [labels.press(key, START + s * SECOND) for key, s in presses]
    assert known == [True, False, True, True, True, True, True, True]
    assert labels.going_on == 'clap'
    labels.end(START + 9 * SECOND)
    origin = START * 1e-9
    found = [(s.label, s.start - origin, s.end - origin) for s in labels.segments(START)]
    assert found == [('wave', 1, 3), ('clap', 3, 4), ('wave', 5, 6), ('clap', 8, 9)]


def test_times_of_a_recording_that_begins_at_zero_are_from_its_begin():
    labels = KeyLabels('k', {'1': 'wave'})
    labels.press('1', 5 * SECOND)
    labels.end(7 * SECOND)
    assert labels.segments(2 * SECOND) == [Segment('k', 3, 5, ANY, 'wave')]


def test_keys_need_no_enter_and_the_terminal_is_left_as_it_was(monkeypatch):
    termios = pytest.importorskip('termios')
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, 'stdin', terminal)
        before = termios.tcgetattr(terminal)
        with key_reader() as typed:
            assert typed() == ''
            os.write(ours, b'12')
            assert typed() == '12'
            assert typed() == ''
        assert termios.tcgetattr(terminal) == before
    os.close(ours)


def test_a_recording_of_nothing_leaves_nothing(tmp_path, capsys):
    pytest.importorskip('rclpy')
    command = ['record', '--out', str(tmp_path / 'k'), '--duration', '0.2']
    for _ in range(2):  # the first is not in the way of the second
        assert main([*command, '-r', '__ns:=/where_nobody_is']) == 1
        assert 'nothing came: is the graph running' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('images', [(), ('--images', '--image-topic', '/nobody/sends')])
def test_a_recording_that_lacks_its_images_says_so(tmp_path, capsys, monkeypatch, images):
    pytest.importorskip('rclpy')
    from action_recognition.nodes import bag_recorder

    message = skeleton_message(Poses.empty(START, (64, 48)))
    data = bytes(STORE.serialize_cdr(message, SKELETONS))

    class Heard(bag_recorder.BagRecorder):
        """Whatever the middleware does, skeletons have come."""

        def spin(self, seconds):
            super().spin(seconds)
            self._take('/skeletons', True, data)

    monkeypatch.setattr(bag_recorder, 'BagRecorder', Heard)
    assert main(['record', '--out', str(tmp_path / 'k'), '--duration', '0.1', *images]) == 0
    said = capsys.readouterr().err
    assert ('warning: no image came on /nobody/sends: --image-topic' in said) == bool(images)
    assert ('warning' in said) == bool(images)
