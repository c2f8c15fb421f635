"""Figures of `evaluate action` on hand-made probabilities, and on a model's own answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.action import (
    clip_beginning,
    clip_logits,
    expected_calibration_error,
    figures,
    load_set,
    observed,
    relabel,
    run,
    softmax,
)
from action_recognition.recognition.features import online_features
from action_recognition.recognition.labels import LabelConfig
from action_recognition.recognition.models import OnlineRecognizer, PaperRecognizer

LABELS = ('run', 'sit')


def clip(label: str, steps: int, seed: int = 0) -> SkeletonClip:
    rng = np.random.default_rng(seed)
    return SkeletonClip(
        name=f'{label}/{seed}',
        label=label,
        group=str(seed),
        xy=rng.uniform(0, 100, (steps, 14, 2)).astype(np.float32),
        score=np.ones((steps, 14), np.float32),
        stamps=np.arange(steps) * 100_000_000,
        image_size=(100, 100),
    )


def sure_of_run(values: list[float]) -> np.ndarray:
    p = np.array(values, np.float32)
    return np.stack([p, 1 - p], 1)


def test_observed_fractions_of_a_clip():
    assert [observed(10, f) for f in (0.1, 0.3, 1.0)] == [0, 2, 9]
    assert [observed(3, f) for f in (0.1, 0.5, 1.0)] == [0, 1, 2]
    assert observed(60, 0.7) == 41  # 0.7 * 60 is a little above 42 in floating point


def test_calibration_error_by_hand():
    confidence = [0.95, 0.95, 0.65, 0.65]
    correct = [1, 0, 1, 1]
    expected = (2 * abs(0.95 - 0.5) + 2 * abs(0.65 - 1.0)) / 4
    assert expected_calibration_error(confidence, correct, bins=10) == pytest.approx(expected)
    assert expected_calibration_error([1.0], [1]) == 0


def test_figures_by_hand():
    clips = [clip('run', 10), clip('run', 10, 1), clip('sit', 10, 2)]
    probabilities = [
        sure_of_run([0.45] * 5 + [0.9] * 5),  # right from the sixth frame
        sure_of_run([0.9] * 5 + [0.1] * 5),  # wrong in the end
        sure_of_run([0.2] * 10),  # right throughout
    ]
    config = LabelConfig(enter=0.6, exit=0.3, dwell=0.2)
    out = figures(clips, probabilities, LABELS, config)
    assert out['n'] == 3
    assert out['accuracy'] == pytest.approx(2 / 3)
    assert list(out['accuracy_at']) == [str(round(0.1 * k, 1)) for k in range(1, 11)]
    assert out['accuracy_at']['0.5'] == pytest.approx(2 / 3)
    assert out['accuracy_at']['1.0'] == out['accuracy']
    assert out['per_class'] == {'run': 0.5, 'sit': 1.0}
    # The first clip never publishes the doubtful 'sit', the second changes its mind.
    assert out['flips_per_clip'] == pytest.approx(1 / 3)
    assert out['raw_flips_per_clip'] == pytest.approx(2 / 3)
    # at the end: .9 right, .9 wrong share a bin; .8 right
    assert out['ece'] == pytest.approx((2 * 0.4 + 0.2) / 3, abs=1e-6)


def test_softmax_with_a_temperature():
    logits = np.array([[1.0, 3.0], [500.0, 0.0]])
    expected = torch.from_numpy(logits / 2).softmax(-1)
    np.testing.assert_allclose(softmax(logits, 2.0), expected)


@torch.inference_mode()
def test_online_answers_are_those_of_each_clip_alone():
    torch.manual_seed(0)
    model = OnlineRecognizer(2, units=8).eval()
    clips = [clip('run', steps, steps) for steps in (20, 5, 12)]
    answers = clip_logits(model, clips, batch=2)
    for c, answer in zip(clips, answers, strict=True):
        x = torch.from_numpy(online_features(c.xy, c.score, c.stamps))
        np.testing.assert_allclose(answer, model(x[None])[0], atol=1e-5)


@torch.inference_mode()
def test_paper_model_answers_on_beginnings_and_each_answer_stands():
    torch.manual_seed(0)
    model = PaperRecognizer(2, units=8).eval()
    clips = [clip('run', 20, 1), clip('sit', 4, 2)]
    answers = clip_logits(model, clips, asked=(0.5, 1.0))
    for c, answer in zip(clips, answers, strict=True):
        half = len(c) // 2 - 1
        for last in (half, len(c) - 1):
            x = torch.from_numpy(clip_beginning(c, last))[None]
            np.testing.assert_allclose(answer[last], model(x)[0], atol=1e-5)
        assert (answer[: len(c) - 1] == answer[half]).all()


def test_labels_are_joined_only_where_the_model_does_not_know_them():
    clips = [clip('golf', 3), clip('tennis_serve', 3)]
    own = relabel(clips, ('golf', 'tennis_serve'))
    assert [c.label for c in own] == ['golf', 'tennis_serve']
    joined = relabel(clips, ('golf_swing', 'tennis_stroke'))
    assert [c.label for c in joined] == ['golf_swing', 'tennis_stroke']
    with pytest.raises(UserError, match='does not know golf_swing, tennis_stroke'):
        relabel(clips, ('sit',))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'name': 'kinetics'}, 'known: penn'),
        ({'name': 'penn', 'split': 2}, 'one official split'),
        ({'name': 'penn', 'joints': 'teacher'}, 'annotated joints only'),
        ({'name': 'jhmdb21'}, 'splits'),
    ],
)
def test_sets_that_do_not_exist_are_refused(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        load_set(data=tmp_path, part='test', **arguments)


def test_a_model_is_not_scored_on_clips_it_was_trained_on(tmp_path):
    model = OnlineRecognizer(2, units=8)
    config = {'model': 'online', 'units': 8}
    header = weights.Header('action', 'w', config, LABELS, training={'split': 1})
    weights.save(tmp_path / 'w.safetensors', model.state_dict(), header)
    with pytest.raises(UserError, match='trained on split 1: of split 2 it knows test clips'):
        run('jhmdb21', tmp_path, str(tmp_path / 'w.safetensors'), split=2)


@pytest.mark.parametrize(
    ('name', 'count', 'labels'), [('penn', 1068, 15), ('jhmdb14', 176, 14), ('jhmdb21', 268, 21)]
)
def test_official_test_parts(data_root, name, count, labels):
    clips = load_set(name, data_root, 'test')
    assert len({c.label for c in clips}) == labels
    assert len(clips) == count
