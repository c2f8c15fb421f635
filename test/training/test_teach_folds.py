"""Folds of a cross-validation: no source on both sides, every class learnt in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from teach_recipes import CONFIG, moving

from action_recognition.training.teach import teach
from action_recognition.training.teach_folds import folds_of, learnt_from
from action_recognition.training.teach_problem import Problem


def test_no_source_is_in_two_folds_and_every_class_is_learnt_in_each(standing):
    clips = [
        moving(standing, label, f'{k % 4}', k, k) for label in ('wave', 'nod') for k in range(9)
    ]
    folds = folds_of(clips, 3)
    by_source = {}
    for clip, fold in zip(clips, folds, strict=True):
        assert by_source.setdefault(clip.group, fold) == fold
    for fold in set(folds):
        left = {clip.label for clip, f in zip(clips, folds, strict=True) if f != fold}
        assert left == {'wave', 'nod'}
    assert len(set(folds)) == 4


def test_a_class_of_one_source_is_only_learnt_from(clips, base, standing):
    alone = [moving(standing, 'kick', 'only', 70 + k, k) for k in range(3)]
    folds = folds_of([*clips, *alone], 0)
    assert (folds[-3:] == -1).all()
    assert (folds[:-3] >= 0).all()
    taught = teach([*clips, *alone], base, CONFIG)
    assert taught.alone == ('kick',)
    assert {clip.label for clip in taught.asked} == {'wave', 'nod'}


@pytest.fixture
def shared(standing):
    """Two films: one shows a wave and nods, and only it a wave; the other nods and kicks."""
    films = (('wave', 'a'), ('nod', 'a'), ('nod', 'b'), ('kick', 'b'))
    return [
        replace(moving(standing, label, film, 10 * k, k), group=film)
        for k, (label, film) in enumerate(films)
    ]


def test_what_is_in_no_fold_is_not_learnt_while_its_source_is_asked_about(shared, base):
    folds = folds_of(shared, 0)
    assert sorted(folds[1:3]) == [0, 1]
    assert folds[[0, 3]].tolist() == [-1, -1]
    for row, rest in ((1, [2, 3]), (2, [0, 1])):
        assert learnt_from(shared, folds, folds[row]).tolist() == rest
    problem = Problem(shared, ('kick', 'nod', 'wave'), base, CONFIG)
    (answer, _) = problem.out_of_fold('head 0.3', folds, [1, 2])
    expected = problem.head(0.3, np.array([2, 3])).logits(problem.whole[1])
    np.testing.assert_allclose(answer, expected.numpy(), atol=1e-4)
    assert np.isfinite(answer).all()  # though no wave is known
