"""Our own models as peers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.benchmarking import ours
from action_recognition.benchmarking.ours import PublishedPeer, TrainedPeer
from action_recognition.benchmarking.speed import walkers
from action_recognition.errors import UserError
from action_recognition.recognition.models import create_model
from action_recognition.training.action_config import ActionConfig

LABELS = ('left', 'right')


@pytest.mark.parametrize('model', ['online', 'paper'])
def test_a_config_is_trained_scored_and_streamed(tmp_path, make_clips, model):
    config = ActionConfig('tiny', model, {'units': 8}, batch=16, teacher_share=0.5)
    peer = TrainedPeer(config, epochs=1)
    assert (peer.name, peer.recipe['epochs'], peer.recipe['teacher_share']) == (model, 1, 0)
    peer.fit(make_clips(24, 1), LABELS, 0, tmp_path)
    found = peer.probabilities(make_clips(4, 2))
    assert found.sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    assert peer.model.temperature != 1
    assert peer.parameters == sum(p.numel() for p in peer.model.parameters())
    estimates = [peer.step()(poses) for poses in walkers(2, 2)]
    assert [len(people) for people in estimates] == [2, 2]
    # Streaming works on a copy: the answers about clips are the same after it.
    assert np.array_equal(peer.probabilities(make_clips(4, 2)), found)


@pytest.fixture
def published(tmp_path, monkeypatch):
    monkeypatch.setitem(ours.SETS, 'jhmdb14', LABELS)
    monkeypatch.setitem(ours.SETS, 'penn', LABELS)
    torch.manual_seed(0)
    path = tmp_path / 'tiny.safetensors'
    config = {'model': 'online', 'units': 8}
    header = weights.Header('action', 'tiny', config, (*LABELS, 'up'), training={'split': 1})
    weights.save(path, create_model('online', 3, units=8).state_dict(), header)
    return str(path)


def test_published_weights_answer_with_the_classes_of_the_set(published, make_clips):
    peer = PublishedPeer(published, 'jhmdb14', [1])
    assert (peer.name, peer.kind, peer.labels, peer.trains) == ('tiny', 'online', LABELS, False)
    found = peer.probabilities(make_clips(3, 0))
    assert found.shape == (3, 2)
    assert found.sum(1) == pytest.approx(np.ones(3), abs=1e-5)
    (estimate,) = peer.step()(walkers(1, 1)[0])
    assert estimate.scores.shape == (3,)


def test_weights_that_lack_a_class_are_refused(published, monkeypatch):
    monkeypatch.setitem(ours.SETS, 'jhmdb14', (*LABELS, 'down'))
    with pytest.raises(UserError, match='the model does not know down'):
        PublishedPeer(published, 'jhmdb14', [1])


def test_weights_of_another_split_are_refused(published):
    PublishedPeer(published, 'penn', [1])
    with pytest.raises(UserError, match='tiny was trained on split 1'):
        PublishedPeer(published, 'jhmdb14', [1, 2])
