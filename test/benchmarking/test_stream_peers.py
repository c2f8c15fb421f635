"""Peers for continuous recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.benchmarking import stream_peers
from action_recognition.benchmarking.ddnet import DdNet
from action_recognition.benchmarking.lstm import WindowLstm
from action_recognition.benchmarking.network_peer import Recipe
from action_recognition.benchmarking.speed import walkers
from action_recognition.benchmarking.stream_peers import (
    WINDOWS_OF_CROP,
    PublishedStreamPeer,
    StreamSource,
    TrainedStreamPeer,
    WindowStreamPeer,
    create_peer,
)
from action_recognition.datasets import precog
from action_recognition.datasets.streams import SkeletonStream, precog_stream
from action_recognition.errors import UserError
from action_recognition.recognition.models import create_model
from action_recognition.skeleton import Joint, Poses
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.augment import Augmentation
from action_recognition.training.tasks import StreamTask

CONFIG = ActionConfig(
    'tiny',
    'online',
    {'units': 8},
    set='precog',
    batch=4,
    label_smoothing=0.1,
    augmentation=Augmentation(max_frames=60),
)
BUILDS = {
    'lstm': lambda classes, seconds: WindowLstm(classes, units=8, frames=round(30 * seconds)),
    'ddnet': lambda classes, seconds: DdNet(classes, filters=4),
}
RECIPE = Recipe(epochs=8, batch=32, learning_rate=0.01, ema=0.8)


def small(name: str = 'ddnet', seconds: float = 0.5, **changes) -> WindowStreamPeer:
    torch.manual_seed(0)
    return WindowStreamPeer(name, BUILDS[name], replace(RECIPE, **changes), seconds)


@pytest.fixture
def task(recordings) -> StreamTask:
    """Person 3 is held out of the odd ones."""
    task = StreamTask(CONFIG, Path())
    assert len(task.held_out) == 1
    return task


def uneven_stream(recording: precog.Recording) -> SkeletonStream:
    """With joints missing at random, and frames at uneven distances."""
    rng = np.random.default_rng(0)
    stream = precog_stream(recording)
    hidden = rng.random(stream.score.shape) < 0.1
    stamps = np.cumsum(rng.integers(20_000_000, 90_000_000, len(stream)))
    xy = np.where(hidden[..., None], np.nan, stream.xy + rng.normal(0, 5, stream.xy.shape))
    score = np.where(hidden, 0, stream.score)
    return replace(stream, xy=xy, score=score, stamps=stamps)


@pytest.mark.parametrize('name', stream_peers.PEERS)
def test_every_peer_can_be_made(name):
    peer = create_peer(name, CONFIG, epochs=5, window=0.7)
    assert (peer.name, peer.trains, peer.recipe['epochs']) == (name, True, 5)
    assert peer.recipe['label_smoothing'] == 0.1
    assert peer.recipe['augmentation']['max_frames'] == 60
    assert peer.recipe.get('window') == (None if name == 'online' else 0.7)
    json.dumps(peer.recipe)
    peer.step()(walkers(1, 1)[0])  # the clock asks before anything is trained
    assert peer.parameters > 0


def test_the_lstm_takes_a_step_for_each_frame_of_the_window():
    assert create_peer('lstm+aug', CONFIG, window=0.5).network.frames == 15
    assert create_peer('ddnet+aug', CONFIG, window=0.5).network.frames == 32


def test_an_unknown_peer_is_named_with_those_there_are():
    with pytest.raises(UserError, match=r"unknown peer 'svm'; .*lstm\+aug, ddnet\+aug, online"):
        create_peer('svm', CONFIG)


def test_windows_carry_the_class_of_their_last_frame(task):
    sampler = task.sampler(refit=False)
    source = StreamSource(sampler, 0.5, 20)
    batches = list(source.batches(15, np.random.default_rng(0)))
    assert len(batches) == len(source)
    x, target = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert x.shape == (sum(sampler.crops) * WINDOWS_OF_CROP, 15, 14, 2)
    up = x[:, :, Joint.RIGHT_WRIST, 1] < x[:, :, Joint.RIGHT_SHOULDER, 1]
    assert np.array_equal(up[:, -1], target == 1)
    assert {0, 1} == set(target)
    assert (up[:, -1] != up[:, 0]).any()  # or any frame of the window would do as well


@pytest.mark.parametrize('name', BUILDS)
@pytest.mark.parametrize('seconds', [0.5, 1.0])
def test_a_stream_answers_as_the_recording_does(recordings, name, seconds):
    peer = small(name, seconds)
    peer.network.eval()
    peer.temperature = 0.5
    stream = uneven_stream(recordings[0])
    (expected,) = peer.probabilities([stream])
    assert expected.shape == (90, 9)
    assert expected.sum(1) == pytest.approx(np.ones(90), abs=1e-5)
    step = peer.step()
    other = stream.xy[::-1]  # somebody else in view makes no difference
    for t, stamp in enumerate(stream.stamps):
        both = np.stack([other[t], stream.xy[t]])
        score = np.isfinite(both).all(-1).astype(np.float32)
        found = step(Poses(both, score, np.arange(2), int(stamp), stream.image_size))
        np.testing.assert_allclose(found[1], expected[t], atol=1e-5)


@pytest.mark.parametrize('peer', [small('ddnet'), TrainedStreamPeer(CONFIG)], ids=lambda p: p.name)
def test_no_peer_looks_ahead(recordings, peer):
    if isinstance(peer, WindowStreamPeer):
        peer.network.eval()
    else:
        peer.model.eval()
    stream = uneven_stream(recordings[0])
    names = ('xy', 'score', 'stamps', 'targets')
    part = replace(stream, **{name: getattr(stream, name)[:50] for name in names})
    whole, beginning = (peer.probabilities([shown])[0] for shown in (stream, part))
    np.testing.assert_allclose(beginning, whole[:50], atol=1e-6)


def test_a_network_learns_what_people_it_never_saw_do(tmp_path, task):
    peer = small(epochs=10, batch=8)
    (held_out,) = peer.fit(task, 0, tmp_path, refit=False)
    (stream,) = task.validation
    assert np.array_equal(peer.probabilities([stream])[0], held_out)
    assert np.mean(held_out.argmax(1) == stream.targets) > 0.9
    assert peer.temperature != 1


def test_the_temperature_is_of_the_model_that_did_not_see_the_people_held_out(tmp_path, task):
    alone, both = small(epochs=2), small(epochs=2)
    held_out = alone.fit(task, 0, tmp_path / 'a', refit=False)
    assert np.array_equal(both.fit(task, 0, tmp_path / 'b', refit=True), held_out)
    assert both.temperature == alone.temperature
    found = both.probabilities(task.validation)
    assert not np.allclose(found, held_out)


def test_a_training_is_not_repeated(tmp_path, task, monkeypatch):
    trained = []
    train = stream_peers.train

    def count(network, source, recipe, seed, title):
        trained.append((title, sorted({r.person for r in source.sampler.recordings})))
        return train(network, source, recipe, seed, title)

    monkeypatch.setattr(stream_peers, 'train', count)
    fitting = sorted({1, 3, 5} - set(task.held_out))
    first, second = small(epochs=1), small(epochs=1)
    held_out = first.fit(task, 0, tmp_path, refit=False)
    assert trained == [('ddnet 0 validated', fitting)]
    assert np.array_equal(second.fit(task, 0, tmp_path, refit=True), held_out)
    assert trained[1:] == [('ddnet 0 refit', [1, 3, 5])]
    third = small(epochs=1)
    third.fit(task, 0, tmp_path, refit=True)
    assert len(trained) == 2
    shown = task.validation
    assert np.array_equal(third.probabilities(shown), second.probabilities(shown))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'refit.safetensors',
        'validated.safetensors',
    ]


@pytest.mark.parametrize(
    'content', [b'', b'nothing of the kind', None], ids=['empty', 'text', 'of another']
)
def test_damaged_weights_are_named(tmp_path, task, content):
    path = tmp_path / 'validated.safetensors'
    if content is None:
        small('lstm', epochs=1).fit(task, 0, tmp_path, refit=False)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r'validated\.safetensors is damaged; delete it'):
        small('ddnet').fit(task, 0, tmp_path, refit=False)


def test_our_model_is_trained_and_streamed(tmp_path, task):
    peer = TrainedStreamPeer(CONFIG, epochs=1)
    (held_out,) = peer.fit(task, 0, tmp_path, refit=False)
    (found,) = peer.probabilities(task.validation)
    np.testing.assert_allclose(found, held_out, atol=1e-6)
    assert peer.model.temperature != 1
    (stream,) = task.validation
    step = peer.step()
    for t, stamp in enumerate(stream.stamps):
        poses = Poses(stream.xy[t : t + 1], stream.score[t : t + 1], np.array([7]), int(stamp))
        (estimate,) = step(poses)
        np.testing.assert_allclose(estimate.scores, found[t], atol=1e-4)


@pytest.fixture
def publish(tmp_path):
    def publish(labels: tuple[str, ...]) -> str:
        torch.manual_seed(0)
        path = tmp_path / 'tiny.safetensors'
        header = weights.Header('action', 'tiny', {'model': 'online', 'units': 8}, labels)
        model = create_model('online', len(labels), units=8)
        weights.save(path, model.state_dict(), header)
        return str(path)

    return publish


def test_published_weights_answer_with_the_classes_of_precog(publish, task):
    peer = PublishedStreamPeer(publish((*precog.LABELS, 'wave')))
    assert (peer.name, peer.trains) == ('tiny', False)
    assert peer.fit(task, 0, Path(), refit=True) is None
    (found,) = peer.probabilities(task.validation)
    assert found.shape == (90, 9)
    assert found.sum(1) == pytest.approx(np.ones(90), abs=1e-5)


def test_weights_that_lack_a_class_are_refused(publish):
    with pytest.raises(UserError, match='the model does not know elbow_strike'):
        PublishedStreamPeer(publish(precog.LABELS[:-1]))
