"""Who is who in a bag, figures by a second way, thresholds, and what went worst."""

from __future__ import annotations

import numpy as np
import pytest
from bag_recipes import LABELS, START, STEP

from action_recognition.datasets.streams import SkeletonStream
from action_recognition.datasets.truth import ANY, Segment
from action_recognition.errors import UserError
from action_recognition.evaluation import bag, online
from action_recognition.evaluation.bag_timelines import (
    Timeline,
    broken,
    figures,
    thresholds,
    timelines,
)
from action_recognition.evaluation.bag_worst import failures
from action_recognition.evaluation.offline import Frames
from action_recognition.recognition.labels import ActionEstimate, LabelConfig
from action_recognition.skeleton import NUM_JOINTS, Poses


def say(track, label, confidence, state='candidate'):
    scores = np.full(4, (1 - confidence) / 3, np.float32)
    scores[label] = confidence
    return ActionEstimate(track, label, LABELS[label], confidence, state, 0, scores)


def frames_of(count):
    return Frames('t', [Poses.empty(START + k * 10**9) for k in range(count)])


def test_any_is_whoever_is_surest_of_an_action():
    answers = [
        [say(1, 0, 0.99), say(2, 3, 0.4)],  # nobody is surer of nothing than somebody of waving
        [say(1, 1, 0.9), say(2, 3, 0.5, 'confirmed')],
        [say(1, 1, 0.6, 'confirmed'), say(2, 3, 0.7, 'confirmed')],
        [say(1, 1, 0.9, 'ended')],
        [],
    ]
    rows = [Segment('k', 0, 5, ANY, 'wave')]
    (t,) = timelines('k', frames_of(5), answers, rows, LABELS)
    assert t.probabilities.argmax(1).tolist() == [3, 3, 3, 0, 0]
    assert t.said.tolist() == [-1, 3, 3, -1, -1]
    assert t.tracked.tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(t.probabilities.sum(1), 1, atol=1e-6)


def test_people_by_id_and_by_the_names_of_a_recording():
    answers = [[say(1, 1, 0.9, 'confirmed'), say(2, 3, 0.8, 'confirmed')]] * 3
    rows = [Segment('k', 0, 2, '1', 'clap'), Segment('k', 0, 2, '2', 'wave')]
    one, two = timelines('k', frames_of(3), answers, rows, LABELS)
    assert (one.person, one.said.tolist(), one.targets.tolist()) == ('1', [1] * 3, [1, 1, 0])
    assert (two.person, two.said.tolist(), two.targets.tolist()) == ('2', [3] * 3, [3, 3, 0])
    one, two = timelines('k', frames_of(3), answers, rows, LABELS, ids={1: 2})
    assert not one.tracked.any()
    assert two.said.tolist() == [1] * 3


def test_a_model_without_a_class_of_no_action_gets_one():
    rows = [Segment('k', 0, 1, ANY, 'wave')]
    estimate = ActionEstimate(1, 2, 'wave', 0.8, 'candidate', 0, np.array([0.1, 0.1, 0.8]))
    (t,) = timelines('k', frames_of(2), [[estimate], []], rows, LABELS[1:])
    assert t.classes == (*LABELS[1:], 'background')
    np.testing.assert_allclose(t.probabilities, [[0.1, 0.1, 0.8, 0], [0, 0, 0, 1]])


# --- figures --------------------------------------------------------------------------------


def test_figures_are_those_of_continuous_sets():
    """The same answers through `online.figures`, which filters labels by itself."""
    rng = np.random.default_rng(1)
    target = np.repeat([0, 3, 0, 1, 0, 2, 0], 30)
    p = rng.dirichlet(np.ones(4), len(target)).astype(np.float32)
    p = 0.1 * p + 0.9 * np.eye(4, dtype=np.float32)[np.roll(target, 9)]
    stamps = np.arange(len(target)) * STEP
    xy = np.zeros((len(target), NUM_JOINTS, 2))
    stream = SkeletonStream('k', 'k', xy, np.ones(xy.shape[:2]), stamps, (640, 480), LABELS, target)
    said = online.published(stream, p, LabelConfig())
    ours = Timeline('k', ANY, LABELS, stamps, target, p, said, np.ones(len(target), bool))
    expected = online.figures([stream], [p])
    found = figures([ours])
    for key in ('accuracy', 'frame_accuracy', 'map', 'f1_at_25', 'time_to_detect_s', 'ece'):
        assert found[key] == pytest.approx(expected[key])
    assert found['tracked_fraction'] == 1
    row = found['per_class']['wave']
    assert (row['segments'], row['accuracy'], row['detected']) == (1, 1, 1)
    assert row['time_to_detect_s'] == pytest.approx(9 * STEP * 1e-9)


def test_without_actions_only_what_can_be_measured_is():
    t = timelines('k', frames_of(61), [[say(1, 3, 0.9, 'confirmed')]] * 61, [], LABELS)
    found = figures(t)
    assert found['false_alarms_per_min'] == pytest.approx(60 / 61)
    assert found['frame_accuracy'] == 0
    assert found['map'] is found['accuracy'] is found['f1_at_25'] is None


def test_who_is_not_tracked_has_no_confidence():
    rows = [Segment('k', 0, 9, ANY, 'wave')]
    answers = [[say(1, 3, 1.0)], *[[]] * 8]
    found = figures(timelines('k', frames_of(9), answers, rows, LABELS))
    assert found['ece'] == pytest.approx(0, abs=1e-6)
    assert found['frame_accuracy'] == pytest.approx(1 / 9)
    assert found['tracked_fraction'] == pytest.approx(1 / 9)


def test_thresholds():
    bounds = thresholds(['f1_at_25=0.5', 'ece=0.05', 'map=0.9'])
    assert broken({'f1_at_25': 0.5, 'ece': 0.05, 'map': 0.95}, bounds) == []
    lines = broken({'f1_at_25': 0.4, 'ece': 0.06, 'map': None}, bounds)
    assert lines == [
        'f1_at_25 is 0.4, below 0.5',
        'ece is 0.06, above 0.05',
        'map could not be measured, but must reach 0.9',
    ]
    with pytest.raises(UserError, match='f2 is no figure; there are accuracy'):
        thresholds(['f2=1'])
    with pytest.raises(UserError, match='METRIC=VALUE'):
        thresholds(['map'])


def test_the_worst_come_first():
    rows = [Segment('k', 2, 4, ANY, 'wave'), Segment('k', 10, 19, ANY, 'clap')]
    answers = [[say(1, 3, 0.9, 'confirmed' if k < 2 else 'candidate')] for k in range(20)]
    frames = frames_of(20)
    found = timelines('k', frames, answers, rows, LABELS)
    scored = bag.Scored('k', frames, answers, found, 1.0, [])
    texts = [failure.text for failure in failures(scored)]
    assert texts[0].startswith('clap, 10.00 to 19.00 s: mostly wave (90%)')
    assert texts[1] == 'wave said, 0.00 to 2.00 s: nobody acts'
    assert texts[2].startswith('wave, 2.00 to 4.00 s')
