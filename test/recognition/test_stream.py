"""Streams of tracked people through both models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.recognition.base import softmax
from action_recognition.recognition.features import online_features
from action_recognition.recognition.labels import LabelConfig
from action_recognition.recognition.models import OnlineRecognizer, PaperRecognizer
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import Poses

LABELS = ('run', 'sit', 'wave')
FRAME = 33_333_333


def online() -> OnlineRecognizer:
    torch.manual_seed(0)
    return OnlineRecognizer(3, units=8).eval()


def paper() -> PaperRecognizer:
    torch.manual_seed(0)
    return PaperRecognizer(3, units=8).eval()


def recognizer(model=None, **options) -> StreamingRecognizer:
    return StreamingRecognizer(model or online(), LABELS, **options)


def joints(seed: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(steps, 14, 2) of a person moving about, and scores with some joints missing."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 200, (14, 2)) + np.cumsum(rng.normal(0, 3, (steps, 14, 2)), 0)
    score = rng.uniform(0.3, 1, (steps, 14))
    score[rng.random(score.shape) < 0.1] = 0
    return xy.astype(np.float32), score.astype(np.float32)


def poses(people: dict[int, tuple[np.ndarray, np.ndarray]], t: int, stamp: int) -> Poses:
    """Frame t of these people."""
    return Poses(
        np.stack([xy[t] for xy, _ in people.values()]),
        np.stack([score[t] for _, score in people.values()]),
        np.array(list(people)),
        stamp,
        (320, 240),
    )


def test_each_person_gets_the_answer_of_their_own_sequence():
    model = online()
    stream = recognizer(online())
    everyone = {3: joints(1, 40), 8: joints(2, 40), 5: joints(3, 40)}
    spans = {3: (0, 40), 8: (6, 30), 5: (15, 40)}
    order = np.random.default_rng(0)
    last = {}
    for t in range(40):
        present = [k for k, (a, b) in spans.items() if a <= t < b]
        order.shuffle(present)
        estimates = stream.update(poses({k: everyone[k] for k in present}, t, t * FRAME))
        assert [e.track_id for e in estimates if e.state != 'ended'] == present
        last |= {e.track_id: e for e in estimates}
    for track_id, (a, b) in spans.items():
        xy, score = everyone[track_id]
        seen = Poses(xy, score)
        x = online_features(seen.xy[a:b], seen.score[a:b], np.arange(a, b) * FRAME)
        with torch.inference_mode():
            expected = softmax(model(torch.from_numpy(x)[None])[0, -1].numpy(), model.temperature)
        np.testing.assert_allclose(last[track_id].scores, expected, atol=1e-5)


def test_a_lost_person_ends_once_and_starts_anew():
    stream = recognizer(forget_after=1.0)
    one, two = {1: joints(1, 100)}, {2: joints(2, 100)}
    first = stream.update(poses(one | two, 0, 0))
    for t in range(1, 80):
        estimates = stream.update(poses(two, t, t * FRAME))
        ended = [e for e in estimates if e.state == 'ended']
        assert [e.track_id for e in ended] == ([1] if t == 31 else [])
        if ended:
            assert ended[0].label == first[0].label
            np.testing.assert_array_equal(ended[0].scores, first[0].scores)
    again = stream.update(poses(one, 0, 80 * FRAME))
    np.testing.assert_allclose(again[0].scores, first[0].scores, atol=1e-6)


def test_who_comes_back_after_a_gap_in_the_stream_ends_and_begins_anew():
    stream = recognizer(forget_after=1.0)
    person = {1: joints(1, 10)}
    first = stream.update(poses(person, 0, 0))
    ended, again = stream.update(poses(person, 0, 40 * FRAME))  # nothing came in between
    assert (ended.track_id, ended.state) == (1, 'ended')
    assert (again.track_id, again.state, again.began) == (1, 'candidate', 40 * FRAME)
    np.testing.assert_allclose(again.scores, first[0].scores, atol=1e-6)


def test_a_short_gap_is_bridged():
    stream = recognizer(forget_after=1.0)
    person = {1: joints(1, 100)}
    first = stream.update(poses(person, 0, 0))
    stream.update(Poses.empty(stamp=10 * FRAME))
    later = stream.update(poses(person, 0, 20 * FRAME))
    assert later[0].state != 'ended'
    assert not np.allclose(later[0].scores, first[0].scores)


def test_an_empty_stream_ends_everybody():
    stream = recognizer(forget_after=0.5)
    stream.update(poses({1: joints(1, 5), 2: joints(2, 5)}, 0, 0))
    ended = stream.update(Poses.empty(stamp=10**9))
    assert sorted(e.track_id for e in ended) == [1, 2]
    assert {e.state for e in ended} == {'ended'}
    assert stream.update(Poses.empty(stamp=2 * 10**9)) == []


@pytest.mark.parametrize('make', [online, paper])
def test_a_backward_jump_of_the_clock_resets(make):
    stream = recognizer(make())
    person = {1: joints(1, 30)}
    first = [stream.update(poses(person, t, 10**12 + t * FRAME))[0] for t in range(10)]
    again = [stream.update(poses(person, t, t * FRAME))[0] for t in range(10)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
    stream.reset()
    assert stream.update(poses(person, 0, 0))[0].scores == pytest.approx(again[0].scores)


@pytest.mark.parametrize('make', [online, paper])
def test_untracked_and_duplicate_people_are_left_out(make):
    stream = recognizer(make())
    xy, score = joints(1, 4)
    estimates = stream.update(Poses(xy, score, np.array([-1, 7, 7, 2])))
    assert [e.track_id for e in estimates] == [7, 2]
    assert stream.update(Poses(xy[:1], score[:1], stamp=5)) == []


def test_paper_model_sees_the_last_two_seconds():
    long, short = recognizer(paper()), recognizer(paper())
    person = {1: joints(1, 32)}
    for t in range(32):
        answer = long.update(poses(person, t, t * 3 * FRAME))[0]
    for t in range(11, 32):
        expected = short.update(poses(person, t, t * 3 * FRAME))[0]
    np.testing.assert_allclose(answer.scores, expected.scores, atol=1e-6)


def test_few_visible_joints_are_unknown():
    stream = recognizer(config=LabelConfig(unknown_below=0.0, min_joints=5))
    xy, score = joints(1, 1)
    score[0, 4:] = 0
    score[0, :4] = 1
    estimate = stream.update(Poses(xy, score, np.array([1])))[0]
    assert (estimate.class_id, estimate.label) == (-1, 'unknown')
    score[0] = 1
    estimate = stream.update(Poses(xy, score, np.array([1]), stamp=1))[0]
    assert estimate.label == LABELS[int(estimate.scores.argmax())]


def test_from_weights_takes_label_options(tmp_path):
    path = tmp_path / 'tiny.safetensors'
    config = {'model': 'online', 'units': 8}
    weights.save(path, online().state_dict(), weights.Header('action', 'tiny', config, LABELS))
    stream = StreamingRecognizer.from_weights(str(path), enter=0.9, forget_after=3.0)
    assert stream.labels == LABELS
    assert stream.config.enter == 0.9
    assert stream.forget_after == 3.0
    with pytest.raises(UserError, match='unknown option threshold; known: enter'):
        StreamingRecognizer.from_weights(str(path), threshold=1)
    with pytest.raises(UserError, match='forget_after must be positive'):
        StreamingRecognizer.from_weights(str(path), forget_after=0)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match='2 labels do not fit a model of 3'):
        StreamingRecognizer(online(), ('a', 'b'))
