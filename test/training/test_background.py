"""Samples of the background are what they say they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.skeleton import Joint, torso_size
from action_recognition.training import background as module
from action_recognition.training.background import Background, upright


@pytest.fixture
def background(people, recordings) -> Background:
    return Background(people, recordings)


def draw(background, monkeypatch, still: float, seeds=range(20)):
    monkeypatch.setattr(module, 'STILL', still)
    return [background.person(60, np.random.default_rng(seed)) for seed in seeds]


def test_upright_needs_a_vertical_torso_and_feet_below(standing):
    lying = standing[:, ::-1]
    handstand = standing * [1, -1]
    sitting = standing.copy()
    sitting[[Joint.RIGHT_ANKLE, Joint.LEFT_ANKLE], 1] = standing[Joint.LEFT_HIP, 1] - 1
    hidden = standing.copy()
    hidden[Joint.LEFT_ANKLE] = np.nan
    poses = np.stack([standing, lying, handstand, sitting, hidden])
    assert upright(poses).tolist() == [True, False, False, False, False]


def test_people_who_stand_still_drift_slowly_and_keep_their_shape(background, monkeypatch):
    for clip in draw(background, monkeypatch, still=1.0):
        assert clip.label == BACKGROUND_LABEL
        assert len(clip) == 60
        size = np.median(torso_size(clip.xy))
        step = np.linalg.norm(np.diff(clip.xy, axis=0), axis=-1)
        assert step.max() < 0.05 * size
        assert upright(clip.xy).all()


def test_nobody_stands_without_a_torso_to_measure(people, recordings):
    shoulders = [Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER]
    cut = people[0].xy.copy(), people[0].score.copy()
    cut[0][:, shoulders], cut[1][:, shoulders] = np.nan, 0
    without = replace(people[0], xy=cut[0], score=cut[1])
    kept = [clip for clip, _ in Background([without, people[1]], recordings).standing]
    assert kept == [people[1]]


def test_idle_people_are_the_background_of_recordings_alone(background, recordings, monkeypatch):
    assert [(start, stop) for _, start, stop in background.idle[:2]] == [(0, 40), (60, 90)]
    clips = draw(background, monkeypatch, still=0.0)
    assert {len(clip) for clip in clips} <= {30, 40}
    wrist = [clip.xy[:, Joint.RIGHT_WRIST, 1] for clip in clips]
    assert all(np.ptp(y) < 1e-3 for y in wrist)  # nobody raises it
    sizes = [torso_size(clip.xy)[0] for clip in clips]
    assert np.ptp(sizes) > 10  # in views of many distances


def test_ghosts_have_few_joints_of_low_scores_that_hardly_move(background):
    ghosts = [background.ghost(2.0, np.random.default_rng(seed)) for seed in range(50)]
    seen = np.array([(ghost.score > 0).mean() for ghost in ghosts])
    assert 0.3 < seen.mean() < 0.7
    assert max(ghost.score.max() for ghost in ghosts) < 0.8
    rates = [1e9 / np.diff(ghost.stamps).mean() for ghost in ghosts]
    assert 9.9 < min(rates) < 15 < 25 < max(rates) < 30.1
    moved = []
    for ghost in ghosts:
        assert np.array_equal(np.isfinite(ghost.xy).all(-1), ghost.score > 0)
        extent = np.nanmax(ghost.xy, (0, 1)) - np.nanmin(ghost.xy, (0, 1))
        often = (ghost.score > 0).sum(0) > 1
        spread = np.nanstd(ghost.xy[:, often], 0).mean()
        moved.append(spread / np.linalg.norm(extent))
    assert np.median(moved) < 0.1


def test_what_cannot_give_background_is_refused(people, recordings):
    busy = [replace(recording, labels=np.ones_like(recording.labels)) for recording in recordings]
    with pytest.raises(ValueError, match='upright people and idle'):
        Background(people, busy)
    for found in ([], recordings):
        with pytest.raises(ValueError, match='upright people and idle'):
            Background([], found)


def test_without_recordings_everybody_stands_still(people):
    background, rng = Background(people, []), np.random.default_rng(0)
    for _ in range(20):
        clip = background.person(30, rng)
        steps = np.abs(np.diff(clip.xy - clip.xy.mean(1, keepdims=True), axis=0))
        assert np.nanmax(steps) < 0.05 * 50  # torso sizes a frame: sway and no stride
