"""`benchmark`: arguments, the table, the JSON, and one line for what cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from action_recognition.benchmarking import compare, compare_streams, pose, recognizer
from action_recognition.cli import main

PEERS = ['benchmark', 'peers', '--set', 'jhmdb14', '--seeds', '1']


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The command sets this for its own process: give it back afterwards."""
    monkeypatch.setenv('OPENBLAS_NUM_THREADS', '1')


@pytest.mark.parametrize(
    'arguments',
    [
        [],
        ['peers', '--set', 'jhmdb14'],
        ['peers', '--set', 'ucf', '--data', '.'],
        ['peers', '--set', 'penn', '--data', '.', '--split', '1,1'],
        ['recognizer', '--people', '0'],
        ['recognizer', '--people', 'all'],
    ],
)
def test_wrong_arguments_exit_with_code_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(['benchmark', *arguments])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--peers', 'ddnet,tcn'], "unknown peer 'tcn'"),
        (['--peers', 'ddnet,ddnet'], '--peers names one twice'),
        (['--seeds', '0'], '--seeds must be at least 1, not 0'),
        (['--threads', '0'], '--threads must be at least 1, not 0'),
        (['--peers', 'ddnet', '--epochs', '0'], "not '0'"),
        (['--peers', 'ddnet', '--epochs', 'lstm=3'], "not 'lstm=3'"),
        (['--peers', 'ddnet', '--epochs', 'many'], "not 'many'"),
        (['--peers', 'ddnet', '--epochs', 'nan'], "not 'nan'"),
        (['--peers', 'ddnet', '--config', '/nowhere.yaml'], 'cannot use training config'),
        (['--window', '1'], '--window and --validation are for --set precog'),
        (['--validation'], '--window and --validation are for --set precog'),
        (['--ours', 'nobody'], "no weights named 'nobody'"),
        (['--peers', 'ddnet'], 'is not a folder'),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, capsys, arguments, message):
    where = ['--data', str(tmp_path), '--out', str(tmp_path / 'out')]
    assert main([*PEERS, *where, *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (None, {'ddnet': 200, 'lstm+aug': 300}),
        ('2', {'ddnet': 2, 'lstm+aug': 2}),
        ('lstm+aug=7', {'ddnet': 200, 'lstm+aug': 7}),
        ('ddnet=3,lstm+aug=7', {'ddnet': 3, 'lstm+aug': 7}),
    ],
)
def test_epochs_of_all_or_of_some(tmp_path, monkeypatch, text, expected):
    found = {}

    def run(_set, _data, splits, seeds, peers, out, threads):
        found.update({peer.name: peer.recipe['epochs'] for peer in peers})
        return {'rows': [], 'asked': (splits, seeds, threads)}

    monkeypatch.setattr(compare, 'run', run)
    arguments = ['--data', str(tmp_path), '--peers', 'ddnet,lstm+aug', '--split', '1,3']
    arguments += ['--json', str(tmp_path / 'f.json')]
    assert main([*PEERS, *arguments, *(['--epochs', text] if text else [])]) == 0
    assert found == expected
    assert json.loads((tmp_path / 'f.json').read_text())['asked'] == [[1, 3], 1, 1]


