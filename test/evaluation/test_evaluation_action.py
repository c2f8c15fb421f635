"""Figures of `evaluate action` on hand-made probabilities, and on a model's own answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.datasets import jhmdb
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation import action, sets
from action_recognition.evaluation.action import (
    clip_beginning,
    clip_logits,
    enter,
    figures,
    load_entrants,
    run,
)
from action_recognition.evaluation.sets import default_model
from action_recognition.recognition.base import softmax
from action_recognition.recognition.features import online_features
from action_recognition.recognition.labels import LabelConfig
from action_recognition.recognition.models import OnlineRecognizer, PaperRecognizer

LABELS = ('run', 'sit')


def clip(label: str, steps: int, seed: int = 0) -> SkeletonClip:
    rng = np.random.default_rng(seed)
    return SkeletonClip(
        name=f'{label}/{seed}',
        label=label,
        group=str(seed),
        xy=rng.uniform(0, 100, (steps, 14, 2)).astype(np.float32),
        score=np.ones((steps, 14), np.float32),
        stamps=np.arange(steps) * 100_000_000,
        image_size=(100, 100),
    )


def sure_of_run(values: list[float]) -> np.ndarray:
    p = np.array(values, np.float32)
    return np.stack([p, 1 - p], 1)


def test_figures_by_hand():
    clips = [clip('run', 10), clip('run', 10, 1), clip('sit', 10, 2)]
    probabilities = [
        sure_of_run([0.45] * 5 + [0.9] * 5),  # right from the sixth frame
        sure_of_run([0.9] * 5 + [0.1] * 5),  # wrong in the end
        sure_of_run([0.2] * 10),  # right throughout
    ]
    config = LabelConfig(enter=0.6, exit=0.3, dwell=0.2)
    out = figures(clips, probabilities, LABELS, config)
    assert out['n'] == 3
    assert out['accuracy'] == pytest.approx(2 / 3)
    assert list(out['accuracy_at']) == [str(round(0.1 * k, 1)) for k in range(1, 11)]
    assert out['accuracy_at']['0.5'] == pytest.approx(2 / 3)
    assert out['accuracy_at']['1.0'] == out['accuracy']
    assert out['per_class'] == {'run': 0.5, 'sit': 1.0}
    # The first clip never publishes the doubtful 'sit', the second changes its mind.
    assert out['flips_per_clip'] == pytest.approx(1 / 3)
    assert out['raw_flips_per_clip'] == pytest.approx(2 / 3)
    # at the end: .9 right, .9 wrong share a bin; .8 right
    assert out['ece'] == pytest.approx((2 * 0.4 + 0.2) / 3, abs=1e-6)


def test_a_clip_in_which_nobody_was_found_is_wrong_whatever_the_answer():
    seen = clip('run', 4)
    unseen = replace(seen, xy=np.full_like(seen.xy, np.nan), score=np.zeros_like(seen.score))
    out = figures([seen, unseen], [sure_of_run([0.9] * 4)] * 2, LABELS)
    assert out['accuracy'] == 0.5
    assert set(out['accuracy_at'].values()) == {0.5}


@torch.inference_mode()
def test_online_answers_are_those_of_each_clip_alone():
    torch.manual_seed(0)
    model = OnlineRecognizer(2, units=8).eval()
    clips = [clip('run', steps, steps) for steps in (20, 5, 12)]
    answers = clip_logits(model, clips, batch=2)
    for c, answer in zip(clips, answers, strict=True):
        x = torch.from_numpy(online_features(c.xy, c.score, c.stamps))
        np.testing.assert_allclose(answer, model(x[None])[0], atol=1e-5)


@torch.inference_mode()
def test_paper_model_answers_on_beginnings_and_each_answer_stands():
    torch.manual_seed(0)
    model = PaperRecognizer(2, units=8).eval()
    clips = [clip('run', 20, 1), clip('sit', 4, 2)]
    answers = clip_logits(model, clips, asked=(0.5, 1.0))
    for c, answer in zip(clips, answers, strict=True):
        half = len(c) // 2 - 1
        for last in (half, len(c) - 1):
            x = torch.from_numpy(clip_beginning(c, last))[None]
            np.testing.assert_allclose(answer[last], model(x)[0], atol=1e-5)
        assert (answer[: len(c) - 1] == answer[half]).all()


def save(folder, labels, name='w', seed=0, **training) -> str:
    """Weights of a small model with these labels; returns their path."""
    torch.manual_seed(seed)
    model = OnlineRecognizer(len(labels), units=8)
    config = {'model': 'online', 'units': 8}
    header = weights.Header('action', name, config, tuple(labels), training=training)
    path = folder / f'{name}{seed}.safetensors'
    weights.save(path, model.state_dict(), header)
    return str(path)


def test_a_model_is_not_scored_on_clips_it_was_trained_on(tmp_path):
    path = save(tmp_path, LABELS, split=1)
    with pytest.raises(UserError, match='trained on split 1: of split 2 it knows test clips'):
        run('jhmdb21', tmp_path, [path], split=2)


@pytest.mark.parametrize('joints', ['best', 'estimated'])
@pytest.mark.parametrize('set_name', ['jhmdb14', 'jhmdb21'])
def test_weights_that_ship_for_a_split_may_be_asked_about_it(set_name, joints):
    for split in jhmdb.SPLITS:
        name = default_model(set_name, split, joints)
        ((header, _),) = load_entrants([name], sets.SETS[set_name], split)
        assert (header.name, header.training['split']) == (name, split)


@pytest.fixture
def penn_of_three(monkeypatch):
    """Stands for Penn Action: three classes, one clip of each, and one more serve."""
    labels = ('pullup', 'tennis_forehand', 'tennis_serve')
    clips = [clip(labels[k % 3], 12 + k, k) for k in range(4)]
    clips[3] = clip('tennis_serve', 15, 3)
    monkeypatch.setitem(sets.SETS, 'penn', labels)
    monkeypatch.setattr(action, 'load_set', lambda *asked: clips)
    return clips


def test_a_model_of_more_labels_answers_among_those_of_the_set(tmp_path, penn_of_three):
    labels = ('background', 'tennis_serve', 'sit', 'pull_up', 'tennis_forehand')
    path = save(tmp_path, labels)
    contest = enter('penn', tmp_path, [path])
    assert contest.classes == ('pullup', 'tennis_forehand', 'tennis_serve')
    _, network = contest.entrants[0]
    for got, logits in zip(
        contest.answers(0, contest.clips), clip_logits(network, contest.clips), strict=True
    ):
        wanted = softmax(logits[:, [3, 4, 1]], network.temperature)
        np.testing.assert_allclose(got, wanted, atol=1e-6)
    out = run('penn', tmp_path, [path])
    assert (out['model'], out['set'], out['classes'], out['n']) == ('w', 'penn', 3, 4)
    assert (out['seeds'], out['accuracy_std']) == (1, None)
    assert set(out['per_class']) == set(contest.classes)


def test_a_model_that_joins_two_classes_is_asked_for_both_together(tmp_path, penn_of_three):
    path = save(tmp_path, ('pull_up', 'run', 'tennis_stroke'))
    contest = enter('penn', tmp_path, [path])
    assert contest.classes == ('pullup', 'tennis_stroke')
    assert [c.label for c in contest.clips] == ['pullup', *['tennis_stroke'] * 3]
    assert run('penn', tmp_path, [path])['classes'] == 2


def test_the_mean_over_seeds(tmp_path, penn_of_three):
    labels = ('pullup', 'tennis_forehand', 'tennis_serve')
    paths = [save(tmp_path, labels, seed=seed) for seed in (1, 2, 3)]
    alone = [run('penn', tmp_path, [path]) for path in paths]
    out = run('penn', tmp_path, paths)
    accuracies = [result['accuracy'] for result in alone]
    assert (out['model'], out['seeds'], out['n']) == ('w', 3, 4)
    assert out['accuracy'] == pytest.approx(np.mean(accuracies))
    assert out['accuracy_std'] == pytest.approx(np.std(accuracies, ddof=1))
    assert out['ece'] == pytest.approx(np.mean([result['ece'] for result in alone]))
    joining = save(tmp_path, ('pullup', 'tennis_stroke'), 'other')
    with pytest.raises(UserError, match='w and other tell different classes apart'):
        run('penn', tmp_path, [paths[0], joining])


def test_how_much_of_the_estimated_joints_taught_the_pose_network(tmp_path, monkeypatch):
    # Of the clips of JHMDB alone, here those of the classes that are scored; of split 1 a and b.
    parts = {
        (1, 'train'): ['pullup/a', 'sit/b'],
        (1, 'test'): ['pullup/c', 'pullup/d'],
        (2, 'test'): ['pullup/a', 'pullup/c', 'sit/b'],
    }
    monkeypatch.setattr(action.jhmdb, 'clip_names', lambda root, split, part: parts[split, part])
    monkeypatch.setitem(sets.SETS, 'jhmdb14', ('pullup',))

    def load(set_name, data, part, split, *_):
        names = [name for name in parts[split, part] if name.startswith('pullup')]
        return [replace(clip('pullup', 12, k), name=n) for k, n in enumerate([*names, '7'])]

    monkeypatch.setattr(action, 'load_set', load)
    path = save(tmp_path, ('pullup', 'sit'))
    shares = [run('jhmdb14', tmp_path, [path], split, 'estimated') for split in (1, 2)]
    assert [found['pose_trained_on_fraction'] for found in shares] == [0, 0.5]
    assert 'pose_trained_on_fraction' not in run('jhmdb14', tmp_path, [path], 2, 'truth')


def test_pictures_of_the_figures(tmp_path, penn_of_three):
    labels = ('pullup', 'tennis_forehand', 'tennis_serve')
    paths = [save(tmp_path, labels, seed=seed) for seed in (1, 2)]
    folder = tmp_path / 'report'
    folder.mkdir()
    run('penn', tmp_path, paths, report=folder)
    assert {path.name for path in folder.iterdir()} == {
        'confusion.png',
        'reliability.png',
        'accuracy_at.png',
    }
