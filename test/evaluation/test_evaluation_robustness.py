"""Conditions: what each does to a clip. And long streams: which frames count, in which minute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.datasets.clips import SkeletonClip, frame_stamps
from action_recognition.datasets.streams import UNSCORED
from action_recognition.evaluation import robustness
from action_recognition.evaluation.action import Contest
from action_recognition.evaluation.robustness import (
    CONDITIONS,
    LEFT_SIDE,
    LEGS,
    LIMBS,
    RIGHT_SIDE,
    conditions,
    long_stream,
    stretches,
)
from action_recognition.recognition.models import OnlineRecognizer, PaperRecognizer
from action_recognition.skeleton import FLIP, torso_size

LABELS = ('run', 'sit')


def clip(steps: int = 400, label: str = 'run', seed: int = 0) -> SkeletonClip:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 100, (14, 2)) + rng.normal(0, 1, (steps, 14, 2)).cumsum(0)
    score = rng.uniform(0.5, 1, (steps, 14))
    return SkeletonClip('c', label, 'c', xy, score, frame_stamps(steps, 30), (100, 100))


def changed(name: str, seed: int = 0) -> SkeletonClip:
    return CONDITIONS[name](clip(), np.random.default_rng(seed))


def test_clean():
    assert next(iter(CONDITIONS)) == 'clean'  # the others are compared with it
    assert changed('clean').xy.tolist() == clip().xy.tolist()


def test_jitter_is_a_tenth_of_the_torso_and_independent():
    noise = changed('jitter_10_percent').xy - clip().xy
    size = np.median(torso_size(clip().xy))
    assert noise.std() == pytest.approx(0.1 * size, rel=0.02)
    assert abs(noise.mean()) < 0.005 * size
    for moved, other in ((noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1])):
        assert abs((moved * other).mean()) < 0.02 * (0.1 * size) ** 2


def test_a_fifth_of_the_joints_is_missing():
    gone = changed('missing_20_percent').score == 0
    assert gone.mean() == pytest.approx(0.2, abs=0.02)
    assert np.ptp(gone.mean(0)) < 0.15
    np.testing.assert_array_equal(np.isnan(changed('missing_20_percent').xy).all(-1), gone)


@pytest.mark.parametrize(('name', 'rate'), [('rate_15_hz', 15), ('rate_10_hz', 10)])
def test_lower_rates_keep_the_time_of_each_frame(name, rate):
    slow = changed(name)
    rows = range(0, 400, 30 // rate)
    np.testing.assert_array_equal(slow.xy, clip().xy[rows])
    assert slow.stamps.tolist() == clip().stamps[rows].tolist()
    np.testing.assert_allclose(np.diff(slow.stamps), 1e9 / rate, atol=1)


def test_hidden_joints_stay_hidden():
    hidden = changed('legs_hidden').score == 0
    assert np.flatnonzero(hidden.all(0)).tolist() == sorted(LEGS)
    assert hidden.sum() == 4 * 400
    sides = set()
    for seed in range(8):
        hidden = changed('one_side_hidden', seed).score == 0
        sides.add(tuple(np.flatnonzero(hidden.all(0)).tolist()))
        assert hidden.sum() == 4 * 400
    assert sides == {RIGHT_SIDE, LEFT_SIDE}
    assert [FLIP[joint] for joint in RIGHT_SIDE] == list(LEFT_SIDE)


def test_stretches_are_six_frames_long_and_fill_a_tenth_of_the_time():
    inside = stretches(200_000, np.random.default_rng(0))
    begins = np.flatnonzero(np.diff(inside.astype(int)) == 1)
    assert inside.mean() == pytest.approx(0.1, abs=0.005)
    assert inside.sum() / len(begins) == pytest.approx(6, rel=0.05)
    starts = [stretches(1, np.random.default_rng(k))[0] for k in range(2000)]
    assert np.mean(starts) == pytest.approx(0.1, abs=0.02)  # short clips get their share


def test_swapped_frames_are_mirrored_whole():
    before, after = clip(), changed('swapped_10_percent')
    flipped = (after.xy != before.xy).any((1, 2))
    assert 0.02 < flipped.mean() < 0.2
    np.testing.assert_array_equal(after.xy[flipped], before.xy[flipped][:, FLIP])
    np.testing.assert_array_equal(after.score[flipped], before.score[flipped][:, FLIP])


def test_swapped_limbs_are_exchanged_one_at_a_time():
    before, after = clip(), changed('limbs_swapped_10_percent')
    moved = (after.xy != before.xy).any(-1)
    arms, legs = (moved[:, list(limb)] for limb in LIMBS)
    others = np.setdiff1d(np.arange(14), np.concatenate(LIMBS))
    assert not moved[:, others].any()
    for limb in (arms, legs):
        assert (limb.all(1) == limb.any(1)).all()
        assert 0 < limb.mean() < 0.3
    assert (arms[:, 0] != legs[:, 0]).any()
    np.testing.assert_array_equal(
        after.xy, np.where(moved[..., None], before.xy[:, FLIP], before.xy)
    )


def contest(model=OnlineRecognizer) -> Contest:
    torch.manual_seed(0)
    header = weights.Header('action', 'w', {}, LABELS)
    clips = [clip(20 + k, LABELS[k % 2], k) for k in range(6)]
    return Contest([(header, model(2, units=8).eval())], LABELS, clips)


@pytest.mark.parametrize('model', [OnlineRecognizer, PaperRecognizer])
def test_table_of_conditions(model):
    made = contest(model)
    table = conditions(made, 0)
    assert list(table) == list(CONDITIONS)
    right = [
        p[-1].argmax() == LABELS.index(c.label)
        for p, c in zip(made.answers(0, made.clips), made.clips, strict=True)
    ]
    assert table['clean'] == {'accuracy': np.mean(right), 'drop_points': 0}
    for row in table.values():
        expected = 100 * (np.mean(right) - row['accuracy'])
        assert row['drop_points'] == pytest.approx(expected)
    assert conditions(made, 0) == table


def test_minutes_of_a_long_stream(monkeypatch):
    """A model that is right in the first minute and never again, at settled frames only."""
    monkeypatch.setattr(robustness, 'MINUTES', 3)
    monkeypatch.setattr(robustness, 'STREAMS', 2)
    seen = []

    def answer(model, streams):
        seen.extend(streams)
        return [logits(stream) for stream in streams]

    def logits(stream):
        """Wrong until 40 % of each action, as slow loops see it; right up to 60 s."""
        out = np.zeros((len(stream), 2), np.float32)
        start = 0
        for t, target in enumerate(stream.targets):
            if target == UNSCORED:
                start = t + 1
                continue
            stop = t
            while stop < len(stream) and stream.targets[stop] != UNSCORED:
                stop += 1
            settled = (t - start + 1) / (stop - start) >= 0.4 - 1e-9
            right = settled and stream.stamps[t] < 60e9
            out[t, target if right else 1 - target] = 5
        return out

    monkeypatch.setattr(robustness, 'stream_logits', answer)
    out = long_stream(contest(), 0)
    assert out['per_minute'] == [1, 0, 0]
    assert out['accuracy'] == pytest.approx(1 / 3, abs=0.02)
    assert all(180 <= stream.stamps[-1] / 1e9 < 182 for stream in seen)
    gaps = sum(int((np.diff((s.targets == UNSCORED).astype(int)) == 1).sum()) for s in seen)
    assert out['clips'] == gaps + 2


def test_a_real_model_goes_through_a_long_stream(monkeypatch):
    monkeypatch.setattr(robustness, 'MINUTES', 1)
    monkeypatch.setattr(robustness, 'STREAMS', 1)
    made = contest()
    out = long_stream(made, 0)
    assert out['per_minute'] == [out['accuracy']]
    right = []
    for c, p in zip(made.clips, made.answers(0, made.clips), strict=True):
        for t in range(len(c)):
            if (t + 1) / len(c) >= 0.4:
                right.append(LABELS[p[t].argmax()] == c.label)
    assert out['alone'] == pytest.approx(np.mean(right))


def with_nobody_in(made: Contest) -> Contest:
    """The contest with clips of both classes in which nobody was found."""
    unseen = [
        replace(clip(20, label), score=np.zeros((20, 14), np.float32)) for label in LABELS * 3
    ]
    return made._replace(clips=[*made.clips, *unseen])


def test_clips_in_which_nobody_was_found_are_wrong_under_every_condition():
    made = contest()
    seen, all_of_them = conditions(made, 0), conditions(with_nobody_in(made), 0)
    # The model has one answer to clips without joints, so it would be right about half of them.
    assert all_of_them['clean']['accuracy'] == pytest.approx(seen['clean']['accuracy'] / 2)
    for row in all_of_them.values():
        assert row['accuracy'] <= 0.5


def test_clips_in_which_nobody_was_found_are_in_no_figure_of_long_streams(monkeypatch):
    monkeypatch.setattr(robustness, 'MINUTES', 1)
    monkeypatch.setattr(robustness, 'STREAMS', 1)
    made = contest()
    assert long_stream(with_nobody_in(made), 0) == long_stream(made, 0)


@pytest.mark.parametrize(
    ('model', 'parts'),
    [(OnlineRecognizer, {'conditions', 'long_stream'}), (PaperRecognizer, {'conditions'})],
)
def test_run(monkeypatch, tmp_path, model, parts):
    monkeypatch.setattr(robustness, 'MINUTES', 1)
    monkeypatch.setattr(robustness, 'STREAMS', 1)
    monkeypatch.setattr(robustness, 'enter', lambda *asked: contest(model))
    out = robustness.run('penn', tmp_path, ['w'])
    assert set(out) == parts
