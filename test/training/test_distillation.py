"""A model that learns from the models of an earlier run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from training_recipes import LABELS, config

from action_recognition.errors import UserError
from action_recognition.recognition.models import create_model, load_recognizer
from action_recognition.training import action
from action_recognition.training.distillation import earlier_models


@pytest.fixture
def earlier(tmp_path, sets):
    """The folder of a run with two seeds."""
    folder = tmp_path / 'earlier'
    action.run(config(tmp_path, 'online', seeds=[0, 1], epochs=2), tmp_path, folder)
    return folder


def test_a_model_learns_from_all_seeds_of_a_run(tmp_path, earlier, monkeypatch):
    asked = []
    plain = action.distillation_loss

    def spy(model, teachers, batch, settings):
        asked.append(teachers)
        return plain(model, teachers, batch, settings)

    monkeypatch.setattr(action, 'distillation_loss', spy)
    settings = config(tmp_path, 'online', seeds=[0, 1], epochs=8)
    path = action.run(settings, tmp_path, tmp_path / 'out', seed=0, distil=earlier)
    assert {len(teachers) for teachers in asked} == {2}
    assert len({id(teachers[0]) for teachers in asked}) == 2  # one for each part
    header, _ = load_recognizer(str(path))
    known = header.training['teachers']
    assert len(set(known)) == 2
    assert header.metrics['jhmdb14_accuracy'] > 0.9
    assert json.loads((tmp_path / 'out' / 'figures_seed0.json').read_text())['teachers'] == known
    assert 'teachers' not in json.loads((tmp_path / 'out' / 'figures.json').read_text())


def test_the_models_are_those_of_the_run(tmp_path, earlier):
    settings = action.ActionConfig.load(config(tmp_path, 'online', seeds=[0, 1], epochs=2))
    x = torch.randn(1, 5, 246)
    answers = {}
    for part in ('validated', 'refit'):
        models = earlier_models(earlier, part, settings, LABELS)
        assert not any(model.training for model in models)
        answers[part] = [model(x).detach().numpy() for model in models]
    for seed, answer in enumerate(answers['refit']):
        _, published = load_recognizer(str(earlier / f'seed{seed}' / 'tiny.safetensors'))
        np.testing.assert_allclose(answer, published(x).detach().numpy(), atol=0.02)
    assert np.abs(answers['validated'][0] - answers['refit'][0]).max() > 0.1


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'split': 2}, 'was trained with split 1, the config has 2'),
        ({'validation': 0.3}, 'validation 0.15, the config has 0.3'),
        ({'seeds': [5]}, 'held out other clips'),
        ({'model': 'paper'}, 'only the online model'),
    ],
)
def test_a_run_that_held_out_other_clips_is_refused(tmp_path, earlier, changes, message):
    changes = {'seeds': [0, 1], **changes}
    path = config(tmp_path, changes.pop('model', 'online'), **changes)
    with pytest.raises(UserError, match=message):
        action.run(path, tmp_path, tmp_path / 'out', distil=earlier)


def test_other_labels_and_missing_runs_are_refused(tmp_path, earlier):
    settings = action.ActionConfig.load(config(tmp_path, 'online', seeds=[0, 1]))
    with pytest.raises(UserError, match='knows other labels'):
        earlier_models(earlier, 'refit', settings, ('up', 'down'))
    with pytest.raises(UserError, match=r'holds no seed\*'):
        earlier_models(tmp_path / 'nothing', 'refit', settings, LABELS)
    (earlier / 'seed1' / 'refit' / 'checkpoint.safetensors').unlink()
    with pytest.raises(UserError, match=r'cannot read .*train that run again'):
        earlier_models(earlier, 'refit', settings, LABELS)


def test_models_of_other_shapes_are_refused(tmp_path, earlier):
    settings = action.ActionConfig.load(config(tmp_path, 'online', seeds=[0, 1]))
    other = create_model('online', len(LABELS), units=4)
    ema = action.loop.Ema(other, 0.9)
    folder = earlier / 'seed0' / 'refit'
    action.loop.save_checkpoint(folder, other, ema, torch.optim.AdamW(other.parameters()), {})
    with pytest.raises(UserError, match='cannot read'):
        earlier_models(earlier, 'refit', settings, LABELS)


def test_an_unfinished_run_and_one_with_two_recipes_are_refused(tmp_path, earlier):
    settings = config(tmp_path, 'online', seeds=[0, 1], epochs=2)
    loaded = action.ActionConfig.load(settings)
    again = json.loads(settings.read_text()) | {'epochs': 1, 'refit': False}
    (tmp_path / 'shorter.json').write_text(json.dumps(again))
    other = tmp_path / 'other'
    action.run(tmp_path / 'shorter.json', tmp_path, other, seed=0)
    checkpoint = other / 'seed0' / 'validated' / 'checkpoint.safetensors'
    checkpoint.rename(earlier / 'seed0' / 'validated' / 'checkpoint.safetensors')
    with pytest.raises(UserError, match='ends after epoch 1 of 2'):
        earlier_models(earlier, 'validated', loaded, LABELS)
    weights = earlier / 'seed1' / 'tiny.safetensors'
    weights.with_stem('tiny2').write_bytes(weights.read_bytes())
    with pytest.raises(UserError, match='must hold the weights of one run, not 2'):
        earlier_models(earlier, 'refit', loaded, LABELS)


def test_a_run_with_teachers_is_neither_resumed_nor_averaged_without(tmp_path, earlier):
    settings = config(tmp_path, 'online', seeds=[0, 1], epochs=2)
    out = tmp_path / 'out'
    action.run(settings, tmp_path, out, seed=0, distil=earlier)
    with pytest.raises(UserError, match='of a run with --distil: give another --out'):
        action.run(settings, tmp_path, out, seed=1)
    (out / 'figures_seed0.json').unlink()
    with pytest.raises(UserError, match='trained with another teachers: say the same again'):
        action.run(settings, tmp_path, out, resume=True, seed=0)
    with pytest.raises(UserError, match='of a run without --distil'):
        action.run(settings, tmp_path, earlier, seed=0, distil=earlier)
