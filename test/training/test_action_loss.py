"""What the recognisers are trained to make small, against plain second versions of it."""

from __future__ import annotations

import numpy as np
import torch
from training_recipes import LABELS

from action_recognition.recognition.features import ELAPSED, ONLINE_FEATURES
from action_recognition.recognition.models import create_model
from action_recognition.training import action_loss
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Batch, Sampler
from action_recognition.training.action_loss import loss_of


def loss_of_clips(model, batch, target, config):
    """The loss of clips that show one action each, written for them alone."""
    logits = model(batch.x, batch.mask)
    steps = logits.shape[1]
    losses = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        target.repeat_interleave(steps),
        reduction='none',
        label_smoothing=config.label_smoothing,
    ).unflatten(0, (-1, steps))
    since = batch.x[..., ELAPSED].cumsum(1)
    weights = batch.mask * -torch.expm1(-(since + 0.03) / config.settling_time)
    mean = (losses * weights).sum(1) / weights.sum(1)
    last = batch.mask.sum(1) - 1
    return torch.lerp(mean, losses[torch.arange(len(last)), last], config.final_share).mean()


def test_the_loss_of_single_clips_knows_no_segments(sets):
    settings = ActionConfig('t', 'online', label_smoothing=0.1, final_share=0.3)
    sampler = Sampler(settings, sets['train'], LABELS, {})
    batch = sampler.make([(k,) for k in range(6)], np.random.default_rng(0))
    model = create_model('online', 2, units=8).eval()
    loss, right = loss_of(model, batch, settings)
    expected = loss_of_clips(model, batch, batch.target[:, 0], settings)
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)
    last = batch.mask.sum(1) - 1
    answer = model(batch.x)[torch.arange(6), last].argmax(1)
    assert right == (answer == batch.target[:, 0]).sum()


def test_mixing_takes_at_least_half_of_a_sample_and_leaves_its_time_alone(sets):
    torch.manual_seed(3)
    settings = ActionConfig('t', 'online', mixup=0.4)
    sampler = Sampler(settings, sets['train'], LABELS, {})
    batch = sampler.make([(k,) for k in range(6)], np.random.default_rng(0))
    mixed, other, own = action_loss._mix(batch, settings.mixup)
    assert 0.5 <= own < 1
    torch.testing.assert_close(mixed.x[..., ELAPSED], batch.x[..., ELAPSED])
    for row in range(6):
        # What was mixed in, by the length of time it lasts, is one of the samples.
        added = (mixed.x[row] - own * batch.x[row]) / (1 - own)
        partners = [
            k
            for k in range(6)
            if torch.allclose(added[:8, 1:], batch.x[k, :8, 1:], atol=1e-3)  # all have 8 frames
        ]
        assert len(partners) == 1
        both = batch.mask[row] & batch.mask[partners[0]]
        torch.testing.assert_close(mixed.x[row][~both], batch.x[row][~both])
        assert (other.target[row][both] == batch.target[partners[0]][both]).all()
        assert (other.target[row][~both] == batch.target[row][~both]).all()

    model = create_model('online', 2, units=8).eval()
    torch.manual_seed(3)
    loss, _ = loss_of(model, batch, settings)
    plain = ActionConfig('t', 'online')
    parts = [loss_of(model, mixed._replace(target=b.target), plain)[0] for b in (batch, other)]
    torch.testing.assert_close(loss, own * parts[0] + (1 - own) * parts[1])


def test_the_loss_ignores_padding(sets):
    settings = ActionConfig('t', 'online')
    sampler = Sampler(settings, sets['train'], LABELS, {})
    batch = sampler.make([(k,) for k in range(6)], np.random.default_rng(0))
    model = create_model('online', 2, units=8).eval()
    garbage = batch._replace(x=torch.where(batch.mask[..., None], batch.x, 5.0))
    garbage.x[..., ELAPSED] = batch.x[..., ELAPSED]
    torch.testing.assert_close(
        loss_of(model, garbage, settings)[0], loss_of(model, batch, settings)[0]
    )


def test_the_loss_begins_anew_with_every_action():
    """Three actions of 2, 3 and 2 frames, one not scored; the answer is the frame's own logits."""
    settings = ActionConfig('t', 'online', label_smoothing=0.0, final_share=0.4)
    target = torch.tensor([[0, 0, -1, 1, 1, 1, 0, 0, -1]])
    x = torch.zeros(1, 9, ONLINE_FEATURES)
    x[:, 1:, ELAPSED] = 0.1
    logits = torch.randn(1, 9, 2, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, torch.ones(1, 9, dtype=torch.bool), target)
    loss, right = loss_of(lambda _x, _mask: logits, batch, settings)

    scored = [0, 1, 3, 4, 5, 6, 7]
    losses = torch.nn.functional.cross_entropy(
        logits[0, scored], target[0, scored], reduction='none'
    )
    since = torch.tensor([0.0, 0.1, 0.0, 0.1, 0.2, 0.0, 0.1])
    weights = 1 - torch.exp(-(since + 0.03) / settings.settling_time)
    mean = (losses * weights).sum() / weights.sum()
    final = losses[[1, 4, 6]].mean()
    torch.testing.assert_close(loss, 0.6 * mean + 0.4 * final)
    assert right == (logits[0, 7].argmax() == 0)
