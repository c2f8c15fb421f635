"""Training of recognisers on a task small enough to learn in seconds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_recipes import LABELS, clips, config

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.errors import UserError
from action_recognition.evaluation.action import clip_logits
from action_recognition.recognition.base import softmax
from action_recognition.recognition.batch_renorm import set_progress
from action_recognition.recognition.ensemble import OnlineEnsemble
from action_recognition.recognition.models import create_model, load_recognizer
from action_recognition.training import action, loop
from action_recognition.training.action_config import ENTRIES, ActionConfig
from action_recognition.training.action_data import Sampler
from action_recognition.training.action_loss import loss_of
from action_recognition.training.augment import AMOUNTS, Augmentation
from action_recognition.training.background import Background
from action_recognition.training.tasks import fit_temperature

ROOT = Path(__file__).resolve().parent.parent.parent


def test_training_learns_and_writes_weights_that_load(tmp_path, sets):
    settings = config(tmp_path, 'online', epochs=8, licence='Our own recordings.')
    path = action.run(settings, tmp_path, tmp_path / 'out')
    header, network = load_recognizer(str(path))
    assert (header.labels, header.licence) == (LABELS, 'Our own recordings.')
    assert network.temperature == pytest.approx(header.config['temperature'], abs=1e-4)
    assert header.metrics['jhmdb14_accuracy'] >= 0.9
    assert header.metrics['jhmdb14_n'] == 16
    mean = json.loads((tmp_path / 'out' / 'figures.json').read_text())
    accuracy = mean['test']['jhmdb14']['accuracy']
    assert accuracy == pytest.approx(header.metrics['jhmdb14_accuracy'], abs=1e-4)
    for stage in ('validated', 'refit'):
        rows = (tmp_path / 'out' / 'seed0' / stage / 'curves.csv').read_text().splitlines()
        assert len(rows) == 9
        assert (tmp_path / 'out' / 'seed0' / stage / 'curves.png').stat().st_size > 1000


def test_seeds_may_be_trained_one_by_one_into_one_folder(tmp_path, sets):
    settings = config(tmp_path, 'online', seeds=[0, 1], epochs=2, refit=False)
    out = tmp_path / 'out'
    other = action.run(settings, tmp_path, out, seed=1)
    assert other == out / 'seed1' / 'tiny.safetensors'
    assert not (out / 'tiny.safetensors').exists()
    assert json.loads((out / 'figures.json').read_text())['seeds'] == [1]
    action.run(settings, tmp_path, out, seed=0)
    assert load_recognizer(str(out / 'tiny.safetensors'))[0].training['seed'] == 0
    mean = json.loads((out / 'figures.json').read_text())
    temperatures = [
        json.loads((out / f'figures_seed{seed}.json').read_text())['temperature'] for seed in (0, 1)
    ]
    assert mean['seeds'] == [0, 1]
    assert mean['temperature'] == pytest.approx(np.mean(temperatures))
    together = tmp_path / 'together'
    action.run(settings, tmp_path, together)
    for name in ('figures_seed0.json', 'figures_seed1.json', 'figures.json'):
        assert (together / name).read_text() == (out / name).read_text()


def test_an_ensemble_of_all_seeds_is_published_once_they_are_there(tmp_path, sets):
    settings = config(tmp_path, 'online', seeds=[0, 1], epochs=4, ensemble=True)
    out = tmp_path / 'out'
    assert action.run(settings, tmp_path, out, seed=1) == out / 'seed1' / 'tiny.safetensors'
    assert not (out / 'figures_ensemble.json').exists()
    path = action.run(settings, tmp_path, out, seed=0)
    header, model = load_recognizer(str(path))
    assert isinstance(model, OnlineEnsemble)
    members = [load_recognizer(str(out / f'seed{k}' / 'tiny.safetensors'))[1] for k in (0, 1)]
    assert model.temperatures == tuple(member.temperature for member in members)
    for mine, member in zip(model.members, members, strict=True):
        for key, value in member.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[key], value)
    found = json.loads((out / 'figures_ensemble.json').read_text())
    assert found['seeds'] == header.training['seeds'] == [0, 1]
    assert 'seed' not in header.training
    assert model.temperature == pytest.approx(found['temperature'], abs=1e-4)
    accuracy = found['test']['jhmdb14']['accuracy']
    assert accuracy == pytest.approx(header.metrics['jhmdb14_accuracy'], abs=1e-4)
    assert accuracy >= 0.8
    # The temperature is of models that had not seen what it is fitted to.
    answers = [clip_logits(member, sets['test'], asked=(1.0,)) for member in members]
    p = np.mean(
        [
            [softmax(logits[-1], member.temperature) for logits in answer]
            for answer, member in zip(answers, members, strict=True)
        ],
        axis=0,
    )
    together = [softmax(x[-1], 1.0) for x in clip_logits(model, sets['test'], asked=(1.0,))]
    np.testing.assert_allclose(together, p, atol=1e-5)


@pytest.mark.parametrize(
    ('model', 'changes', 'message'),
    [
        ('online', {'seeds': [0]}, 'several seeds'),
        ('online', {'seeds': [1, 1]}, 'several seeds'),
        ('paper', {'seeds': [0, 1]}, 'the online model'),
        ('ensemble', {'seeds': [0, 1]}, 'the online model'),
    ],
)
def test_ensembles_that_cannot_be_are_refused(tmp_path, model, changes, message):
    with pytest.raises(UserError, match=message):
        ActionConfig.load(config(tmp_path, model, ensemble=True, **changes))


def test_the_paper_model_trains_by_the_same_loop(tmp_path, sets):
    settings = config(tmp_path, 'paper', epochs=10, refit=False, learning_rate=0.003)
    path = action.run(settings, tmp_path, tmp_path / 'out')
    header, _ = load_recognizer(str(path))
    assert header.config['model'] == 'paper'
    with (tmp_path / 'out' / 'seed0' / 'validated' / 'curves.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]['loss']) < 0.8 * float(rows[0]['loss'])
    assert not (tmp_path / 'out' / 'seed0' / 'refit').exists()


def stopping(sampler, limit):
    """The sampler, made to break off when epoch number `limit` begins."""

    class Stop(Exception):
        pass

    plan, begun = sampler.plan, 0

    def count(rng):
        nonlocal begun
        if begun == limit:
            raise Stop
        begun += 1
        return plan(rng)

    sampler.plan = count
    return Stop


@pytest.mark.parametrize('mixed', [False, True], ids=['clips', 'strings and background'])
def test_a_stopped_run_resumes_exactly(tmp_path, sets, people, recordings, mixed):
    changes = {'strings': 0.3, 'background': 0.3} if mixed else {}
    settings = ActionConfig.load(config(tmp_path, 'online', **changes))
    labels = (*LABELS, BACKGROUND_LABEL)

    def fit(out, limit=None, resume=False):
        background = Background(people, recordings) if mixed else None
        sampler = Sampler(settings, sets['train'], labels, {}, background)
        stop = stopping(sampler, limit)
        try:
            return action.fit(settings, 0, sampler, labels, (), tmp_path / out, resume)
        except stop:
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


def test_a_run_is_resumed_with_its_own_data_alone(tmp_path, sets):
    settings = ActionConfig.load(config(tmp_path, 'online', epochs=1))
    sampler = Sampler(settings, sets['train'], LABELS, {})

    def fit(data, resume=True):
        return action.fit(settings, 0, sampler, LABELS, (), tmp_path / 'out', resume, data=data)

    fit({'estimated joints': 'these'}, resume=False)
    fit({'estimated joints': 'these'})
    with pytest.raises(UserError, match='was trained with other estimated joints: bring those'):
        fit({'estimated joints': 'those'})


def test_training_is_a_plain_loop_on_one_device(tmp_path, sets):
    settings = ActionConfig.load(config(tmp_path, 'online', epochs=2))
    sampler = Sampler(settings, sets['train'], LABELS, {})
    average = action.fit(settings, 0, sampler, LABELS, (), tmp_path / 'out', False)

    loop.seed_everything(0)
    model = create_model('online', 2, **settings.settings)
    ema = loop.Ema(model, settings.ema)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=settings.weight_decay)
    for epoch in range(2):
        rng = loop.seed_everything(0, epoch)
        model.train()
        for step, batch in enumerate(sampler.batches(rng)):
            progress = (6 * epoch + step) / 12
            set_progress(model, progress)
            rate = settings.learning_rate * loop.cosine(progress, settings.warm_up)
            optimiser.param_groups[0]['lr'] = rate
            optimiser.zero_grad()
            loss_of(model, batch, settings)[0].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_gradient)
            optimiser.step()
            ema.update(model)
    for mine, theirs in zip(average.parameters(), ema.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    logits = rng.normal(0, 1, (400, 3, 2)).astype(np.float32)
    logits += np.eye(2, dtype=np.float32)[truth][:, None] * 1.0
    labelled = [replace(c, label=LABELS[k]) for c, k in zip(clips(400, 0), truth, strict=True)]
    plain = fit_temperature(list(logits), labelled, LABELS)
    loud = fit_temperature(list(logits * 4), labelled, LABELS)
    assert loud == pytest.approx(4 * plain, rel=1e-2)


@pytest.mark.parametrize(
    'name',
    [
        'paper_union32',
        'online_union32',
        'online_union32_split2',
        'online_union32_split3',
        'online_precog',
    ],
)
def test_published_configs_load(name):
    settings = ActionConfig.load(ROOT / 'config' / 'train' / f'{name}.yaml')
    assert settings.name == name
    assert settings.augmentation != Augmentation()
    create_model(settings.model, 32, **settings.settings)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'epoch': 3}, 'cannot use training config.*epoch'),
        ({'epochs': 0}, 'epochs must be a whole number from 1 on, not 0'),
        ({'epochs': 2.5}, 'epochs must be a whole number'),
        ({'batch': '64'}, "batch must be a whole number from 1 on, not the text '64'"),
        ({'learning_rate': '2e-3'}, "learning_rate must be a number above 0, not the text '2e-3'"),
        ({'weight_decay': -1}, 'weight_decay must be a number from 0 on, not -1'),
        ({'warm_up': 1.0}, 'warm_up must be a number from 0 to below 1'),
        ({'label_smoothing': 2}, 'label_smoothing must be a number from 0 to 1, not 2'),
        ({'mixup': -0.1}, 'mixup must be a number from 0 on'),
        ({'mixup': None}, 'mixup must be a number from 0 on, not None'),
        ({'threads': 10**9}, 'threads must be a whole number from 1 to 1024'),
        ({'refit': 'no'}, 'refit must be true or false'),
        ({'name': '../elsewhere'}, 'must be a plain file name'),
        ({'name': 3}, 'must be a plain file name, not 3'),
        ({'licence': None}, 'licence must be a text, not None'),
        ({'augmentation': {'blur': 1}}, 'blur'),
        ({'augmentation': None}, 'augmentation must hold entries'),
        (
            {'augmentation': {'speed': 0}},
            r'augmentation\.speed must be a number from 1 to 10, not 0',
        ),
        ({'settings': [3]}, 'settings must hold entries'),
        ({'settings': {'layers': -1}}, 'layers must be a whole number from 1 to 16, not -1'),
        ({'settings': {'layers': 0}}, 'layers must be a whole number from 1 to 16, not 0'),
        ({'settings': {'layers': 'two'}}, "layers must be .*, not the text 'two'"),
        ({'settings': {'heads': 2}}, "unexpected keyword argument 'heads'"),
        ({'settings': {'inputs': 5}}, r'settings\.inputs cannot be chosen: leave it out'),
        ({'model': 'transformer'}, 'unknown recogniser'),
        ({'base': 3}, 'base must be the name of a file'),
        ({'validation': 1.5}, 'validation must be a number above 0 and below 1, not 1.5'),
        ({'seeds': []}, 'at least one seed'),
        ({'seeds': 3}, 'at least one seed, not 3'),
        ({'seeds': [0, -1]}, r'seeds\[1\] must be a whole number from 0 to .*, not -1'),
        ({'seeds': ['a']}, 'seeds.* must be a whole number'),
        ({'split': 4}, 'split must be a whole number from 1 to 3, not 4'),
        ({'set': 'jhmdb14', 'split': 'b'}, 'split must be a whole number from 1 to 3'),
        ({'precision': [16]}, 'float32 or bfloat16'),
        ({'precision': 'float16'}, 'float32 or bfloat16'),
        ({'set': 'ucf'}, 'unknown set'),
        ({'labels': 'fine'}, 'fine. for union32'),
        ({'strings': 0.6, 'background': 0.5}, 'at most 1'),
        ({'model': 'paper', 'strings': 0.1}, 'for the online model'),
        ({'set': 'precog'}, 'max_frames'),
    ],
)
def test_wrong_configs_are_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        ActionConfig.load(config(tmp_path, **{'model': 'online', **changes}))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('seed', [-1, 2**32, 0.5, '0'])
def test_a_wrong_seed_is_refused_before_the_work(tmp_path, seed):
    with pytest.raises(UserError, match='seed must be a whole number from 0 to'):
        action.run(config(tmp_path, 'online'), tmp_path / 'no data', tmp_path / 'out', seed=seed)
    assert not (tmp_path / 'out').exists()


def test_every_number_of_a_config_has_a_range():
    """And one that the default lies in: a config of defaults can be made."""
    settings = ActionConfig('t', 'online')
    numbers = {k for k, v in vars(settings).items() if isinstance(v, (bool, int, float))}
    assert numbers == ENTRIES.keys()
    assert vars(settings.augmentation).keys() == AMOUNTS.keys()


@pytest.mark.parametrize('bases', [['a.yaml'], ['b.yaml', 'a.yaml']], ids=len)
def test_a_config_that_is_a_base_of_itself_is_refused(tmp_path, bases):
    for name, base in zip(('a.yaml', 'b.yaml'), bases, strict=False):
        (tmp_path / name).write_text(f'base: {base}\n')
    with pytest.raises(UserError, match=r'a\.yaml is a base of itself'):
        ActionConfig.load(tmp_path / 'a.yaml')


def test_a_config_that_is_not_yaml_is_refused(tmp_path):
    path = tmp_path / 'c.yaml'
    for text in ('a: [', '', '[1, 2]', '3: 4'):
        path.write_text(text)
        with pytest.raises(UserError, match=r'cannot use training config .*c\.yaml'):
            ActionConfig.load(path)
