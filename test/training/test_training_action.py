"""Training of recognisers on a task small enough to learn in seconds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.recognition.features import ELAPSED, ONLINE_FEATURES
from action_recognition.recognition.models import create_model, load_recognizer
from action_recognition.training import action
from action_recognition.training.augment import Augmentation

ROOT = Path(__file__).resolve().parent.parent.parent
LABELS = ('left', 'right')


def clips(count: int, seed: int) -> list[SkeletonClip]:
    """People moving to the left or to the right."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(count):
        steps = int(rng.integers(8, 15))
        way = np.array([[-3.0, 0.0], [3.0, 0.0]])[k % 2]
        xy = rng.uniform(0, 100, (14, 2)) + np.arange(steps)[:, None, None] * way
        out.append(
            SkeletonClip(
                name=f'{LABELS[k % 2]}/{seed}-{k}',
                label=LABELS[k % 2],
                group=f'{seed}-{k}',
                xy=(xy + rng.normal(0, 0.3, xy.shape)).astype(np.float32),
                score=np.ones((steps, 14), np.float32),
                stamps=np.arange(steps) * 33_333_333,
                image_size=(100, 100),
            )
        )
    return out


@pytest.fixture
def sets(monkeypatch):
    """The train and test part that every set has in this module."""
    parts = {'train': clips(48, 1), 'test': clips(16, 2)}
    monkeypatch.setattr(action, 'load_set', lambda _set, _data, part, _split: parts[part])
    return parts


def config(tmp_path: Path, model: str, **changes) -> Path:
    lines = {
        'name': 'tiny',
        'model': model,
        'settings': {'units': 8, 'dropout': 0.0},
        'set': 'jhmdb14',
        'epochs': 4,
        'batch': 8,
        'learning_rate': 0.01,
        'ema': 0.8,
        'augmentation': {'jitter': 0.01},
        **changes,
    }
    path = tmp_path / 'tiny.yaml'
    path.write_text(json.dumps(lines))  # JSON is YAML
    return path


def test_training_learns_and_writes_weights_that_load(tmp_path, sets):
    path = action.run(config(tmp_path, 'online', epochs=8), tmp_path, tmp_path / 'out')
    header, network = load_recognizer(str(path))
    assert header.labels == LABELS
    assert network.temperature == pytest.approx(header.config['temperature'], abs=1e-4)
    assert header.metrics['test_accuracy'] >= 0.9
    assert header.metrics['test_n'] == 16
    results = json.loads((tmp_path / 'out' / 'figures.json').read_text())
    assert [r['seed'] for r in results] == [0]
    assert results[0]['test']['accuracy'] == pytest.approx(header.metrics['test_accuracy'])
    for stage in ('validated', 'refit'):
        rows = (tmp_path / 'out' / 'seed0' / stage / 'curves.csv').read_text().splitlines()
        assert len(rows) == 9


