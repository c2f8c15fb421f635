"""Which data a config learns from, and what it is tested on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from action_recognition import weights
from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets import penn, precog, union32
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.estimated import JointCache
from action_recognition.evaluation.sets import SETS
from action_recognition.recognition.models import create_model
from action_recognition.training import tasks
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.augment import Augmentation
from action_recognition.training.tasks import (
    ClipTask,
    StreamTask,
    create_task,
    fit_temperature,
    labels_of,
    test_sets,
    watch,
)

test_sets.__test__ = False  # a function of ours, not a test


@pytest.fixture
def sets(monkeypatch, people) -> list[tuple]:
    """Two clips of each class of each set, and what was asked for."""
    asked = []

    def load(name, _data, part, split, joints=None, _cache=None):
        asked.append((name, part, split, *([joints] if joints else [])))
        clips = []
        for label in SETS[name]:
            for k, clip in enumerate(people[:2]):
                clips.append(
                    replace(clip, name=f'{label}/{part}{k}', label=label, group=f'{label}{part}{k}')
                )
        return clips

    monkeypatch.setattr(tasks, 'load_set', load)
    return asked


@pytest.fixture
def precog_set(monkeypatch, recordings):
    monkeypatch.setattr(precog, 'load_precog', lambda _root: recordings)


def config(**changes) -> ActionConfig:
    return ActionConfig('t', 'online', settings={'units': 8}, **changes)


def test_fine_labels_keep_apart_what_the_task_joins():
    assert labels_of(config()) == union32.LABELS
    fine = labels_of(config(labels='fine'))
    assert len(fine) == 33
    assert {'tennis_serve', 'tennis_forehand'} == set(fine) - set(union32.LABELS)
    assert labels_of(config(labels='fine', background=0.1)) == (*fine, BACKGROUND_LABEL)
    assert labels_of(config(set='penn')) == penn.CLASSES


@pytest.mark.parametrize(
    ('changes', 'known'),
    [
        ({}, ('union32', 'penn', 'jhmdb21', 'jhmdb14')),
        ({'split': 2}, ('penn', 'jhmdb21', 'jhmdb14')),
        ({'set': 'jhmdb21', 'split': 3}, ('jhmdb21', 'jhmdb14')),
        ({'set': 'jhmdb14'}, ('jhmdb14',)),
        ({'set': 'penn'}, ('penn',)),
    ],
    ids=str,
)
def test_a_model_is_tested_on_the_sets_whose_classes_it_knows(changes, known):
    assert test_sets(config(**changes)) == known


def test_union32_takes_any_split_and_tests_on_that_split(tmp_path, sets):
    task = create_task(config(split=2, labels='fine'), tmp_path)
    assert isinstance(task, ClipTask)
    assert sets == [('jhmdb21', 'train', 2), ('penn', 'train', 1)]
    assert {clip.label for clip in task.clips} == set(task.labels)
    assert {clip.label for clip in task.watched} <= set(union32.LABELS)
    sets.clear()
    found = task.test(create_model('online', 33, units=8).eval())
    assert sets == [('penn', 'test', 1), ('jhmdb21', 'test', 2), ('jhmdb14', 'test', 2)]
    assert {name: len(figures['per_class']) for name, figures in found.items()} == {
        'penn': 15,
        'jhmdb21': 21,
        'jhmdb14': 14,
    }


def test_estimated_joints_teach_and_test_and_videos_without_anybody_teach_nothing(
    tmp_path, sets, monkeypatch
):
    given, asked_caches = tasks.load_set, []

    def load(name, data, part, split, joints, cache):
        asked_caches.append(cache)
        clips = given(name, data, part, split, joints)
        nobody = np.full_like(clips[0].xy, np.nan), np.zeros_like(clips[0].score)
        return [replace(clips[0], xy=nobody[0], score=nobody[1]), *clips[1:]]

    monkeypatch.setattr(tasks, 'load_set', load)
    cache = JointCache(tmp_path)
    task = create_task(config(set='jhmdb21', split=2, joints='estimated'), tmp_path, cache)
    assert task.about == {'unseen_clips': 1, 'joints_by': cache.found_by}
    assert cache.found_by.split()[1] == weights.digest(weights.find('pose'))
    assert task.taught_by == {'estimated joints': cache.place.name}
    assert len(task.clips) == 2 * 21 - 1
    figures = task.test(create_model('online', 21, units=8).eval())
    assert figures['jhmdb21']['n'] == 2 * 21  # there it counts, as wrong
    assert sets == [
        ('jhmdb21', 'train', 2, 'estimated'),
        ('jhmdb21', 'test', 2, 'estimated'),
        ('jhmdb14', 'test', 2, 'estimated'),
    ]
    assert asked_caches == [cache] * 3


def test_background_takes_no_part_in_the_figures_of_closed_sets(tmp_path, sets, precog_set):
    task = create_task(config(set='jhmdb14', background=0.2), tmp_path)
    assert task.labels == (*SETS['jhmdb14'], BACKGROUND_LABEL)
    assert 'PRECOG' in task.licence
    index = {label: k for k, label in enumerate(task.labels)}
    logits = []
    for clip in task.validation:  # sure of the background, and right about the rest
        answer = np.zeros((len(clip), 15), np.float32)
        answer[:, index[clip.label]], answer[:, -1] = 5, 9
        logits.append(answer)
    model = create_model('online', 15, units=8)
    assert task.validate(model, logits)['accuracy'] == 1
    (batch, *_) = task.sampler(refit=True).batches(np.random.default_rng(0))
    assert batch.target.max() <= 14


def test_background_without_precog_is_an_error_that_says_so(tmp_path, sets):
    with pytest.raises(UserError, match=r'needs PRECOG: .*precog2016'):
        create_task(config(background=0.1), tmp_path)


def test_precog_keeps_people_apart(tmp_path, precog_set):
    settings = config(set='precog', validation=0.4, augmentation=Augmentation(max_frames=60))
    task = create_task(settings, tmp_path)
    assert isinstance(task, StreamTask)
    assert task.labels == precog.LABELS
    assert task.about['people'] == [1, 3, 5, 7]
    held_out = set(task.about['validation_people'])
    assert len(held_out) == 2
    assert {stream.group for stream in task.validation} == {f'person {k}' for k in held_out}
    learnt = {recording.person for recording in task.sampler(refit=False).recordings}
    assert learnt == {1, 3, 5, 7} - held_out
    assert {r.person for r in task.sampler(refit=True).recordings} == {1, 3, 5, 7}
    model = create_model('online', 9, units=8).eval()
    figures = task.test(model)['precog']
    assert (figures['streams'], figures['n']) == (2, 2)  # the even people, one strike each


def test_watching_streams_and_clips_alike(tmp_path, precog_set, people, monkeypatch):
    settings = config(set='precog', augmentation=Augmentation(max_frames=60))
    streams = create_task(settings, tmp_path).validation
    model = create_model('online', 9, units=8).eval()
    wrong_at_last = np.zeros((90, 9), np.float32)
    wrong_at_last[np.arange(90), streams[0].targets] = 20
    wrong_at_last[80:] = wrong_at_last[40]
    monkeypatch.setattr(tasks.online, 'stream_logits', lambda _, s: [wrong_at_last] * len(s))
    found = watch(model, streams, precog.LABELS, precog.LABELS)
    assert found['val_accuracy'] == pytest.approx(2 / 3)  # of three segments
    assert found['val_accuracy_streaming'] == pytest.approx(80 / 90)

    clip: SkeletonClip = people[0]
    answer = np.zeros((20, 2), np.float32)
    answer[10:, 1] = 20
    monkeypatch.setattr(tasks, 'clip_logits', lambda *_args, **_kw: [answer])
    found = watch(model, [clip], ('left', 'right'), ('left', 'right'))
    assert found['val_accuracy'] == 1
    assert found['val_accuracy_streaming'] == 0.5
    assert found['val_loss'] == pytest.approx(0, abs=1e-6)


def test_temperature_leaves_out_frames_that_are_not_scored(tmp_path, precog_set):
    settings = config(set='precog', augmentation=Augmentation(max_frames=60))
    stream = create_task(settings, tmp_path).validation[0]
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (90, 9)).astype(np.float32)
    logits[np.arange(90), stream.targets] += 1
    half = replace(stream, targets=np.where(np.arange(90) < 45, stream.targets, -1))
    short = replace(
        stream,
        xy=stream.xy[:45],
        score=stream.score[:45],
        stamps=stream.stamps[:45],
        targets=stream.targets[:45],
    )
    masked = fit_temperature([logits], [half], precog.LABELS)
    expected = fit_temperature([logits[:45]], [short], precog.LABELS)
    assert masked == pytest.approx(expected, rel=1e-2)