def test_published_weights_take_the_place_of_the_model_of_their_kind(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(
        compare, 'run', lambda *a: names.extend(p.name for p in a[4]) or {'rows': []}
    )
    arguments = ['--data', str(tmp_path), '--ours', 'online_union32']
    assert main([*PEERS, *arguments, '--peers', 'lstm,online,paper']) == 0
    assert names == ['lstm', 'paper', 'online_union32']


def test_peers_end_to_end(tmp_path, monkeypatch, capsys):
    row = {'ms_median': 2.0, 'ms_p95': 3.0, 'fps': 500.0, 'ratio': None, 'parameters': 7}
    at = {f'0.{k}': k / 10 for k in range(1, 10)} | {'1.0': 0.8}
    row |= {'peer': 'svm', 'accuracy': 0.8, 'accuracy_std': 0.01, 'accuracy_at': at, 'ece': 0.05}
    monkeypatch.setattr(compare, 'run', lambda *_: {'rows': [row]})
    assert main([*PEERS, '--data', str(tmp_path), '--peers', 'lstm']) == 0
    heading, _, line = capsys.readouterr().out.splitlines()
    assert heading.startswith('| peer | accuracy | std | at 10 % | at 20 % | at 40 % | at 60 % |')
    assert line == (
        '| svm | 0.800 | 0.010 | 0.100 | 0.200 | 0.400 | 0.600 | 0.050 | 2.000 | 3.000 | - | 7 |'
    )


# --- on continuous recordings ---------------------------------------------------------------

STREAM_PEERS = ['benchmark', 'peers', '--set', 'precog', '--seeds', '1']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--peers', 'svm'], "unknown peer 'svm'; known on streams: lstm+aug, ddnet+aug, online"),
        (['--split', '1'], '--set precog has no --split: odd people train, even people test'),
        (['--config', 'a.yaml', '--config', 'b.yaml'], '--set precog takes one --config'),
        (['--window', '0'], "above 0, not '0'"),
        (['--window', 'inf'], "above 0, not 'inf'"),
        (['--window', 'nan'], "above 0, not 'nan'"),
        (['--window', 'online=1'], '--window is N, or NAME=N,... for lstm+aug, ddnet+aug; above 0'),
        (['--peers', 'online', '--window', '1'], '--window means nothing to any of the peers'),
        (['--config', 'config/train/online_union32.yaml'], 'needs a config of that set, not of'),
        (['--ours', 'online_precog', '--validation'], 'online_precog may know the people'),
        (['--ours', 'online_jhmdb14'], 'the model does not know none, right_punch'),
        ([], 'is not a folder; expected the PRECOG folder'),
    ],
)
def test_what_cannot_be_done_with_streams_is_one_line(tmp_path, capsys, arguments, message):
    where = ['--data', str(tmp_path), '--out', str(tmp_path / 'out')]
    assert main([*STREAM_PEERS, *where, *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


@pytest.fixture
def asked(monkeypatch) -> dict:
    """What `compare_streams.run` is asked for; it answers with one row without a tuned part."""
    found: dict = {}
    row = {'peer': 'online', 'accuracy': 0.98, 'accuracy_std': 0.01, 'frame_accuracy': 0.8}
    row |= {'map': 0.9, 'f1_at_10': 0.97, 'f1_at_25': 0.96, 'f1_at_50': 0.82, 'ece': 0.04}
    row |= {'time_to_detect_s': 0.24, 'missed_fraction': 0.03, 'false_alarms_per_min': 0.9}
    row |= {'tuned': None, 'ms_median': 0.2, 'ms_p95': 0.3, 'ratio': 1.0, 'parameters': 7}

    def run(config, _data, seeds, peers, _out, threads, validation):
        found.update(config=config.name, seeds=seeds, threads=threads, validation=validation)
        found['peers'] = {
            peer.name: (peer.recipe.get('epochs'), peer.recipe.get('window')) for peer in peers
        }
        return {'rows': [row]}

    monkeypatch.setattr(compare_streams, 'run', run)
    return found


@pytest.mark.parametrize(
    ('arguments', 'windows', 'epochs'),
    [
        (['--window', '2', '--epochs', '3'], (2, 2), 3),
        (['--window', 'lstm+aug=.4,ddnet+aug=1.5', '--epochs', '3'], (0.4, 1.5), 3),
    ],
)
def test_windows_and_epochs_of_peers_on_streams(tmp_path, asked, arguments, windows, epochs):
    assert main([*STREAM_PEERS, '--data', str(tmp_path), *arguments]) == 0
    assert asked['peers'] == {
        'lstm+aug': (epochs, windows[0]),
        'ddnet+aug': (epochs, windows[1]),
        'online': (epochs, None),
    }
    assert (asked['config'], asked['seeds'], asked['validation']) == ('online_precog', 1, False)


def test_peers_on_streams_print_a_table(tmp_path, asked, capsys):
    arguments = ['--data', str(tmp_path), '--validation', '--json', str(tmp_path / 'f.json')]
    assert main([*STREAM_PEERS, *arguments]) == 0
    assert asked['validation']
    heading, _, line = capsys.readouterr().out.splitlines()
    assert heading.startswith('| peer | segments | std | frames | mAP | F1@10 | F1@25 | F1@50 |')
    assert line == (
        '| online | 0.980 | 0.010 | 0.800 | 0.900 | 0.970 | 0.960 | 0.820 | 0.24 | 0.030 | 0.90 |'
        ' - | - | - | 0.040 | 0.200 | 0.300 | 1.00 | 7 |'
    )
    assert json.loads((tmp_path / 'f.json').read_text())['rows'][0]['f1_at_50'] == 0.82


def test_published_weights_take_the_place_of_our_model_on_streams(tmp_path, asked):
    arguments = ['--data', str(tmp_path), '--ours', 'online_precog']
    assert main([*STREAM_PEERS, *arguments]) == 0
    assert list(asked['peers']) == ['lstm+aug', 'ddnet+aug', 'online_precog']


def test_recognizer_prints_a_row_for_each_stream(tmp_path, monkeypatch, capsys):
    run = recognizer.run
    monkeypatch.setattr(recognizer, 'run', lambda *args: run(*args, rounds=1))
    path = tmp_path / 'f.json'
    assert main(['benchmark', 'recognizer', '--people', '2', '--json', str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(' | ')[0] for line in lines[2:]] == [
        '| update',
        '| step',
        '| lstm',
        '| ddnet',
    ]
    assert json.loads(path.read_text()).keys() >= {
        'ms_median',
        'ms_p95',
        'fps',
        'peer',
        'ratio',
        'device',
        'threads',
    }


FIGURES = {
    'rows': [
        {'what': 'openvino bfloat16', 'network_ms': 5, 'ms_median': 6, 'ms_p95': 7, 'fps': 166.7}
        | {'ratio': 1.0, 'pck': 0.5},
        {'what': 'lightning', 'ms_median': 9, 'ms_p95': 9, 'fps': 111, 'ratio': 1.5, 'pck': None},
    ],
    'stages': [{'stages': 1, 'runtime': 'r', 'ms_median': 4, 'ms_p95': 5, 'pck': None}],
    'people': [{'what': 'decode', 'people': 5, 'ms_median': 1, 'ms_p95': 2, 'ratio': 1.1}],
    'gpu': [],
    'bounds': [{'chip': 'Orin', 'gflop': 3.3, 'bound_ms': 0.4}],
}


def test_pose_prints_its_tables(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(pose, 'run', lambda *args: calls.append(args) or FIGURES)
    path = tmp_path / 'f.json'
    peers = ['--movenet', 'a.onnx', '--movenet', 'b.onnx', '--mediapipe-python', 'python']
    assert main(['benchmark', 'pose', *peers, '--json', str(path)]) == 0
    movenet, mediapipe = [Path('a.onnx'), Path('b.onnx')], (Path('python'), None)
    assert calls == [('pose', 'auto', 2, 224, None, 300, movenet, mediapipe)]
    lines = capsys.readouterr().out.splitlines()
    assert '| openvino bfloat16 | 5.00 | 6.00 | 7.00 | 167 | 1.00 | 0.500 |' in lines
    assert '| lightning | - | 9.00 | 9.00 | 111 | 1.50 | - |' in lines
    assert '| decode | 5 | 1.00 | 2.00 | 1.10 |' in lines
    assert '| Orin | 3.30 | 0.40 |' in lines
    assert lines[-1] == 'No GPU was measured: the device is the CPU.'
    assert json.loads(path.read_text())['rows'] == FIGURES['rows']


def test_model_of_mediapipe_without_its_python_is_an_error(capsys):
    assert main(['benchmark', 'pose', '--mediapipe-model', 'x.task']) == 1
    assert 'needs --mediapipe-python' in capsys.readouterr().err


def test_weights_that_do_not_exist_are_one_line(capsys):
    assert main(['benchmark', 'recognizer', '--model', 'nobody']) == 1
    assert capsys.readouterr().err.count('\n') == 1
