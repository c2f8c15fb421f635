"""`train` and `evaluate`: arguments, and one line for what cannot be done."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from action_recognition import resources, weights
from action_recognition.cli import evaluate, main, train
from action_recognition.datasets import jhmdb
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.people import Person
from action_recognition.evaluation import action, online, pose, robustness, video
from action_recognition.evaluation.estimated import JointCache
from action_recognition.pose import estimator
from action_recognition.pose.heads import PoseNetwork
from action_recognition.training import action as train_action


@pytest.mark.parametrize('task', ['pose', 'action'])
def test_train_needs_a_config_and_data_that_exist(tmp_path, capsys, task):
    missing = tmp_path / 'missing.yaml'
    assert main(['train', task, '--data', str(tmp_path), '--config', str(missing)]) == 1
    assert f'config {missing} does not exist' in capsys.readouterr().err


def test_training_on_a_folder_without_data_is_one_line(tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['train', 'action', '--data', str(tmp_path), '--out', str(out)]) == 1
    assert capsys.readouterr().err.count('\n') == 1


@pytest.mark.parametrize(('arguments', 'seed'), [([], None), (['--seed', '2'], 2)])
def test_train_action_takes_a_seed_and_a_cache(tmp_path, monkeypatch, capsys, arguments, seed):
    asked = []
    monkeypatch.setattr(train_action, 'run', lambda *args: asked.append(args) or tmp_path / 'w')
    config = tmp_path / 'c.yaml'
    config.touch()
    data = ['--data', str(tmp_path), '--config', str(config), '--out', str(tmp_path)]
    cache = ['--cache', str(tmp_path / 'cache')]
    assert main(['train', 'action', *data, *cache, *arguments]) == 0
    joints = JointCache(tmp_path / 'cache')
    assert asked == [(config, tmp_path, tmp_path, False, seed, joints)]
    assert capsys.readouterr().out == f'weights: {tmp_path / "w"}\n'


def test_a_seed_below_0_is_one_line_before_the_work(tmp_path, capsys):
    assert main(['train', 'action', '--data', str(tmp_path), '--seed', '-1']) == 1
    error = capsys.readouterr().err
    assert 'seed must be a whole number from 0 to' in error
    assert error.count('\n') == 1


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


def evaluate_action(tmp_path, *arguments) -> int:
    return main(['evaluate', 'action', '--data', str(tmp_path), *arguments])


@pytest.fixture
def asked(monkeypatch):
    """What the evaluations were asked, and figures that say which one answered."""
    calls = []

    def stand_in(name):
        def run(*args):
            calls.append((name, *args))
            return {'who': name}

        return run

    for module in (action, online, robustness):
        monkeypatch.setattr(module, 'run', stand_in(module.__name__.rpartition('.')[2]))
    return calls


def test_one_model_of_the_set_by_default_and_several_on_demand(tmp_path, asked):
    assert evaluate_action(tmp_path, '--set', 'jhmdb14', '--split', '2') == 0
    arguments = ['--set', 'penn', '--model', 'a', '--model', 'b']
    assert evaluate_action(tmp_path, *arguments) == 0
    assert asked == [
        ('action', 'jhmdb14', tmp_path, ['online_jhmdb14_split2'], 2, None, None, JointCache()),
        ('action', 'penn', tmp_path, ['a', 'b'], 1, None, None, JointCache()),
    ]


def test_precog_is_scored_as_a_continuous_set(tmp_path, asked):
    assert evaluate_action(tmp_path, '--set', 'precog') == 0
    assert asked == [('online', tmp_path, ['online_precog'], None)]


def test_robustness_and_report(tmp_path, asked):
    report = tmp_path / 'new' / 'report'
    cache = tmp_path / 'cache'
    arguments = ['--set', 'jhmdb21', '--joints', 'estimated', '--model', 'a']
    arguments += ['--cache', str(cache)]
    assert evaluate_action(tmp_path, *arguments, '--robustness', '--report', str(report)) == 0
    assert asked == [
        ('action', 'jhmdb21', tmp_path, ['a'], 1, 'estimated', report, JointCache(cache)),
        ('robustness', 'jhmdb21', tmp_path, ['a'], 1, 'estimated', JointCache(cache)),
    ]
    written = json.loads((report / 'figures.json').read_text())
    assert written == {'who': 'action', 'robustness': {'who': 'robustness'}}


def test_videos_are_scored_by_the_recogniser_and_the_pose_network_asked_for(
    tmp_path, monkeypatch, asked
):
    monkeypatch.setattr(video, 'run', action.run)  # the stand-in
    report = tmp_path / 'report'
    arguments = ['--data', str(tmp_path), '--json', str(tmp_path / 'f.json')]
    assert main(['evaluate', 'video', *arguments]) == 0
    arguments += ['--model', 'a', '--model', 'b', '--split', '3', '--pose', 'p', '--device', 'cpu']
    arguments += ['--cache', str(tmp_path / 'c'), '--report', str(report)]
    assert main(['evaluate', 'video', *arguments]) == 0
    cache = JointCache(tmp_path / 'c', 'p', 'cpu')
    assert asked == [
        ('action', tmp_path, ['online_union32'], JointCache(), 1, None),
        ('action', tmp_path, ['a', 'b'], cache, 3, report),
    ]
    for path in (tmp_path / 'f.json', report / 'figures.json'):
        assert json.loads(path.read_text()) == {'who': 'action'}


@pytest.fixture
def jhmdb_videos(tmp_path, monkeypatch):
    """The folder of a JHMDB of two videos of each class, which somebody may be found in."""
    root = tmp_path / 'jhmdb'
    for label in jhmdb.CLASSES:
        for k in range(2):
            path = root / 'ReCompress_Videos' / label / f'{k}.mp4'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for split in jhmdb.SPLITS:
            path = root / 'splits' / f'{label}_test_split{split}.txt'
            path.parent.mkdir(exist_ok=True)
            path.write_text('0.avi 1\n1.avi 2\n')

    def clip(v):
        xy = np.random.default_rng(0).uniform(0, 100, (5, 14, 2))
        stamps = np.arange(5) * 10**8
        return SkeletonClip(v.name, v.label, v.group, xy, np.ones((5, 14)), stamps, (100, 100))

    monkeypatch.setattr(JointCache, 'clips', lambda _self, videos: [clip(v) for v in videos])
    return root


@pytest.mark.parametrize(
    ('split', 'name'), [(1, 'online_jhmdb21_video'), (2, 'online_jhmdb21_video_split2')]
)
def test_videos_of_each_split_of_jhmdb_are_scored_by_default(
    tmp_path, jhmdb_videos, capsys, split, name
):
    figures = tmp_path / 'f.json'
    arguments = ['--data', str(jhmdb_videos), '--split', str(split), '--json', str(figures)]
    assert main(['evaluate', 'video', *arguments]) == 0, capsys.readouterr().err
    written = json.loads(figures.read_text())
    assert (written['model'], written['split'], written['n']) == (name, split, 21)


@pytest.mark.parametrize(
    'arguments', [['--split', '2'], ['--joints', 'truth'], ['--robustness']], ids=' '.join
)
def test_what_precog_does_not_have_is_refused(tmp_path, capsys, asked, arguments):
    assert evaluate_action(tmp_path, '--set', 'precog', *arguments) == 1
    assert 'precog takes neither' in capsys.readouterr().err
    assert asked == []


def test_a_report_that_cannot_be_written_is_one_line_before_the_work(tmp_path, capsys, asked):
    (tmp_path / 'file').touch()
    report = str(tmp_path / 'file' / 'report')
    assert evaluate_action(tmp_path, '--set', 'penn', '--report', report) == 1
    error = capsys.readouterr().err
    assert 'cannot write' in error
    assert error.count('\n') == 1
    assert asked == []


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
    assert set(sizes) == {96}  # also while it warms up
    written = json.loads(figures.read_text())
    assert (written['model'], written['n'], written['device']) == ('tiny', 2, 'cpu')
    assert written.keys() >= {'pck_limb12', 'pck_all14', 'per_joint', 'ms_per_image'}
