"""A few clips teach new actions: what is chosen, kept, rejected and refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from teach_recipes import CONFIG, OLD, moving, said, unseen

from action_recognition.errors import UserError
from action_recognition.evaluation.action import clip_logits
from action_recognition.skeleton import Joint
from action_recognition.training import teach_problem, teach_whole
from action_recognition.training.teach import best_of, publish, teach
from action_recognition.training.teach_problem import Base, Problem


def test_a_few_clips_teach_what_new_people_do(clips, base, standing):
    taught = teach(clips, base, CONFIG)
    assert taught.labels == ('nod', 'wave', 'background')
    new = unseen(standing)
    assert said(taught, new) == [clip.label for clip in new]
    assert taught.figures['n'] == len(clips)
    assert taught.figures['accuracy'] > 0.8
    assert taught.alone == ()


def test_cross_validation_chooses_between_the_methods(clips, base, monkeypatch):
    monkeypatch.setattr(teach_whole, 'STEPS', 2)
    monkeypatch.setattr(teach_whole, 'STUDENT_STEPS', 2)
    taught = teach(clips, base, replace(CONFIG, method='auto'))
    assert set(taught.accuracy) == {'head 0.1', 'head 0.3', 'head 1', 'whole'}
    # Networks of two steps are no match for a head.
    assert taught.method.startswith('head')
    assert taught.accuracy[taught.method] == max(taught.accuracy.values())


@pytest.mark.parametrize(
    ('accuracy', 'asked', 'best'),
    [
        ({'head 0.1': 0.7, 'head 0.3': 0.7, 'head 1': 0.6}, 30, 'head 0.3'),
        ({'head 0.1': 0.75, 'head 0.3': 0.7, 'head 1': 0.6}, 30, 'head 0.1'),
        # One standard error of .8 in 25 answers is .08.
        ({'head 0.1': 0.8, 'head 0.3': 0.7, 'whole': 0.73}, 25, 'whole'),
        ({'head 0.1': 0.8, 'head 0.3': 0.7, 'whole': 0.71}, 25, 'head 0.1'),
        ({'head 0.1': 0.8, 'head 0.3': 0.7, 'whole': 0.73}, 400, 'head 0.1'),
        ({'whole': 0.1}, 10, 'whole'),
    ],
)
def test_a_head_must_be_clearly_better_than_the_whole(accuracy, asked, best):
    assert best_of(accuracy, 'head 0.3', asked) == best


def test_with_no_class_of_two_sources_there_are_no_figures(standing, base):
    clips = [moving(standing, label, 'one', k, k) for label in ('wave', 'nod') for k in range(3)]
    taught = teach(clips, base, CONFIG)
    assert taught.figures == {}
    assert taught.model.temperature == pytest.approx(1.3)


def test_nothing_of_a_clip_that_is_held_out_reaches_the_head(clips, base):
    base = replace(base, rehearsal=None)
    xy = clips[2].xy.copy()
    xy[:, Joint.LEFT_WRIST] += [30, -40]
    others = [*clips[:2], replace(clips[2], xy=xy), *clips[3:]]
    one, other = (Problem(each, ('nod', 'wave'), base, CONFIG) for each in (clips, others))
    rows = np.delete(np.arange(len(clips)), 2)
    torch.testing.assert_close(one.head(0.3, rows).weight, other.head(0.3, rows).weight)
    rows = np.arange(len(clips))
    assert not torch.allclose(one.head(0.3, rows).weight, other.head(0.3, rows).weight)


def test_a_seed_repeats_a_training(clips, base):
    one, two, other = (teach(clips, base, replace(CONFIG, seed=seed)) for seed in (1, 1, 2))
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            one.model.state_dict().values(), two.model.state_dict().values(), strict=True
        )
    )
    assert one.model.temperature == two.model.temperature
    assert not torch.equal(one.model.dense.weight, other.model.dense.weight)


def test_old_actions_are_rejected_or_kept(clips, base, standing, monkeypatch):
    # This base knows nothing, so what it takes new actions for says nothing either.
    monkeypatch.setattr(teach_problem, 'SAME', 2.0)
    kicks = [moving(standing, 'kick', 'y', 900 + k) for k in range(6)]
    rejected, blind = (
        said(teach(clips, each, CONFIG), kicks) for each in (base, replace(base, rehearsal=None))
    )
    assert rejected.count('background') > max(blind.count('background'), len(kicks) / 2)
    kept = teach(clips, base, replace(CONFIG, keep=True))
    assert kept.labels == (*OLD, 'nod', 'wave')
    # What the base says of its own classes among themselves stays.
    old = [a[:, :3] for a in clip_logits(kept.model, kicks)]
    for mine, theirs in zip(old, clip_logits(base.model, kicks), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    new = unseen(standing)
    right = np.mean([a == clip.label for a, clip in zip(said(kept, new), new, strict=True)])
    assert right > 0.8
    assert not {'nod', 'wave'} & set(said(kept, kicks))


def test_without_statistics_nothing_can_be_kept(clips, base_path):
    base_path.with_suffix('.rehearsal').unlink()
    with pytest.raises(UserError, match=r'cannot keep its classes: there is no base\.rehearsal'):
        teach(clips, Base.load(str(base_path)), replace(CONFIG, keep=True))


@pytest.mark.parametrize(
    ('name', 'same'),
    [('none', {}), ('background', {}), ('stand', {'nod': 'stand', 'wave': 'stand'})],
)
def test_an_action_is_never_the_same_as_nothing(clips, base, name, same):
    header = replace(base.header, labels=('swim', 'fly', name))
    base = replace(base, header=header, rehearsal=None)
    with torch.no_grad():
        base.model.classifier.weight.zero_()
        base.model.classifier.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    assert Problem(clips, ('nod', 'wave'), base, CONFIG).same == same


def test_weights_written_answer_as_those_in_memory(clips, base, tmp_path, standing):
    taught = teach(clips, base, CONFIG)
    publish(taught, clips, base, CONFIG, tmp_path / 'taught.safetensors')
    loaded = Base.load(str(tmp_path / 'taught.safetensors')).model
    new = unseen(standing)
    pairs = zip(clip_logits(taught.model, new), clip_logits(loaded, new), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, atol=0.05)  # matrices are kept in half precision


def test_one_action_is_not_enough(clips, base):
    with pytest.raises(UserError, match="only 'wave'"):
        teach(clips[:5], base, CONFIG)


@pytest.mark.parametrize(
    'wrong', [{'method': 'magic'}, {'keep': True, 'method': 'whole'}, {'name': 'a/b'}, {'seed': -1}]
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(UserError):
        replace(CONFIG, **wrong)


def test_the_paper_model_is_no_base():
    with pytest.raises(UserError, match='not a streaming recogniser'):
        Base.load('paper_union32')
