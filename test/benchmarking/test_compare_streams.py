"""The comparison on continuous recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from action_recognition.benchmarking import compare_streams
from action_recognition.benchmarking.compare_streams import assess, best_labels
from action_recognition.benchmarking.ddnet import DdNet
from action_recognition.benchmarking.network_peer import Recipe
from action_recognition.benchmarking.stream_peers import TrainedStreamPeer, WindowStreamPeer
from action_recognition.datasets import precog, streams
from action_recognition.datasets.streams import precog_stream
from action_recognition.errors import UserError
from action_recognition.evaluation import online
from action_recognition.recognition.labels import LabelConfig
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.augment import Augmentation
from action_recognition.training.tasks import StreamTask

CONFIG = ActionConfig(
    'tiny', 'online', {'units': 8}, set='precog', batch=4, augmentation=Augmentation(max_frames=60)
)


def said(stream, action: float, idle: float) -> np.ndarray:
    """(T, 9): the probability of class 1 while it is done and while it is not; the rest: none."""
    p = np.zeros((len(stream), 9), np.float32)
    p[:, 1] = np.where(stream.targets == 1, action, idle)
    # In the first frames nobody is wrong, so that there is a false alarm and not one long label.
    p[:5, 1] = 0
    p[:, 0] = 1 - p[:, 1]
    return p


class Told:
    """A peer that says what it is told, of people held out and of others."""

    name, trains, parameters, recipe = 'told', True, 3, {}

    def __init__(self, held_out, others) -> None:
        self.held_out, self.others, self.refit = held_out, others, None

    def fit(self, task, seed, folder, refit):
        self.refit = refit
        return None if self.held_out is None else [said(s, *self.held_out) for s in task.validation]

    def probabilities(self, asked):
        return [said(stream, *self.others) for stream in asked]

    def step(self):
        return lambda poses: None


@pytest.fixture
def task(recordings) -> StreamTask:
    return StreamTask(CONFIG, Path())


@pytest.fixture
def test_part(recordings) -> list[streams.SkeletonStream]:
    return [precog_stream(recording) for recording in recordings if recording.person % 2 == 0]


@pytest.mark.parametrize(
    ('action', 'idle', 'enter', 'exit_'),
    [
        (0.65, 0.0, 0.6, 0.6),  # anything below finds both actions too: the highest is taken
        (0.95, 0.0, 0.9, 0.8),
        (0.95, 0.55, 0.9, 0.8),  # an exit of .5 would never end
        (0.75, 0.65, 0.7, 0.7),
    ],
)
def test_thresholds_are_those_with_the_best_f1(test_part, action, idle, enter, exit_):
    found = best_labels(test_part, [said(stream, action, idle) for stream in test_part])
    assert (found.enter, found.exit) == (enter, exit_)
    assert replace(found, enter=0.85, exit=0.6) == LabelConfig()


def test_tuned_figures_have_the_thresholds_of_the_people_held_out(task, test_part):
    peer = Told(held_out=(0.65, 0.0), others=(0.62, 0.55))
    found = assess(peer, task, test_part, 0, Path())
    assert peer.refit is True
    answers = peer.probabilities(test_part)
    assert {k: v for k, v in found.items() if k not in ('tuned', 'parameters')} == (
        online.figures(test_part, answers)
    )
    expected = online.figures(test_part, answers, LabelConfig(enter=0.6, exit=0.6))
    assert (found['tuned'].pop('enter'), found['tuned'].pop('exit')) == (0.6, 0.6)
    assert found['tuned'] == {name: expected[name] for name in compare_streams.OF_LABELS}
    assert (found['f1_at_50'], found['tuned']['f1_at_50']) == (0, 1)
    assert found['parameters'] == 3


def test_the_validation_part_is_the_people_held_out(task):
    peer = Told(held_out=(0.65, 0.0), others=(0.65, 0.0))
    found = assess(peer, task, None, 0, Path())
    assert peer.refit is False
    assert (found['streams'], found['n']) == (1, 2)
    assert found['tuned']['f1_at_50'] == 1


def test_published_weights_have_no_thresholds_of_their_own(task, test_part):
    found = assess(Told(None, (0.9, 0.0)), task, test_part, 0, Path())
    assert found['tuned'] is None
    assert found['f1_at_50'] == 1


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(compare_streams, 'ROUNDS', 1)


def entrants() -> list:
    def ddnet(classes: int, _seconds: float) -> DdNet:
        return DdNet(classes, filters=4)

    return [WindowStreamPeer('ddnet', ddnet, Recipe(1), 0.5), TrainedStreamPeer(CONFIG, epochs=1)]


def run(out: Path, seeds: int = 1, peers: list | None = None, **changes) -> dict:
    return compare_streams.run(CONFIG, out, seeds, peers or entrants(), out, 1, **changes)


def test_run_trains_scores_times_and_averages(tmp_path, recordings, quick):
    found = run(tmp_path, 2)
    assert (found['set'], found['part'], found['device']) == ('precog', 'test', 'cpu')
    assert found['people'] == ['person 2', 'person 4']
    first, ours = found['rows']
    assert (first['peer'], ours['peer'], ours['ratio']) == ('ddnet', 'online', 1)
    assert first['ratio'] == pytest.approx(first['ms_median'] / ours['ms_median'])
    assert first['fps'] == pytest.approx(1e3 / first['ms_median'])
    for row in (first, ours):
        assert (row['seeds'], row['streams'], row['n'], row['frames']) == ([0, 1], 2, 4, 180)
        assert 0 <= row['frame_accuracy'] <= 1
        assert row.keys() >= {'map', 'map_std', 'f1_at_50_std', 'tuned', 'parameters', 'ece'}


def test_what_was_trained_is_scored_from_the_file_and_timed_anew(tmp_path, recordings, quick):
    first = run(tmp_path)
    peers = entrants()
    for peer in peers:
        peer.fit = None  # would fail if it were called
    again = run(tmp_path, peers=peers)
    timed = {'ms_median', 'ms_p95', 'fps', 'ratio'}
    for row, other in zip(first['rows'], again['rows'], strict=True):
        assert {k: v for k, v in row.items() if k not in timed} == {
            k: v for k, v in other.items() if k not in timed
        }
    rows = json.loads((tmp_path / 'results.json').read_text())
    assert not any(timed & row['figures'].keys() for row in rows)


def test_both_parts_share_the_models_that_were_validated(tmp_path, recordings, quick):
    found = run(tmp_path, validation=True)
    (held_out,) = StreamTask(CONFIG, tmp_path).held_out
    assert (found['part'], found['people']) == ('validation', [f'person {held_out}'])
    (saved,) = tmp_path.glob(f'precog-without-{held_out}/ddnet-*/0/*.safetensors')
    before = saved.stat().st_mtime_ns
    run(tmp_path)
    assert saved.stat().st_mtime_ns == before
    assert (saved.parent / 'refit.safetensors').is_file()
    parts = [row['key']['part'] for row in json.loads((tmp_path / 'results.json').read_text())]
    assert parts == ['validation'] * 2 + ['test'] * 2


def test_other_people_held_out_are_another_result(tmp_path, recordings, quick):
    one, other = CONFIG, replace(CONFIG, seeds=(4,))
    held_out = [StreamTask(config, tmp_path).held_out for config in (one, other)]
    assert held_out[0] != held_out[1]
    for config in (one, other):
        peers = entrants()[:1]
        compare_streams.run(config, tmp_path, 1, peers, tmp_path, 1, validation=True)
    rows = json.loads((tmp_path / 'results.json').read_text())
    assert [row['key']['held_out'] for row in rows] == held_out


def test_published_weights_are_not_asked_about_people_they_may_know(tmp_path, recordings):
    peer = Told(None, (0.9, 0.0))
    peer.trains = False
    with pytest.raises(UserError, match='told may know the people of the validation part'):
        run(tmp_path, peers=[peer], validation=True)
    assert peer.refit is None


def test_a_config_of_clips_is_refused(tmp_path):
    config = replace(CONFIG, set='penn')
    with pytest.raises(UserError, match='needs a config of that set, not of penn'):
        compare_streams.run(config, tmp_path, 1, entrants(), tmp_path, 1)


def test_real_recordings_go_through_a_peer(data_root, tmp_path):
    config = replace(CONFIG, augmentation=Augmentation(max_frames=256))
    task = StreamTask(config, data_root)
    peer = entrants()[0]
    test = streams.precog_streams(task.folder, 'test')[:2]
    found = assess(peer, task, test, 0, tmp_path)
    assert found['streams'] == 2
    assert 0 <= found['frame_accuracy'] <= 1
    assert set(found['per_class']) <= set(precog.LABELS)
