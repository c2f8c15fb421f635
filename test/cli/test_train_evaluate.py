"""`train` and `evaluate`: arguments, and one line for what cannot be done."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from action_recognition import resources, weights
from action_recognition.cli import evaluate, main, train
from action_recognition.datasets.people import Person
from action_recognition.evaluation import pose
from action_recognition.pose import estimator
from action_recognition.pose.heads import PoseNetwork


@pytest.mark.parametrize('task', ['pose', 'action'])
def test_train_needs_a_config_and_data_that_exist(tmp_path, capsys, task):
    missing = tmp_path / 'missing.yaml'
    assert main(['train', task, '--data', str(tmp_path), '--config', str(missing)]) == 1
    assert f'config {missing} does not exist' in capsys.readouterr().err


def test_training_on_a_folder_without_data_is_one_line(tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['train', 'action', '--data', str(tmp_path), '--out', str(out)]) == 1
    assert capsys.readouterr().err.count('\n') == 1


def test_default_configs_exist():
    for name in train.DEFAULTS.values():
        resources.find(name)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--set', 'penn', '--model', 'nobody'], "no weights named 'nobody'"),
        (['--set', 'penn', '--model', '/nowhere/w.safetensors'], 'does not exist'),
    ],
)
def test_evaluating_weights_that_do_not_exist_is_one_line(tmp_path, capsys, arguments, message):
    assert main(['evaluate', 'action', '--data', str(tmp_path), *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    'arguments', [[], ['action'], ['action', '--set', 'ucf'], ['pose', '--set', 'penn']]
)
def test_wrong_arguments_exit_with_code_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(['evaluate', *arguments])
    assert caught.value.code == 2


def test_a_limit_below_one_is_refused(tmp_path, capsys):
    arguments = ['--set', 'lspet', '--data', str(tmp_path), '--limit', '0']
    assert main(['evaluate', 'pose', *arguments]) == 1
    assert '--limit must be at least 1, not 0' in capsys.readouterr().err


def test_figures_are_printed_and_written(tmp_path, monkeypatch, capsys):
    figures = {'accuracy': 0.5, 'accuracy_at': {'1.0': 0.5}, 'n': 2}
    monkeypatch.setattr(evaluate, '_action', lambda args: figures)
    path = tmp_path / 'figures.json'
    arguments = ['--set', 'penn', '--data', str(tmp_path), '--json', str(path)]
    assert main(['evaluate', 'action', *arguments]) == 0
    assert json.loads(path.read_text()) == figures
    assert 'accuracy_at' in capsys.readouterr().out


def test_evaluate_pose_scores_real_weights_at_the_size_asked_for(tmp_path, monkeypatch):
    torch.manual_seed(0)
    path = tmp_path / 'tiny.safetensors'
    header = weights.Header(kind='pose', name='tiny', config={'stages': 1})
    weights.save(path, PoseNetwork(1).state_dict(), header)
    jpeg = cv2.imencode('.jpg', np.zeros((120, 80, 3), np.uint8))[1].tobytes()
    xy = np.arange(28, dtype=np.float32).reshape(14, 2) * 3
    monkeypatch.setitem(pose.SETS, 'lspet', lambda root: [Person(jpeg, xy)] * 2)
    sizes = []
    fit = estimator.fit
    monkeypatch.setattr(
        estimator, 'fit', lambda image, size: sizes.append(size) or fit(image, size)
    )
    figures = tmp_path / 'figures.json'
    arguments = ['--set', 'lspet', '--data', str(tmp_path), '--model', str(path)]
    arguments += ['--device', 'cpu', '--input-size', '96', '--json', str(figures)]
    assert main(['evaluate', 'pose', *arguments]) == 0
    assert sizes == [96, 96]
    written = json.loads(figures.read_text())
    assert (written['model'], written['n'], written['device']) == ('tiny', 2, 'cpu')
    assert written.keys() >= {'pck_limb12', 'pck_all14', 'per_joint', 'ms_per_image'}
