"""What clips that are held out say of old classes does not reach the head asked about them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_recipes import LABELS, clips

from action_recognition.recognition.models import create_model
from action_recognition.training import teach_head as heads
from action_recognition.training.teach_config import TeachConfig
from action_recognition.training.teach_problem import BACKGROUND_PER_CLASS, REHEARSED, Base, Problem
from action_recognition.training.teach_rehearsal import Rehearsal
from action_recognition.weights import Header

OLD = ('swim', 'fly', 'jump', 'background')
CLIPS = clips(10, 0)
LEARNT, ALL = np.array([0, 1, 2, 3]), np.arange(10)


@pytest.fixture
def base() -> Base:
    """An untrained network that remembers three classes, each at a place of its own."""
    torch.manual_seed(0)
    model = create_model('online', len(OLD), units=8).eval()
    mean = 3 * torch.eye(3, 16)
    rehearsal = Rehearsal(OLD[:3], mean, torch.zeros(2, 16), torch.full((16,), 0.1), 'these')
    return Base(Header('action', 'base', {'model': 'online', 'units': 8}, OLD), model, rehearsal)


def problem(base: Base, monkeypatch, of_learnt: str, of_held_out: str) -> Problem:
    """Where the base says so of the clips of the first class, and nothing of the second one's."""
    says = [
        ('background' if k % 2 else of_learnt if k in LEARNT else of_held_out) for k in range(10)
    ]
    answers = iter(says)
    monkeypatch.setattr(
        base.model, 'answer', lambda _: torch.eye(len(OLD))[[OLD.index(next(answers))]]
    )
    return Problem(CLIPS, LABELS, base, TeachConfig(copies=2))


def test_clips_held_out_do_not_choose_the_background(base, monkeypatch):
    # Three of the five clips of the class are held out: they alone would decide.
    looks_new, looks_old = (
        problem(base, monkeypatch, 'background', said) for said in ('background', 'swim')
    )
    assert (looks_new.same, looks_old.same) == ({}, {'left': 'swim'})
    one, other = (each.head(0.3, LEARNT) for each in (looks_new, looks_old))
    torch.testing.assert_close(one.weight, other.weight, rtol=0, atol=0)
    torch.testing.assert_close(one.bias, other.bias, rtol=0, atol=0)
    one, other = (each.head(0.3, ALL) for each in (looks_new, looks_old))
    assert not torch.allclose(one.weight, other.weight)


@pytest.mark.parametrize(
    ('of_learnt', 'of_held_out', 'rows', 'left'),
    [
        ('swim', 'swim', ALL, ['fly', 'jump']),
        ('swim', 'fly', LEARNT, ['fly', 'jump']),
        ('swim', 'fly', ALL, ['swim', 'jump']),
        ('background', 'fly', LEARNT, ['swim', 'fly', 'jump']),
    ],
)
def test_the_background_has_all_old_classes_but_those_that_look_the_same(
    base, monkeypatch, of_learnt, of_held_out, rows, left
):
    asked = problem(base, monkeypatch, of_learnt, of_held_out)
    given = []
    fit = heads.fit_head
    monkeypatch.setattr(heads, 'fit_head', lambda s, *rest: given.append(s) or fit(s, *rest))
    asked.head(0.3, rows)
    (samples,) = given
    remembered = samples.select(samples.owner < 0)
    nearest = remembered.x[:, :3].argmax(1)  # each class lies on an axis of its own
    assert [OLD[k] for k in nearest.unique().tolist()] == left
    assert nearest.bincount().max() == REHEARSED
    assert remembered.weight.sum() == pytest.approx(BACKGROUND_PER_CLASS * len(LABELS), rel=1e-5)
    assert set(samples.owner[samples.owner >= 0].tolist()) == set(rows.tolist())
