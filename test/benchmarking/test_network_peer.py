"""Networks over windows as peers, and the loop that trains them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tqdm import tqdm

from action_recognition.benchmarking import network_peer
from action_recognition.benchmarking.ddnet import DdNet
from action_recognition.benchmarking.network_peer import NetworkPeer, Recipe, draw, network_step
from action_recognition.benchmarking.speed import walkers
from action_recognition.benchmarking.windows import windows
from action_recognition.training.augment import Augmentation

LABELS = ('left', 'right')
RECIPE = Recipe(epochs=8, batch=8, learning_rate=0.01, ema=0.8)


def small(recipe: Recipe) -> NetworkPeer:
    return NetworkPeer('ddnet', partial(DdNet, filters=4), recipe)


@pytest.mark.parametrize(
    'recipe',
    [
        RECIPE,
        replace(RECIPE, augmentation=Augmentation(jitter=0.01), label_smoothing=0.1),
        replace(RECIPE, augmentation=Augmentation(jitter=0.01), beginnings=True),
    ],
    ids=['usual', 'augmented', 'early'],
)
def test_a_network_learns_and_answers_with_probabilities(tmp_path, make_clips, recipe):
    peer = small(recipe)
    peer.fit(make_clips(48, 1), LABELS, 0, tmp_path)
    test = make_clips(16, 2)
    found = peer.probabilities(test)
    assert found.shape == (16, 2)
    assert found.sum(1) == pytest.approx(np.ones(16), abs=1e-5)
    assert np.mean(found.argmax(1) == [LABELS.index(clip.label) for clip in test]) >= 0.9
    assert peer.labels == LABELS


def test_equal_seeds_train_equal_networks_and_others_do_not(tmp_path, make_clips):
    found = []
    for seed in (0, 0, 1):
        peer = small(replace(RECIPE, epochs=1))
        peer.fit(make_clips(16, 1), LABELS, seed, tmp_path)
        found.append(peer.probabilities(make_clips(4, 2)))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_a_progress_bar_that_is_switched_off_changes_nothing(tmp_path, make_clips, monkeypatch):
    found = []
    for disable in (False, True):
        monkeypatch.setattr(network_peer, 'tqdm', partial(tqdm, disable=disable))
        peer = small(replace(RECIPE, epochs=2))
        peer.fit(make_clips(16, 1), LABELS, 0, tmp_path)
        found.append(peer.probabilities(make_clips(4, 2)))
    assert np.array_equal(*found)


def test_a_usual_epoch_sees_nine_tenths_of_the_frames_in_order(make_clips):
    clip = make_clips(1, 0)[0]
    drawn = draw(clip, RECIPE, np.random.default_rng(0))
    assert len(drawn) == round(0.9 * len(clip))
    assert (np.diff(drawn[:, 0, 0]) < 0).all()


def test_half_of_the_clips_are_cut_to_beginnings(make_clips):
    clip = make_clips(1, 0)[0]
    recipe = replace(RECIPE, augmentation=Augmentation(), beginnings=True)
    rng = np.random.default_rng(0)
    drawn = [draw(clip, recipe, rng) for _ in range(200)]
    assert all(np.array_equal(xy, clip.xy[: len(xy)]) for xy in drawn)
    lengths = [len(xy) for xy in drawn]
    assert min(lengths) <= 2
    assert 0.4 < np.mean([length == len(clip) for length in lengths]) < 0.65


def test_a_stream_answers_as_the_network_does_about_its_last_frames():
    torch.manual_seed(0)
    network = DdNet(3, filters=4).eval()
    frames = walkers(2, 40)
    step = network_step(network)
    answers = [step(poses) for poses in frames]
    past = np.stack([poses.xy for poses in frames[-32:]], 1)
    with torch.inference_mode():
        expected = network(torch.from_numpy(windows(list(past), 32))).softmax(-1)
    assert answers[0].shape == (2, 3)
    np.testing.assert_allclose(answers[-1], expected, atol=1e-6)
