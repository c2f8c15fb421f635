"""Calibration, fractions, means over seeds, and the labels of models and sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition.datasets import jhmdb, penn, precog, union32
from action_recognition.errors import UserError
from action_recognition.evaluation.common import (
    BINS,
    average,
    calibration_bins,
    confusion,
    expected_calibration_error,
    joined,
    observed,
    project,
)
from action_recognition.recognition.base import softmax


def test_observed_fractions_of_a_clip():
    assert [observed(10, f) for f in (0.1, 0.3, 1.0)] == [0, 2, 9]
    assert [observed(3, f) for f in (0.1, 0.5, 1.0)] == [0, 1, 2]
    assert observed(60, 0.7) == 41  # 0.7 * 60 is a little above 42 in floating point


def test_softmax_with_a_temperature():
    logits = np.array([[1.0, 3.0], [500.0, 0.0]])
    expected = torch.from_numpy(logits / 2).softmax(-1)
    np.testing.assert_allclose(softmax(logits, 2.0), expected)


def test_calibration_error_by_hand():
    confidence = [0.95, 0.95, 0.65, 0.65]
    correct = [1, 0, 1, 1]
    expected = (2 * abs(0.95 - 0.5) + 2 * abs(0.65 - 1.0)) / 4
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)
    assert expected_calibration_error([1.0], [1]) == 0
    bins = calibration_bins(confidence, correct)
    np.testing.assert_allclose(bins, [[2, 2], [0.65, 0.95], [1, 0.5]])


def test_calibration_bins_against_a_plain_loop():
    rng = np.random.default_rng(0)
    confidence = np.append(rng.random(300), [0, 1])
    correct = rng.random(302) < confidence
    expected = []
    for k in range(BINS):
        top = 2 if k == BINS - 1 else (k + 1) / BINS
        rows = [i for i, c in enumerate(confidence) if k / BINS <= c < top]
        if rows:
            sure = sum(confidence[i] for i in rows) / len(rows)
            expected.append((len(rows), sure, sum(correct[i] for i in rows) / len(rows)))
    np.testing.assert_allclose(calibration_bins(confidence, correct).T, expected)


def test_confusion_by_hand():
    counts = confusion([0, 0, 2, 2, 2], [0, 1, 2, 2, 0], 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 2]]


def test_finer_and_further_labels_of_a_model():
    model = ('pull_up', 'tennis_forehand', 'tennis_serve', 'background', 'run')
    p = np.array([[0.1, 0.2, 0.3, 0.25, 0.15], [0, 0, 0, 1, 0]])
    out = project(p, model, ('tennis_stroke', 'pullup'))
    np.testing.assert_allclose(out, [[0.5 / 0.6, 0.1 / 0.6], [0.5, 0.5]], rtol=1e-6)
    own = project(p, model, ('tennis_serve', 'pull_up', 'tennis_forehand'))
    np.testing.assert_allclose(own[0], [0.3 / 0.6, 0.1 / 0.6, 0.2 / 0.6], rtol=1e-6)


def test_the_background_has_two_names():
    out = project(np.array([0.2, 0.3, 0.5]), ('run', 'background', 'sit'), ('none', 'run'))
    np.testing.assert_allclose(out, [0.6, 0.4], rtol=1e-6)


@pytest.mark.parametrize(
    'labels', [penn.CLASSES, jhmdb.CLASSES, union32.LABELS, precog.LABELS], ids=len
)
def test_own_labels_in_another_order(labels):
    order = np.random.default_rng(0).permutation(len(labels))
    p = np.random.default_rng(1).dirichlet(np.ones(len(labels)), 5).astype(np.float32)
    out = project(p, labels, [labels[k] for k in order])
    np.testing.assert_allclose(out, p[:, order], rtol=1e-5)


def test_a_union_model_on_native_sets():
    p = np.eye(32, dtype=np.float32)
    out = project(p, union32.LABELS, jhmdb.CLASSES)
    for name, row in zip(union32.LABELS, out, strict=True):
        named = [label for label in jhmdb.CLASSES if union32.CANONICAL.get(label, label) == name]
        if named:
            assert row[jhmdb.CLASSES.index(named[0])] == 1
        else:
            np.testing.assert_allclose(row, 1 / 21)


def test_what_a_model_lacks_is_named():
    with pytest.raises(UserError, match='the model does not know sit, throw'):
        project(np.ones(2), ('run', 'pull_up'), ('sit', 'pullup', 'throw'))
    with pytest.raises(UserError, match='does not know tennis_serve'):
        project(np.ones(2), ('run', 'tennis_forehand'), ('tennis_forehand', 'tennis_serve'))


def test_labels_are_joined_only_where_the_model_joins_them():
    both = ('tennis_forehand', 'tennis_serve')
    native = {label: label for label in penn.CLASSES}
    first = joined(penn.CLASSES, [*native, 'tennis_stroke', 'background'][2:])
    assert first == native
    joining = [label for label in native if label not in both] + ['tennis_stroke']
    assert joined(penn.CLASSES, joining) == native | dict.fromkeys(both, 'tennis_stroke')
    # A label that is lacking stays, and is named by `project`.
    assert joined(penn.CLASSES, ('run',)) == native
    assert joined(('golf', 'sit'), union32.LABELS) == {'golf': 'golf', 'sit': 'sit'}


def test_average_of_nested_figures():
    one = {'model': 'w', 'n': 3, 'a': 0.5, 'at': {'0.1': 0.25}, 'list': [1.0, 2.0], 'none': None}
    two = {'model': 'w', 'n': 3, 'a': 1.0, 'at': {'0.1': 0.75}, 'list': [3.0, 2.0], 'none': 4.0}
    assert average([one, two]) == {
        'model': 'w',
        'n': 3,
        'a': 0.75,
        'at': {'0.1': 0.5},
        'list': [2.0, 2.0],
        'none': 4.0,
    }
    assert average([one]) == one
    assert average([{'x': None}, {'x': None}]) == {'x': None}
