"""Seeds, average weights, checkpoints and curves."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
import torch

from action_recognition.errors import UserError
from action_recognition.training.loop import (
    CHECKPOINT,
    Curves,
    Ema,
    cosine,
    launch,
    load_average,
    load_checkpoint,
    require_data,
    save_checkpoint,
    seed_everything,
)


def test_seeding_repeats_both_generators():
    def draw(*seed):
        rng = seed_everything(*seed)
        return rng.random(), torch.rand(1).item()

    assert draw(0, 3) == draw(0, 3)
    assert len({draw(0, 3), draw(0, 4), draw(1, 3)}) == 3


def test_cosine_with_warm_up():
    assert [cosine(p, 0.1) for p in (0, 0.05, 0.1)] == [0, 0.5, 1]
    assert cosine(0.55, 0.1) == pytest.approx(0.5)
    assert cosine(1, 0.1) == pytest.approx(0)


def test_ema_starts_near_the_model_and_then_averages():
    model = torch.nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(0.0)
    ema = Ema(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(1.0)
    ema.update(model)
    assert ema.model.weight.item() == pytest.approx(1 - 2 / 11)  # short memory at first
    for _ in range(200):
        ema.update(model)
    with torch.no_grad():
        model.weight.fill_(2.0)
    ema.update(model)
    assert ema.model.weight.item() == pytest.approx(0.9 * 1 + 0.1 * 2)
    assert not ema.model.training


def steps(model, ema, optimiser, count):
    for _ in range(count):
        loss = model(torch.randn(4, 3)).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        ema.update(model)


def fresh():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    return model, Ema(model, 0.99), torch.optim.AdamW(model.parameters(), 0.1)


def test_resuming_from_a_checkpoint_is_exact(tmp_path):
    whole = fresh()
    steps(*whole, 3)
    save_checkpoint(tmp_path, *whole, {'epoch': 3})
    torch.manual_seed(1)
    steps(*whole, 3)

    resumed = fresh()
    assert load_checkpoint(tmp_path, *resumed) == {'epoch': 3}
    torch.manual_seed(1)
    steps(*resumed, 3)
    for a, b in ((whole[0], resumed[0]), (whole[1].model, resumed[1].model)):
        for mine, theirs in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize('damage', ['truncated', 'other model'])
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, damage):
    model, ema, optimiser = fresh()
    save_checkpoint(tmp_path, model, ema, optimiser, {'epoch': 1})
    path = tmp_path / CHECKPOINT
    if damage == 'truncated':
        path.write_bytes(path.read_bytes()[:40])
    else:
        model = torch.nn.Linear(5, 5)
        ema, optimiser = Ema(model, 0.9), torch.optim.AdamW(model.parameters())
    with pytest.raises(UserError, match='train without --resume'):
        load_checkpoint(tmp_path, model, ema, optimiser)
    with pytest.raises(UserError, match=r'cannot read .*train that run again'):
        load_average(tmp_path, model)


def test_a_run_goes_on_with_its_own_data(tmp_path):
    progress = {'data': {'people': 3, 'weights': 'a'}}
    require_data(tmp_path, progress, {'people': 3, 'weights': 'a'})
    require_data(tmp_path, {}, {'people': 3})  # an earlier version has not said
    with pytest.raises(UserError, match=r'which was trained with other people, weights: bring'):
        require_data(tmp_path, progress, {'people': 4, 'weights': 'b'})


def test_the_average_alone_can_be_read_from_a_checkpoint(tmp_path):
    whole = fresh()
    steps(*whole, 3)
    save_checkpoint(tmp_path, *whole, {'epoch': 3})
    average = load_average(tmp_path, fresh()[0])
    for mine, theirs in zip(
        average.state_dict().values(), whole[1].model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    with pytest.raises(UserError, match='train that run again'):
        load_average(tmp_path / 'nowhere', average)


def test_curves_go_on_where_the_checkpoint_was(tmp_path):
    path = tmp_path / 'curves.csv'
    curves = Curves(path)
    for epoch in range(1, 5):
        curves.add(epoch, loss=1 / epoch)
    curves = Curves(path, keep=2)
    curves.add(3, loss=np.float64(0.25), val_loss=0.5)
    with path.open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(r['epoch'], r['loss'], r['val_loss']) for r in rows] == [
        ('1', '1', ''),
        ('2', '0.5', ''),
        ('3', '0.25', '0.5'),
    ]


def test_without_fabric_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'lightning_fabric', None)
    with pytest.raises(UserError, match='needs `pip install lightning-fabric`'):
        launch.__wrapped__('float32')  # another test may have filled its cache
