"""The support vector machine."""

from __future__ import annotations

import numpy as np
import pytest

from action_recognition.benchmarking import svm
from action_recognition.benchmarking.speed import walkers
from action_recognition.errors import UserError

LABELS = ('left', 'right')


def test_it_learns_and_answers_with_probabilities(tmp_path, make_clips):
    pytest.importorskip('sklearn')
    peer = svm.SvmPeer()
    peer.fit(make_clips(48, 1), LABELS, 0, tmp_path)
    test = make_clips(16, 2)
    found = peer.probabilities(test)
    assert found.sum(1) == pytest.approx(np.ones(16))
    assert np.mean(found.argmax(1) == [LABELS.index(clip.label) for clip in test]) >= 0.9
    # Vectors of 16 frames x 28 coordinates and a coefficient each, and one offset.
    assert peer.parameters == len(peer.machine.support_vectors_) * (16 * 28 + 1) + 1
    step = peer.step()
    assert [step(poses).shape for poses in walkers(3, 2)] == [(3, 2)] * 2


def test_a_class_that_validation_took_whole_is_never_the_answer(tmp_path, make_clips):
    pytest.importorskip('sklearn')
    peer = svm.SvmPeer()
    peer.fit(make_clips(24, 1), (*LABELS, 'up'), 0, tmp_path)
    found = peer.probabilities(make_clips(4, 2))
    assert found.shape == (4, 3)
    assert (found[:, 2] < 1e-3).all()


def test_without_scikit_learn_one_line_says_so(monkeypatch):
    monkeypatch.setattr(svm, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='needs scikit-learn: pip install scikit-learn'):
        svm.SvmPeer()
