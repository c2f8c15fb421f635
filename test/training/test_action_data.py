"""What samples are made of, and how they share an epoch."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets import precog
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.streams import segments
from action_recognition.evaluation.sets import SETS
from action_recognition.recognition.features import ELAPSED, ONLINE_FEATURES
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Sampler, StreamSampler, collate, mirrored
from action_recognition.training.augment import Augmentation, Track
from action_recognition.training.background import Background

LABELS = ('right', 'left', BACKGROUND_LABEL)


@pytest.fixture
def clips(people) -> list[SkeletonClip]:
    """Twelve clips of two labels, of 20 to 23 frames, that all look alike."""
    return [
        replace(clip, name=f'{k}/{clip.name}', label=LABELS[k % 2])
        for k in range(3)
        for clip in people
    ]


@pytest.fixture
def config() -> ActionConfig:
    return ActionConfig('t', 'online', batch=4, augmentation=Augmentation(max_frames=60))


def samples(sampler, seed=0):
    """(mask, target) of each sample of an epoch."""
    for batch in sampler.batches(np.random.default_rng(seed)):
        yield from zip(batch.mask, batch.target, strict=True)


def test_an_epoch_is_every_clip_once_and_padding_is_masked(config, clips):
    sampler = Sampler(config, clips, LABELS, {})
    batches = list(sampler.batches(np.random.default_rng(0)))
    assert len(batches) == len(sampler) == 3
    lengths = sorted(n for b in batches for n in b.mask.sum(1).tolist())
    assert lengths == sorted(len(clip) for clip in clips)
    for batch in batches:
        assert batch.x.shape[2] == ONLINE_FEATURES
        assert batch.target.dtype == torch.int64
        assert batch.mask.any(0).all()  # no column of padding alone
        assert (batch.x[..., ELAPSED][~batch.mask] == 0).all()
        assert ((batch.target == -1) == ~batch.mask).all()
    truth = sorted(LABELS.index(clip.label) for clip in clips)
    assert sorted(target[0].item() for _, target in samples(sampler)) == truth


def test_the_other_source_of_joints_takes_turns_with_the_first(config, clips):
    others = {c.name: replace(c, score=np.full_like(c.score, 0.25)) for c in clips[:8]}
    sampler = Sampler(replace(config, teacher_share=0.5), clips, LABELS, others)
    score = sampler.make([(k,) for k in range(12)] * 4, np.random.default_rng(0)).x[:, 0, -1]
    score = score.view(4, 12)
    assert (score[:, 8:] == 1).all()
    assert set(score[:, :8].flatten().tolist()) == {0.5, 1.0}


def test_strings_are_actions_with_unscored_frames_between(config, clips):
    sampler = Sampler(replace(config, strings=1.0), clips, LABELS, {})
    counts = set()
    for mask, target in samples(sampler):
        steps = int(mask.sum())
        assert steps <= 60
        parts = segments(target[:steps].numpy())
        counts.add(len(parts))
        assert {label for _, _, label in parts} <= {0, 1}
        for (_, stop, _), (start, _, _) in pairwise(parts):
            assert start - stop == 8  # the frames within the gap of 0.3 seconds
        assert target[0] >= 0
        assert target[steps - 1] >= 0
        assert (target[steps:] == -1).all()
    assert counts == {2, 3}


def test_shares_of_strings_and_background(config, clips, recordings, people):
    many = clips * 40
    settings = replace(config, strings=0.3, background=0.2, batch=64)
    sampler = Sampler(settings, many, LABELS, {}, Background(people, recordings))
    plan = [sample for part in sampler.plan(np.random.default_rng(0)) for sample in part]
    lengths = np.array([len(sample) for sample in plan])
    assert len(plan) == len(many)
    assert (lengths > 1).mean() == pytest.approx(0.3, abs=0.06)
    assert (lengths == 0).mean() == pytest.approx(0.2, abs=0.06)


def test_background_alone_and_within_strings(config, clips, recordings, people):
    background = Background(people, recordings)
    alone = Sampler(replace(config, background=1.0), clips, LABELS, {}, background)
    for mask, target in samples(alone):
        assert 10 <= mask.sum() <= 60
        assert (target[mask] == 2).all()
    mixed = replace(config, strings=0.99, background=0.01)
    sampler = Sampler(mixed, clips * 5, LABELS, {}, background)
    strings = [set(target.tolist()) - {-1} for mask, target in samples(sampler)]
    assert 0.1 < np.mean([2 in labels and len(labels) > 1 for labels in strings]) < 0.6


def test_background_that_is_asked_for_must_be_given(config, clips):
    with pytest.raises(ValueError, match='none to draw from'):
        Sampler(replace(config, background=0.1), clips, LABELS, {})


def test_processes_share_an_epoch(config, clips):
    sampler = Sampler(replace(config, strings=0.3), clips, LABELS, {})

    def epoch(*share):
        return [batch.x for batch in sampler.batches(np.random.default_rng(0), *share)]

    alone, first, second = epoch(), epoch(0, 2), epoch(1, 2)
    assert len(first) == len(second) == 2
    together = [first[0], second[0], first[1], second[1]]
    for mine, theirs in zip(together, [*alone, alone[0]], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_the_paper_model_has_the_class_of_the_clip_everywhere(config, clips):
    sampler = Sampler(replace(config, model='paper'), clips, LABELS, {})
    batch = sampler.make([(0,), (4,)], np.random.default_rng(0))
    assert batch.x.shape == (2, 60, 34)
    assert batch.target.tolist() == [[0] * 60, [1] * 60]


@pytest.mark.parametrize(
    ('label', 'other'),
    [
        ('left_punch', 'right_punch'),
        ('Raise_Left', 'Raise_Right'),
        ('turnLeft', 'turnRight'),
        ('LeftTurn', 'RightTurn'),
        ('turn-left', 'turn-right'),
        ('LEFT', 'RIGHT'),
        ('LEFTArm2', 'RIGHTArm2'),
        ('left2right', 'right2left'),
        ('HandLEFT_up', 'HandRIGHT_up'),
    ],
)
def test_the_mirror_knows_left_and_right_as_words(label, other):
    assert mirrored(('bow', label, other)).tolist() == [0, 2, 1]
    assert mirrored((label, 'bow')).tolist() == [-1, 1]


def test_other_words_have_no_side():
    labels = ('upright', 'cleft', 'bright_light', 'stand', 'background', 'Leftover')
    assert mirrored(labels).tolist() == list(range(len(labels)))


def test_every_class_of_ours_is_in_the_mirror():
    for labels in (*SETS.values(), precog.LABELS):
        mirror = mirrored(labels)
        assert mirror[mirror].tolist() == list(range(len(labels)))


def test_a_flip_turns_left_classes_into_right_ones(config, recordings):
    flipping = replace(config, augmentation=Augmentation(flip=1.0, max_frames=90))
    (batch,) = StreamSampler(flipping, recordings[:2]).batches(np.random.default_rng(0))
    punch = precog.LABELS.index('left_punch')
    assert (batch.target[:, 40:60] == punch).all()
    assert (batch.target[:, :40] == 0).all()


def test_crops_of_recordings_cover_them_and_are_seen_anew_in_every_epoch(config, recordings):
    sampler = StreamSampler(config, recordings)
    batches = list(sampler.batches(np.random.default_rng(0)))
    assert len(batches) == len(sampler) == 3
    assert sum(len(batch.x) for batch in batches) == 12  # two of 60 frames for each 90
    assert all(batch.mask.all() for batch in batches)
    assert {label.item() for batch in batches for label in batch.target.unique()} == {0, 1}
    other = next(iter(sampler.batches(np.random.default_rng(1))))
    assert not torch.equal(batches[0].x, other.x)


def test_padding_of_a_batch_is_never_scored():
    tracks = [
        Track(
            np.zeros((n, 14, 2), np.float32),
            np.ones((n, 14), np.float32),
            np.arange(n) * 10**8,
            np.full(n, 1),
        )
        for n in (3, 5)
    ]
    batch = collate(tracks, 'online')
    assert batch.target.tolist() == [[1, 1, 1, -1, -1], [1] * 5]
    assert batch.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
