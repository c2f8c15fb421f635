"""The whole comparison on a task small enough to learn in seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from action_recognition.benchmarking import compare, network_peer
from action_recognition.errors import UserError
from action_recognition.evaluation.action import FRACTIONS
from action_recognition.evaluation.sets import load_set
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.augment import Augmentation

CONFIGS = {
    'online': ActionConfig(
        'tiny', 'online', {'units': 8}, batch=16, augmentation=Augmentation(flip=0.5)
    )
}


def peers(names: tuple[str, ...], epochs: int = 1) -> list:
    return [compare.create_peer(name, CONFIGS, epochs) for name in names]


@pytest.fixture
def sets(monkeypatch, make_clips):
    parts = {'train': make_clips(24, 1), 'test': make_clips(10, 2)}
    monkeypatch.setattr(compare, 'load_set', lambda _set, _data, part, _split: parts[part])
    monkeypatch.setitem(compare.SETS, 'jhmdb14', ('left', 'right'))
    monkeypatch.setattr(compare, 'ROUNDS', 1)


@pytest.mark.parametrize('name', [name for name in compare.PEERS if name not in ('svm', 'paper')])
def test_every_peer_can_be_made(name):
    peer = compare.create_peer(name, CONFIGS, epochs=5)
    assert (peer.name, peer.trains, peer.recipe['epochs']) == (name, True, 5)
    augmentation = peer.recipe['augmentation']
    assert (augmentation is None) == (name in compare.NETWORKS)
    assert peer.recipe.get('beginnings', False) == name.endswith('+early')
    json.dumps(peer.recipe)


@pytest.mark.parametrize('name', ['tcn', 'ddnet+', 'ddnet+more', 'online+aug', ''])
def test_an_unknown_peer_is_named_with_those_there_are(name):
    with pytest.raises(UserError, match=r'unknown peer .*svm, ddnet, .*online'):
        compare.create_peer(name, CONFIGS)


@pytest.mark.parametrize(('name', 'kind'), [('paper', 'paper'), ('lstm+aug', 'online')])
def test_a_peer_without_its_config_is_refused(name, kind):
    configs = {} if kind == 'online' else CONFIGS
    with pytest.raises(UserError, match=f'needs a config of the model {kind!r}'):
        compare.create_peer(name, configs)


def test_run_trains_scores_times_and_averages(tmp_path, sets):
    found = compare.run('jhmdb14', tmp_path, [1], 2, peers(('ddnet32', 'online')), tmp_path, 1)
    assert (found['set'], found['splits'], found['device']) == ('jhmdb14', [1], 'cpu')
    first, ours = found['rows']
    assert (first['peer'], ours['peer'], ours['ratio']) == ('ddnet32', 'online', 1)
    assert first['ratio'] == pytest.approx(first['ms_median'] / ours['ms_median'])
    assert first['seeds'] == [0, 1]
    assert (first['n'], first['classes']) == (10, 2)
    assert list(first['accuracy_at']) == [str(fraction) for fraction in FRACTIONS]
    assert first['accuracy_at']['1.0'] == first['accuracy']


def test_what_was_trained_is_not_trained_again(tmp_path, sets, monkeypatch):
    trained = []
    train = network_peer.train

    def count(network, source, recipe, seed, title):
        trained.append(title)
        return train(network, source, recipe, seed, title)

    monkeypatch.setattr(network_peer, 'train', count)

    def run(seeds: int, epochs: int, names: tuple[str, ...] = ('ddnet32',)) -> dict:
        made = peers(names, epochs)
        return compare.run('jhmdb14', tmp_path, [1], seeds, made, tmp_path, 1)

    first = run(1, 1)
    assert trained == ['ddnet32 0']
    assert run(1, 1) == first
    assert trained == ['ddnet32 0']
    run(2, 1)
    assert trained == ['ddnet32 0', 'ddnet32 1']
    run(1, 2)  # another recipe is another result
    assert trained == ['ddnet32 0', 'ddnet32 1', 'ddnet32 0']
    rows = json.loads((tmp_path / 'results.json').read_text())
    assert [(row['key']['seed'], row['key']['recipe']['epochs']) for row in rows] == [
        (0, 1),
        (1, 1),
        (0, 2),
    ]


def test_a_result_survives_the_failure_of_a_later_peer(tmp_path, sets, monkeypatch):
    good, bad = peers(('ddnet32', 'lstm'))
    monkeypatch.setattr(bad, 'fit', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        compare.run('jhmdb14', tmp_path, [1], 1, [good, bad], tmp_path, 1)
    (row,) = json.loads((tmp_path / 'results.json').read_text())
    assert row['key']['peer'] == 'ddnet32'


def test_a_peer_is_shown_nothing_but_beginnings(make_clips):
    clips = [replace(clip, label='left') for clip in make_clips(4, 0)]
    shown = []

    class Guess:
        labels = ('left', 'right')

        def probabilities(self, clips):
            shown.append([len(clip) for clip in clips])
            late = np.array([len(clip) >= 4 for clip in clips])
            return np.where(late[:, None], [0.8, 0.2], [0.3, 0.7])

    found = compare.score(Guess(), clips)
    expected = [[int(np.ceil(round(f * len(clip), 6))) for clip in clips] for f in FRACTIONS]
    assert shown == expected
    assert found['accuracy_at']['0.1'] == 0
    assert found['accuracy'] == found['accuracy_at']['1.0'] == 1
    assert found['ece'] == pytest.approx(0.2)


def test_real_clips_go_through_a_peer(data_root: Path, tmp_path):
    train = load_set('jhmdb14', data_root, 'train')
    labels = tuple(sorted({clip.label for clip in train}))
    (peer,) = peers(('ddnet32',))
    peer.fit(train[::8], labels, 0, tmp_path)
    found = compare.score(peer, load_set('jhmdb14', data_root, 'test')[::8])
    assert found['classes'] == 14
    assert all(0 <= accuracy <= 1 for accuracy in found['accuracy_at'].values())
