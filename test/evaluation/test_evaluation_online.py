"""Figures on continuous recordings: by hand, and against slow plain references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.datasets import precog
from action_recognition.datasets.streams import SkeletonStream, segments
from action_recognition.errors import UserError
from action_recognition.evaluation import online
from action_recognition.evaluation.bag_timelines import Timeline, per_class
from action_recognition.evaluation.online import (
    answer_figures,
    average_precision,
    detection_times,
    durations,
    extra_changes,
    false_alarms,
    figures,
    published,
    segment_hits,
    segment_scores,
    segmental_f1,
    stream_logits,
    true_actions,
)
from action_recognition.recognition.base import softmax
from action_recognition.recognition.labels import LabelConfig
from action_recognition.recognition.models import OnlineRecognizer, PaperRecognizer
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import Poses

CLASSES = ('none', 'hit', 'kick')
NOW = LabelConfig(enter=0.6, exit=0.6, dwell=0)


def stream(targets, rate: float = 10, classes=CLASSES, seed: int = 0) -> SkeletonStream:
    steps = len(targets)
    rng = np.random.default_rng(seed)
    return SkeletonStream(
        name='s',
        group='s',
        xy=(rng.uniform(0, 99, (14, 2)) + rng.normal(0, 2, (steps, 14, 2)).cumsum(0)),
        score=np.ones((steps, 14)),
        stamps=np.round(np.arange(steps) * (1e9 / rate)).astype(np.int64),
        image_size=(100, 100),
        classes=tuple(classes),
        targets=np.array(targets),
    )


def sure(labels, p: float = 0.8) -> np.ndarray:
    """Probabilities in which these classes stand out."""
    rest = (1 - p) / (len(CLASSES) - 1)
    out = np.full((len(labels), len(CLASSES)), rest, np.float32)
    out[np.arange(len(labels)), labels] = p
    return out


# --- what a model says ----------------------------------------------------------------------


def test_streams_are_answered_as_by_the_recogniser_that_robots_run():
    torch.manual_seed(0)
    model = OnlineRecognizer(3, units=8).eval()
    streams = [stream([0] * steps, rate, seed=steps) for steps, rate in ((9, 30), (25, 15), (9, 8))]
    answers = stream_logits(model, streams)
    recognizer = StreamingRecognizer(model, CLASSES)
    for s, logits in zip(streams, answers, strict=True):
        recognizer.reset()
        for t, stamp in enumerate(s.stamps):
            poses = Poses(s.xy[t][None], s.score[t][None], [1], int(stamp), s.image_size)
            (estimate,) = recognizer.update(poses)
            scores = softmax(logits[t], model.temperature)
            np.testing.assert_allclose(estimate.scores, scores, atol=1e-5)


def test_the_papers_model_is_refused():
    with pytest.raises(UserError, match='need a streaming model'):
        stream_logits(PaperRecognizer(3, units=8), [stream([0, 1])])


def test_published_labels_are_confirmed_actions_of_scored_frames():
    s = stream([0, 0, 1, 1, 1, -1, 2, 2])
    p = sure([0, 0, 1, 1, 1, 1, 2, 1])
    assert published(s, p, NOW).tolist() == [-1, -1, 1, 1, 1, -1, 2, 1]
    slow = LabelConfig(enter=0.6, exit=0.3, dwell=0.2)
    assert published(s, p, slow).tolist() == [-1, -1, -1, -1, 1, -1, 1, 1]


# --- single figures -------------------------------------------------------------------------


def test_average_precision_by_hand():
    assert average_precision([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([0.1, 0.9], [0, 1]) == 1
    assert average_precision([0.5] * 4, [0, 1, 0, 0]) == 0.25  # nothing tells them apart


def test_average_precision_against_a_plain_loop():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 20, 200) / 20  # with ties
    positive = rng.random(200) < score
    total, before = 0.0, 0
    for threshold in sorted(set(score), reverse=True):
        above = [positive[i] for i in range(200) if score[i] >= threshold]
        total += sum(above) / len(above) * (sum(above) - before)
        before = sum(above)
    assert average_precision(score, positive) == pytest.approx(total / positive.sum())


def test_segmental_f1_by_hand():
    truth = [[(0, 10, 1), (10, 20, 2)], [(0, 4, 1)]]
    said = [[(0, 5, 1), (5, 9, 1), (12, 20, 2)], [(0, 4, 2)]]
    # 5 of 10 and 8 of 10 frames shared; the second piece of the first action is one too many,
    # the label of the last is wrong.
    assert segmental_f1(truth, said, 0.5) == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert segmental_f1(truth, said, 0.6) == pytest.approx(2 * 1 / (2 * 1 + 3 + 2))
    assert segmental_f1(truth, truth, 0.5) == 1
    assert segmental_f1(truth, [[], []], 0.5) == 0


def test_segmental_f1_against_sets_of_frames():
    rng = np.random.default_rng(2)
    for overlap in (0.1, 0.25, 0.5):
        streams = [
            [segments(np.repeat(rng.integers(-1, 3, 12), rng.integers(1, 9, 12))) for _ in 'ab']
            for _ in range(5)
        ]
        right = wrong = missed = 0
        for truth, said in streams:
            found = set()
            for start, stop, label in said:
                shares = []
                for begin, end, name in truth:
                    mine, theirs = set(range(start, stop)), set(range(begin, end))
                    same = name == label
                    shares.append(same * len(mine & theirs) / len(mine | theirs))
                best = int(np.argmax(shares))
                if shares[best] >= overlap and best not in found:
                    found.add(best)
                    right += 1
                else:
                    wrong += 1
            missed += len(truth) - len(found)
        precision, recall = right / (right + wrong), right / (right + missed)
        expected = 2 * precision * recall / (precision + recall)
        truth, said = zip(*streams, strict=True)
        assert segmental_f1(truth, said, overlap) == pytest.approx(expected)


def test_detection_times_by_hand():
    s = stream([0, 1, 1, 1, 0, 2, 2, 1, 1])
    said = np.array([-1, -1, 2, 1, 1, -1, 1, 1, 1])
    assert detection_times(s, said) == [pytest.approx(0.2), None, 0.0]


def test_false_alarms_by_hand():
    #                 begins in action; alarm; goes on into an action; alarm over unscored frames
    targets = np.array([1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, -1, 0])
    said = np.array([-1, 1, 1, -1, 2, -1, 1, 1, 1, 2, -1, 2, -1, 2])
    assert [(a, b) for a, b, _ in segments(said)] == [
        *((1, 3), (4, 5), (6, 9), (9, 10), (11, 12), (13, 14))
    ]
    assert false_alarms(stream(targets), said) == 3
    everything = stream([0, 0, 1, 1], classes=('run', 'hit', 'kick'))
    assert false_alarms(everything, np.array([1, -1, 2, 2])) == 0


@pytest.mark.parametrize(
    ('said', 'flips'),
    [
        ([-1, -1, 1, 1, 1, -1, -1, -1], 0),  # as the truth asks, a frame late or early
        ([-1, 1, 1, 1, 1, 1, -1, -1], 0),
        ([-1, -1, 1, -1, 1, -1, -1, -1], 2),
        ([-1, -1, 2, 1, 1, 1, 1, 1], 1),
        ([1, -1, -1, -1, -1, 1, -1, 1], 2),
    ],
)
def test_changes_that_the_truth_does_not_ask_for(said, flips):
    assert extra_changes(stream([0, 0, 1, 1, 1, 0, 0, 0]), np.array(said)) == flips


def test_durations():
    np.testing.assert_allclose(durations(stream([0] * 4, rate=4)), [0.25] * 4)
    assert durations(stream([0])).tolist() == [0]


def test_one_label_per_action():
    s = stream([0, 1, 1, 1, 1, 2, 2])
    p = sure([0, 2, 0, 0, 1, 0, 2])
    truth, scores = segment_scores([s, s], [p, p])
    assert truth.tolist() == [1, 2, 1, 2]
    np.testing.assert_allclose(scores[0], [0, (0.1 * 3 + 0.8) / 4, (0.1 * 3 + 0.8) / 4], rtol=1e-5)
    np.testing.assert_allclose(scores[1], [0, 0.1, 0.45], rtol=1e-5)
    np.testing.assert_allclose(segment_scores([s], [p], 0.25)[1][0], [0, 0.1, 0.8], rtol=1e-5)


def test_an_action_of_which_nothing_was_seen_has_no_label():
    # As a bag has it: the first class is an action, and who is not tracked does nothing.
    s = stream([0] * 5 + [1] * 5, classes=('nod', 'wave', 'background'))
    p = np.tile(np.array([0, 0, 1], np.float32), (len(s), 1))
    assert segment_hits([s], [p])[1].tolist() == [False, False]
    said, tracked = np.full(len(s), -1), np.zeros(len(s), bool)
    out = answer_figures([s], [p], [said], [tracked])
    assert (out['accuracy'], out['missed_fraction']) == (0, 1)
    assert set(out['accuracy_at'].values()) == {0}
    assert out['per_class'] == {'nod': 0, 'wave': 0}
    timeline = Timeline('k', 'any', s.classes, s.stamps, s.targets, p, said, tracked)
    rows = per_class([timeline])
    assert [row['accuracy'] for row in rows.values()] == [0, 0]
    p[4] = 0.5, 0.2, 0.3  # the last frame of the nod
    assert segment_hits([s], [p])[1].tolist() == [True, False]
    assert segment_hits([s], [p], 0.5)[1].tolist() == [False, False]


# --- all together ---------------------------------------------------------------------------


def test_perfect_answers():
    streams = [stream([0] * 20 + [1] * 20 + [-1] * 3 + [2] * 20), stream([1] * 10 + [0] * 20)]
    answers = [sure(np.maximum(s.targets, 0)) for s in streams]
    out = figures(streams, answers, NOW)
    for name in ('accuracy', 'frame_accuracy', 'map', 'f1_at_10', 'f1_at_25', 'f1_at_50'):
        assert out[name] == 1, name
    for name in ('time_to_detect_s', 'missed_fraction', 'false_alarms_per_min', 'flips_per_min'):
        assert out[name] == 0, name
    assert out['per_class'] == {'hit': 1, 'kick': 1}
    assert set(out['accuracy_at'].values()) == {1}
    assert out['ece'] == pytest.approx(0.2, abs=1e-6)
    assert (out['n'], out['streams'], out['frames']) == (3, 2, 90)
    assert out['background_minutes'] == pytest.approx(4 / 60)


def test_figures_by_hand():
    """A late hit, a false alarm of half a second, and a kick taken for a hit, at 10 Hz."""
    s = stream([0] * 60 + [1] * 20 + [0] * 60 + [2] * 20)
    said = [0] * 20 + [2] * 5 + [0] * 35 + [0] * 5 + [1] * 15 + [0] * 60 + [1] * 20
    out = figures([s], [sure(said)], NOW)
    assert out['frame_accuracy'] == pytest.approx((160 - 5 - 5 - 20) / 160)
    assert out['accuracy'] == 0.5
    assert out['per_class'] == {'hit': 1, 'kick': 0}
    assert out['accuracy_at']['0.2'] == 0.5  # of four frames of background: the first wins a tie
    assert out['f1_at_50'] == pytest.approx(2 / (2 + 2 + 1))
    assert out['time_to_detect_s'] == pytest.approx(0.5)
    assert out['missed_fraction'] == 0.5
    assert out['false_alarms_per_min'] == pytest.approx(1 / (12 / 60))
    assert out['flips_per_min'] == pytest.approx(1 / (16 / 60))  # the false alarm ends
    hit = average_precision(sure(said)[:, 1], s.targets == 1)
    kick = average_precision(sure(said)[:, 2], s.targets == 2)
    assert out['map'] == pytest.approx((hit + kick) / 2)


def test_nothing_found_and_no_background():
    s = stream([1] * 10 + [2] * 10, classes=('run', 'hit', 'kick'))
    out = figures([s], [np.full((20, 3), 1 / 3, np.float32)])
    assert out['time_to_detect_s'] is None
    assert out['missed_fraction'] == 1
    assert out['false_alarms_per_min'] is None
    assert true_actions(s) == segments(s.targets)


def test_run_on_precog(tmp_path, monkeypatch):
    streams = [stream([0] * 8 + [k] * 8, 30, precog.LABELS, k) for k in range(1, 9)]
    monkeypatch.setattr(online, 'precog_streams', lambda root, part: streams)
    paths = [tmp_path / f'{seed}.safetensors' for seed in range(2)]
    for seed, path in enumerate(paths):
        save(path, seed, precog.LABELS)
    out = online.run(tmp_path, [str(path) for path in paths], tmp_path)
    assert (out['set'], out['classes'], out['seeds'], out['n']) == ('precog', 9, 2, 8)
    assert (tmp_path / 'confusion.png').stat().st_size > 1000


def test_a_model_of_other_classes_is_refused(tmp_path, monkeypatch):
    streams = [stream([0, 1], 30, precog.LABELS)]
    monkeypatch.setattr(online, 'precog_streams', lambda root, part: streams)
    save(tmp_path / 'w.safetensors', 0, ('none', 'right_punch', 'sit'))
    with pytest.raises(UserError, match='does not know left_punch, front_right_kick'):
        online.run(tmp_path, [str(tmp_path / 'w.safetensors')])


def save(path, seed: int, labels) -> None:
    torch.manual_seed(seed)
    model = OnlineRecognizer(len(labels), units=8)
    header = weights.Header('action', 'w', {'model': 'online', 'units': 8}, tuple(labels))
    weights.save(path, model.state_dict(), header)
