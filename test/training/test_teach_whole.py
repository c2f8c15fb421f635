"""The whole network learns on, and its students from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from teach_recipes import CONFIG, GENTLE, said, unseen

from action_recognition.recognition.features import ELAPSED
from action_recognition.recognition.models import create_model
from action_recognition.training import teach_whole
from action_recognition.training.action_loss import distillation_loss, loss_of
from action_recognition.training.teach import teach


def test_the_whole_network_learns_too(clips, base, standing, monkeypatch):
    monkeypatch.setattr(teach_whole, 'TEACHERS', 1)
    monkeypatch.setattr(teach_whole, 'STEPS', 40)
    monkeypatch.setattr(teach_whole, 'STUDENT_STEPS', 40)
    taught = teach(clips[:3] + clips[5:8], base, replace(CONFIG, method='whole'))
    new = unseen(standing)
    right = np.mean([a == clip.label for a, clip in zip(said(taught, new), new, strict=True)])
    assert right > 0.8
    assert list(taught.accuracy) == ['whole']
    before, after = base.model.state_dict(), taught.model.state_dict()
    assert not torch.equal(before['lstms.0.weight_hh_l0'], after['lstms.0.weight_hh_l0'])


def test_students_learn_what_their_teachers_answer(clips):
    config, sampler = teach_whole._samples(clips, ('nod', 'wave'), GENTLE)
    assert config.background == 0
    batch = next(sampler.batches(np.random.default_rng(0)))
    network, one, other = (create_model('online', 2, units=8).eval() for _ in range(3))
    config = replace(config, mixup=0.0)
    loss, hits = distillation_loss(network, [one, other], batch, config)
    with torch.no_grad():
        target = (one(batch.x).softmax(-1) + other(batch.x).softmax(-1)) / 2
        losses = -(target * network(batch.x).log_softmax(-1)).sum(-1)
    expected = []
    for k, scored in enumerate(batch.mask):
        time = batch.x[k, scored, ELAPSED].cumsum(0)
        share = 1 - torch.exp(-(time - time[0] + 0.03) / config.settling_time)
        mean = (losses[k, scored] * share).sum() / share.sum()
        expected.append(0.7 * mean + 0.3 * losses[k, scored][-1])
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)
    assert hits == loss_of(network, batch, config)[1]