def test_the_paper_model_trains_by_the_same_loop(tmp_path, sets):
    settings = config(tmp_path, 'paper', epochs=5, refit=False, learning_rate=0.003)
    path = action.run(settings, tmp_path, tmp_path / 'out')
    header, _ = load_recognizer(str(path))
    assert header.config['model'] == 'paper'
    with (tmp_path / 'out' / 'seed0' / 'validated' / 'curves.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]['loss']) < 0.8 * float(rows[0]['loss'])
    assert not (tmp_path / 'out' / 'seed0' / 'refit').exists()


def test_a_stopped_run_resumes_exactly(tmp_path, sets):
    settings = action.ActionConfig.load(config(tmp_path, 'online'))
    sampler = action.Sampler(settings, sets['train'], LABELS, {})

    def fit(out, limit=None, resume=False):
        class Stop(Exception):
            pass

        def batches(rng):
            nonlocal epoch
            if epoch == limit:
                raise Stop
            epoch += 1
            return action.Sampler.batches(sampler, rng)

        epoch = 0
        stopping = type('Stopping', (action.Sampler,), {})(settings, sets['train'], LABELS, {})
        stopping.batches = batches
        try:
            return action.fit(settings, 0, stopping, LABELS, (), tmp_path / out, resume)
        except Stop:
            return None

    whole = fit('whole')
    assert fit('stopped', limit=2) is None
    resumed = fit('stopped', resume=True)
    for mine, theirs in zip(
        whole.state_dict().values(), resumed.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    curves = [(tmp_path / out / 'curves.csv').read_text() for out in ('whole', 'stopped')]
    assert curves[0] == curves[1]


def test_batches_mask_what_is_padding(sets):
    settings = action.ActionConfig('t', 'online', batch=16)
    sampler = action.Sampler(settings, sets['train'], LABELS, {})
    batches = list(sampler.batches(np.random.default_rng(0)))
    assert sum(len(b.target) for b in batches) == 48
    lengths = sorted(n for b in batches for n in b.mask.sum(1).tolist())
    assert lengths == sorted(len(c) for c in sets['train'])
    for batch in batches:
        assert batch.x.shape[2] == ONLINE_FEATURES
        assert batch.mask.any(0).all()  # no column of padding alone
        assert (batch.x[..., ELAPSED][~batch.mask] == 0).all()


def test_teacher_joints_take_turns_with_the_truth(sets):
    settings = action.ActionConfig('t', 'online', teacher_share=0.5, batch=48)
    others = {c.name: replace(c, score=np.full_like(c.score, 0.25)) for c in sets['train'][:24]}
    sampler = action.Sampler(settings, sets['train'], LABELS, others)
    score = sampler.make(range(48), np.random.default_rng(0)).x[:, 0, -1]
    assert (score[24:] == 1).all()
    assert set(score[:24].tolist()) == {0.5, 1.0}


def test_frame_loss_ignores_padding_and_weighs_the_end(sets):
    settings = action.ActionConfig('t', 'online', final_share=1.0, label_smoothing=0.0)
    sampler = action.Sampler(settings, sets['train'], LABELS, {})
    batch = sampler.make(range(6), np.random.default_rng(0))
    model = create_model('online', 2, units=8).eval()
    loss, right = action.loss_of(model, batch, settings)
    last = batch.mask.sum(1) - 1
    logits = model(batch.x)[torch.arange(6), last]
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, batch.target))
    assert right == (logits.argmax(1) == batch.target).sum()
    garbage = batch._replace(x=torch.where(batch.mask[..., None], batch.x, 5.0))
    garbage.x[..., ELAPSED] = batch.x[..., ELAPSED]
    everything = replace(settings, final_share=0.3)
    torch.testing.assert_close(
        action.loss_of(model, garbage, everything)[0], action.loss_of(model, batch, everything)[0]
    )


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    logits = rng.normal(0, 1, (400, 3, 2)).astype(np.float32)
    logits += np.eye(2, dtype=np.float32)[truth][:, None] * 1.0
    labelled = [replace(c, label=LABELS[k]) for c, k in zip(clips(400, 0), truth, strict=True)]
    plain = action.fit_temperature(list(logits), labelled, LABELS)
    loud = action.fit_temperature(list(logits * 4), labelled, LABELS)
    assert loud == pytest.approx(4 * plain, rel=1e-2)


@pytest.mark.parametrize('name', ['paper_union32', 'online_union32'])
def test_published_configs_load(name):
    settings = action.ActionConfig.load(ROOT / 'config' / 'train' / f'{name}.yaml')
    assert settings.name == name
    assert settings.augmentation != Augmentation()
    create_model(settings.model, 32, **settings.settings)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'epoch': 3}, 'cannot use training config.*epoch'),
        ({'epochs': 0}, 'epochs must be positive'),
        ({'augmentation': {'blur': 1}}, 'blur'),
        ({'validation': 1.5}, 'validation must lie'),
        ({'seeds': []}, 'at least one seed'),
    ],
)
def test_wrong_configs_are_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        action.ActionConfig.load(config(tmp_path, 'online', **changes))


def test_a_config_that_is_not_yaml_is_refused(tmp_path):
    path = tmp_path / 'c.yaml'
    path.write_text('a: [')
    with pytest.raises(UserError, match='cannot use training config'):
        action.ActionConfig.load(path)
