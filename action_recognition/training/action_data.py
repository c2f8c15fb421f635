"""How clips and streams become batches of the recognisers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets import precog
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.streams import GAP, UNSCORED, precog_stream, string_together
from action_recognition.recognition.features import (
    online_features,
    paper_features,
    sample_uniformly,
)
from action_recognition.skeleton import FloatArray, IntArray
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.augment import Track
from action_recognition.training.background import FPS, Background

#: Clips of a string, and share of strings of which one piece is background where there is any.
PIECES, WITH_BACKGROUND = (2, 3), 0.3
#: Share of the background samples that are ghosts, and the least length of one in seconds.
GHOSTS, LEAST_SECONDS = 1 / 3, 1.0
#: A word of a label: letters between others, or between changes of case as in 'turnLeft'.
WORD = re.compile('[A-Z]?[a-z]+|[A-Z]+(?![a-z])')
OTHER_SIDE = {'left': 'right', 'right': 'left'}
#: Frames of a string or of background where the config sets no limit.
FRAMES = 128


class Batch(NamedTuple):
    """Samples ready for a model.

    Attributes:
        x: (samples, steps, features).
        mask: (samples, steps) bool, False for padding.
        target: (samples, steps) int64 class index, -1 where a frame is not to be scored: in
            padding and between two actions. Each sample has a frame that is.
    """

    x: Tensor
    mask: Tensor
    target: Tensor

    def select(self, rows: Tensor) -> Batch:
        """These samples of it."""
        return Batch(self.x[rows], self.mask[rows], self.target[rows])


class BatchSource(ABC):
    """The batches of an epoch. They are the same however many processes share them."""

    @abstractmethod
    def __len__(self) -> int:
        """Batches of an epoch."""

    @abstractmethod
    def plan(self, rng: np.random.Generator) -> list[list[Any]]:
        """The samples of each batch of an epoch."""

    @abstractmethod
    def make(self, samples: Sequence[Any], rng: np.random.Generator) -> Batch:
        """A batch of these samples, augmented."""

    def batches(
        self, rng: np.random.Generator, rank: int = 0, processes: int = 1
    ) -> Iterator[Batch]:
        """The share of one process of an epoch.

        All get the same number of batches; the first ones come twice where that takes more.
        """
        parts = self.plan(rng)
        seeds = rng.integers(2**63, size=len(parts))
        order = rng.permutation(len(parts))
        for k in np.resize(order, processes * -(-len(order) // processes))[rank::processes]:
            yield self.make(parts[k], np.random.default_rng(seeds[k]))


class Sampler(BatchSource):
    """Draws augmented clips; samples of like length go together to save padding.

    A sample is a tuple of rows of `clips`: one clip, several for a string, none for background.
    """

    def __init__(
        self,
        config: ActionConfig,
        clips: Sequence[SkeletonClip],
        labels: Sequence[str],
        others: dict[str, SkeletonClip],
        background: Background | None = None,
    ) -> None:
        """Prepare to draw.

        Args:
            labels: of the model, those of the clips among them; with background,
                `BACKGROUND_LABEL` too.
            others: the same clips (by name) with joints of another source.
            background: drawn from where the config asks for it.

        Raises:
            ValueError: the config asks for background, and there is none.
        """
        if config.background and background is None:
            raise ValueError('the config asks for background, and there is none to draw from')
        self.config, self.clips, self.others = config, clips, others
        self.labels, self.background = tuple(labels), background
        self.index = {label: k for k, label in enumerate(labels)}
        self.mirror = mirrored(labels)
        self.limit = config.augmentation.max_frames or FRAMES

    def __len__(self) -> int:
        return -(-len(self.clips) // self.config.batch)

    def plan(self, rng: np.random.Generator) -> list[list[tuple[int, ...]]]:
        """Every clip once, except where a string or background takes its place."""
        config, count = self.config, len(self.clips)
        limit = config.augmentation.max_frames or 10**6
        samples: list[tuple[int, ...]] = [(row,) for row in range(count)]
        lengths = np.array([min(len(clip), limit) for clip in self.clips])
        if config.strings or config.background:
            for row, chance in enumerate(rng.random(count)):
                if chance < config.background:
                    samples[row], lengths[row] = (), self.limit // 2
                elif chance < config.background + config.strings:
                    more = rng.integers(PIECES[0] - 1, PIECES[1])
                    samples[row] = (row, *rng.integers(0, count, more).tolist())
                    total = sum(len(self.clips[k]) for k in samples[row])
                    lengths[row] = min(total, self.limit)
        order = np.argsort(lengths * rng.uniform(0.7, 1.4, count))
        return [[samples[row] for row in part] for part in np.array_split(order, len(self))]

    def make(self, samples: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Batch:
        """The batch of these samples."""
        return collate([self._draw(sample, rng) for sample in samples], self.config.model)

    def _draw(self, rows: tuple[int, ...], rng: np.random.Generator) -> Track:
        if not rows:
            return self._background(rng)
        clips = [self._clip(row, rng) for row in rows]
        track = self._string(clips, rng) if len(clips) > 1 else self._whole(clips[0])
        return self.config.augmentation(track, rng, self.mirror)

    def _clip(self, row: int, rng: np.random.Generator) -> SkeletonClip:
        clip = self.clips[row]
        if rng.random() < self.config.teacher_share:
            clip = self.others.get(clip.name, clip)
        return clip

    def _whole(self, clip: SkeletonClip) -> Track:
        return Track.of(clip)._replace(target=np.full(len(clip), self.index[clip.label]))

    def _string(self, clips: Sequence[SkeletonClip], rng: np.random.Generator) -> Track:
        """Clips one after another, each cut so that all of them fit into the limit."""
        frames = max(self.limit // len(clips) - round(GAP * FPS), 2)
        pieces = [_stretch(clip, frames, rng) for clip in clips]
        if self.background and rng.random() < WITH_BACKGROUND:
            pieces[-1] = self.background.person(int(rng.integers(2, frames + 1)), rng)
        if not any((piece.score > 0).any() for piece in pieces):
            return self._whole(clips[0])
        stream = string_together(pieces, rng, self.labels)
        return Track(stream.xy, stream.score, stream.stamps, stream.targets)

    def _background(self, rng: np.random.Generator) -> Track:
        assert self.background is not None
        frames = int(rng.integers(min(round(LEAST_SECONDS * FPS), self.limit), self.limit + 1))
        if rng.random() < GHOSTS:
            track = self.background.ghost(frames / FPS, rng)
        else:
            track = Track.of(self.background.person(frames, rng))
            track = self.config.augmentation(track, rng)
        return track._replace(target=np.full(len(track.stamps), self.index[BACKGROUND_LABEL]))


class StreamSampler(BatchSource):
    """Draws crops of recordings of PRECOG, seen from a place that is new in every epoch."""

    def __init__(self, config: ActionConfig, recordings: Sequence[precog.Recording]) -> None:
        self.config, self.recordings = config, recordings
        self.mirror = mirrored(precog.LABELS)
        frames = config.augmentation.max_frames
        self.crops = [-(-len(recording) // frames) for recording in recordings]

    def __len__(self) -> int:
        return -(-sum(self.crops) // self.config.batch)

    def plan(self, rng: np.random.Generator) -> list[list[Track]]:
        """As many crops of each recording as would cover it."""
        frames = self.config.augmentation.max_frames
        samples: list[Track] = []
        for recording, count in zip(self.recordings, self.crops, strict=True):
            stream = precog_stream(recording, rng)
            whole = Track(stream.xy, stream.score, stream.stamps, stream.targets)
            for start in rng.integers(0, max(len(stream) - frames, 0) + 1, count):
                samples.append(whole.select(slice(start, start + frames)))
        shares = np.array_split(rng.permutation(len(samples)), len(self))
        return [[samples[row] for row in rows] for rows in shares]

    def make(self, samples: Sequence[Track], rng: np.random.Generator) -> Batch:
        """The batch of these crops."""
        augmented = [self.config.augmentation(track, rng, self.mirror) for track in samples]
        return collate(augmented, self.config.model)


def collate(tracks: Sequence[Track], model: str) -> Batch:
    """The batch of these tracks, which have targets, for a model by name."""
    if model == 'paper':
        x = torch.from_numpy(np.stack([_sampled(track) for track in tracks]))
        targets = [_target(track) for track in tracks]
        last = np.array([target[target != UNSCORED][-1] for target in targets])
        everywhere = torch.from_numpy(last)[:, None].expand(x.shape[:2])
        return Batch(x, torch.ones(x.shape[:2], dtype=torch.bool), everywhere)
    steps = max(len(track.stamps) for track in tracks)
    padded = [_pad(track, steps) for track in tracks]
    features = online_features(
        np.stack([track.xy for track in padded]),
        np.stack([track.score for track in padded]),
        np.stack([track.stamps for track in padded]),
    )
    mask = np.arange(steps) < np.array([len(track.stamps) for track in tracks])[:, None]
    target = np.where(mask, np.stack([_target(track) for track in padded]), UNSCORED)
    return Batch(torch.from_numpy(features), torch.from_numpy(mask), torch.from_numpy(target))


def mirrored(labels: Sequence[str]) -> IntArray:
    """(labels,) the index of each label in the mirror: 'right' in it becomes 'left'.

    They are words of their own, in whatever case, as in 'left_arm', 'Turn_Left' and 'turnLeft'; the
    label in the mirror is written likewise ('turnRight'). It is -1 where that one is none of the
    labels; a label without a side is its own.
    """
    index = {label: k for k, label in enumerate(labels)}
    return np.array([index.get(WORD.sub(_other_side, label), -1) for label in labels])


def _other_side(word: re.Match[str]) -> str:
    text = word[0]
    other = OTHER_SIDE.get(text.lower())
    if other is None:
        return text
    return other.upper() if text.isupper() else other.title() if text.istitle() else other


def _stretch(clip: SkeletonClip, frames: int, rng: np.random.Generator) -> SkeletonClip:
    """The clip, or a random stretch of so many frames of it."""
    if len(clip) <= frames:
        return clip
    start = int(rng.integers(len(clip) - frames + 1))
    part = slice(start, start + frames)
    return replace(clip, xy=clip.xy[part], score=clip.score[part], stamps=clip.stamps[part])


def _sampled(track: Track) -> FloatArray:
    rows = sample_uniformly(len(track.stamps))
    return paper_features(track.xy[rows], track.score[rows])


def _pad(track: Track, steps: int) -> Track:
    """Repeat the last frame; the mask keeps it out of the loss and of all statistics."""
    return track.select(np.minimum(np.arange(steps), len(track.stamps) - 1))


def _target(track: Track) -> IntArray:
    assert track.target is not None
    return track.target
