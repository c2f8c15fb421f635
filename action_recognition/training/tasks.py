"""What a recogniser is trained for: data to learn from, and figures of what was learnt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets import jhmdb, penn, precog
from action_recognition.datasets.clips import SkeletonClip, train_validation
from action_recognition.datasets.streams import UNSCORED, SkeletonStream, precog_stream, segments
from action_recognition.errors import UserError
from action_recognition.evaluation import online
from action_recognition.evaluation.action import FRACTIONS, Network, clip_logits, figures
from action_recognition.evaluation.common import joined, project
from action_recognition.evaluation.estimated import JointCache, detected
from action_recognition.evaluation.sets import SETS, load_set, relabel
from action_recognition.recognition.base import softmax
from action_recognition.skeleton import FloatArray, IntArray
from action_recognition.training.action_config import CONTINUOUS, ActionConfig
from action_recognition.training.action_data import BatchSource, Sampler, StreamSampler
from action_recognition.training.background import Background

#: Where PRECOG lies in the folder of all sets.
PRECOG_FOLDER = 'precog2016'
LICENCE = 'Trained on joints of {}: research use only.'
LICENCE_OF_PRECOG = 'Trained on PRECOG 2016, whose data are under the MIT licence.'

Items = Sequence[SkeletonClip | SkeletonStream]


class Task(ABC):
    """One training set, split into what is learnt from and what is watched.

    Attributes:
        labels: of the model's outputs.
        classes: that compete in the figures of the validation part.
        validation: labelled clips or streams that are held out.
        watched: the same, labelled with `classes`.
        about, licence: for the header of the weights.
        taught_by: what tells the data from others that the config means as well, for checkpoints.
    """

    labels: tuple[str, ...]
    classes: tuple[str, ...]
    validation: Items
    watched: Items
    about: dict[str, Any]
    licence: str
    taught_by: dict[str, Any]

    @abstractmethod
    def sampler(self, refit: bool) -> BatchSource:
        """What to learn from: without the validation part, or with it."""

    @abstractmethod
    def validate(self, model: Network, logits: Sequence[FloatArray]) -> dict[str, Any]:
        """Figures of the validation part, from what `logits_of` said of it."""

    @abstractmethod
    def test(self, model: Network) -> dict[str, dict[str, Any]]:
        """Set -> figures of its official test part."""


class ClipTask(Task):
    """Sets of clips that show one action each."""

    validation: list[SkeletonClip]
    watched: list[SkeletonClip]

    def __init__(self, config: ActionConfig, data: Path, cache: JointCache | None = None) -> None:
        """Raises: UserError, data are missing or damaged."""
        self.config, self.data = config, data
        self.cache = cache or JointCache()
        self.classes = SETS[config.set]
        self.labels = labels_of(config)
        clips = training_clips(config, data, self.labels, self.cache)
        self.clips = [clip for clip in clips if detected(clip)]
        self.fitting, self.validation = train_validation(
            self.clips, config.validation, config.seeds[0]
        )
        self.watched = relabel(self.validation, self.classes)
        self.others: dict[str, SkeletonClip] = {}
        if config.teacher_share:
            source = 'best' if config.joints == 'estimated' else 'teacher'
            others = jhmdb.load_jhmdb(data / 'jhmdb', config.split, 'train', source)
            known = {clip.name for clip in self.clips}
            others = [clip for clip in others if clip.name in known]
            self.others = {clip.name: clip for clip in relabel(others, self.labels)}
        self.recordings = odd_people(data) if config.background else []
        self.about = {'unseen_clips': len(clips) - len(self.clips)} if config.joints else {}
        self.taught_by = {}
        if config.joints == 'estimated':
            self.about['joints_by'] = self.cache.found_by
            self.taught_by['estimated joints'] = self.cache.place.name
        sets = [
            *(['JHMDB'] if config.set != 'penn' else []),
            *(['Penn Action'] if config.set in ('penn', 'union32') else []),
            *(['PRECOG'] if config.background else []),
        ]
        self.licence = LICENCE.format(', '.join(sets))

    def sampler(self, refit: bool) -> Sampler:
        clips = self.clips if refit else self.fitting
        background = Background(clips, self.recordings) if self.config.background else None
        return Sampler(self.config, clips, self.labels, self.others, background)

    def validate(self, model: Network, logits: Sequence[FloatArray]) -> dict[str, Any]:
        answers = [softmax(answer, model.temperature) for answer in logits]
        answers = [project(answer, self.labels, self.classes) for answer in answers]
        return figures(self.watched, answers, self.classes)

    def test(self, model: Network) -> dict[str, dict[str, Any]]:
        found = {}
        for name in test_sets(self.config):
            names = joined(SETS[name], self.labels)
            split, joints = self.config.split, self.config.joints or None
            if name == 'penn':
                split, joints = 1, None
            clips = load_set(name, self.data, 'test', split, joints, self.cache)
            clips = [replace(clip, label=names[clip.label]) for clip in clips]
            classes = tuple(dict.fromkeys(names.values()))
            answers = [
                project(softmax(logits, model.temperature), self.labels, classes)
                for logits in clip_logits(model, clips)
            ]
            found[name] = figures(clips, answers, classes)
        return found


class StreamTask(Task):
    """The continuous recordings of PRECOG: odd people teach, even people test."""

    labels = classes = precog.LABELS
    validation: list[SkeletonStream]

    def __init__(self, config: ActionConfig, data: Path) -> None:
        """Raises: UserError, data are missing or damaged."""
        self.config = config
        self.folder = data / PRECOG_FOLDER
        self.recordings = odd_people(data)
        people = sorted({recording.person for recording in self.recordings})
        count = min(max(round(config.validation * len(people)), 1), len(people) - 1)
        drawn = np.random.default_rng(config.seeds[0]).permutation(people)[:count]
        self.held_out = sorted(int(person) for person in drawn)
        self.validation = [
            precog_stream(recording)
            for recording in self.recordings
            if recording.person in self.held_out
        ]
        self.watched = self.validation
        self.licence = LICENCE_OF_PRECOG
        self.about = {'people': people, 'validation_people': self.held_out}
        self.taught_by = {}

    def sampler(self, refit: bool) -> StreamSampler:
        kept = [r for r in self.recordings if refit or r.person not in self.held_out]
        return StreamSampler(self.config, kept)

    def validate(self, model: Network, logits: Sequence[FloatArray]) -> dict[str, Any]:
        return self._figures(model, self.validation, logits)

    def test(self, model: Network) -> dict[str, dict[str, Any]]:
        streams = online.precog_streams(self.folder, 'test')
        return {CONTINUOUS: self._figures(model, streams, logits_of(model, streams))}

    def _figures(
        self, model: Network, streams: Sequence[SkeletonStream], logits: Sequence[FloatArray]
    ) -> dict[str, Any]:
        return online.figures(streams, [softmax(answer, model.temperature) for answer in logits])


def create_task(config: ActionConfig, data: Path, cache: JointCache | None = None) -> Task:
    """The task of a config.

    Args:
        data: the folder that holds the sets, as `Penn_Action`, `jhmdb` and `precog2016`.
        cache: of estimated joints, where the config asks for them.

    Raises:
        UserError: data are missing or damaged.
    """
    if config.set == CONTINUOUS:
        return StreamTask(config, data)
    return ClipTask(config, data, cache)


def labels_of(config: ActionConfig) -> tuple[str, ...]:
    """The outputs of a model that is trained on a set of clips."""
    labels = SETS[config.set]
    if config.labels == 'fine':
        names = joined(penn.CLASSES, labels)
        apart = {label: name for label, name in names.items() if label != name}
        labels = tuple(sorted({*labels, *apart} - set(apart.values())))
    return (*labels, BACKGROUND_LABEL) if config.background else labels


def training_clips(
    config: ActionConfig, data: Path, labels: Sequence[str], cache: JointCache
) -> list[SkeletonClip]:
    """The training part under the labels of the model; of union32 with any split of JHMDB."""
    joints = config.joints or None
    if config.set != 'union32':
        return load_set(config.set, data, 'train', config.split, joints, cache)
    clips = load_set('jhmdb21', data, 'train', config.split, joints, cache)
    return relabel(clips + load_set('penn', data, 'train', 1), labels)


def test_sets(config: ActionConfig) -> tuple[str, ...]:
    """Sets whose test part a model can be asked about: it knows their classes, not their clips."""
    sets = {
        'union32': ('union32', 'penn', 'jhmdb21', 'jhmdb14'),
        'jhmdb21': ('jhmdb21', 'jhmdb14'),
    }.get(config.set, (config.set,))
    # The 32-class task is defined with split 1.
    return tuple(name for name in sets if name != 'union32' or config.split == 1)


def odd_people(data: Path) -> list[precog.Recording]:
    """The recordings of PRECOG that may be learnt from and in which somebody was tracked.

    Raises:
        UserError: the set is missing or damaged.
    """
    try:
        recordings = precog.load_precog(data / PRECOG_FOLDER)
    except UserError as error:
        raise UserError(f'this training config needs PRECOG: {error}') from error
    return [r for r in recordings if r.person % 2 and np.isfinite(r.xyz).any()]


# --- answers about clips and streams alike --------------------------------------------------


def frame_targets(item: SkeletonClip | SkeletonStream, labels: Sequence[str]) -> IntArray:
    """(T,) index of the label of each frame, -1 where it is not to be scored."""
    if isinstance(item, SkeletonStream):
        index = np.array([*(labels.index(name) for name in item.classes), UNSCORED])
        return index[item.targets]
    return np.full(len(item), labels.index(item.label))


def logits_of(model: Network, items: Items, ends: bool = False) -> list[FloatArray]:
    """(T, outputs) after each frame of each item; all of them are clips, or all are streams.

    Args:
        ends: the paper's model, which is slow to ask, need answer at the end of clips only.
    """
    streams = [item for item in items if isinstance(item, SkeletonStream)]
    if streams:
        return online.stream_logits(model, streams)
    clips = [item for item in items if isinstance(item, SkeletonClip)]
    return clip_logits(model, clips, asked=(1.0,) if ends else FRACTIONS)


def watch(
    model: Network, items: Items, labels: Sequence[str], classes: Sequence[str]
) -> dict[str, float]:
    """Accuracy and loss at the end of the actions of validation items, and over all frames.

    Args:
        labels: of the model.
        classes: that compete, and that the items are labelled with.
    """
    losses, right, streaming = [], [], []
    for item, logits in zip(items, logits_of(model, items, ends=True), strict=True):
        p = project(softmax(logits, 1.0), labels, classes)
        target = frame_targets(item, classes)
        hit = p.argmax(-1) == target
        ends = [stop - 1 for _, stop, _ in segments(target)]
        losses.append(np.mean(-np.log(np.maximum(p[ends, target[ends]], 1e-30))))
        right.append(hit[ends].mean())
        streaming.append(hit[target != UNSCORED].mean())
    return {
        'val_loss': float(np.mean(losses)),
        'val_accuracy': float(np.mean(right)),
        'val_accuracy_streaming': float(np.mean(streaming)),
    }


def fit_temperature(logits: Sequence[FloatArray], items: Items, labels: Sequence[str]) -> float:
    """The temperature with the least log loss over all frames, each item counting alike.

    Args:
        logits: (t, labels) of each item, for all of its frames or its last t.
    """
    targets = [
        frame_targets(item, labels)[-len(answer) :]
        for answer, item in zip(logits, items, strict=True)
    ]
    counts = [(target != UNSCORED).sum() for target in targets]
    frames, target = torch.from_numpy(np.concatenate(logits)), np.concatenate(targets)
    share = np.repeat(1 / np.array(counts) / len(items), [len(target) for target in targets])
    weight = torch.from_numpy(share).float()

    def log_loss(log_temperature: float) -> float:
        scaled = frames / float(np.exp(log_temperature))
        losses = functional.cross_entropy(
            scaled, torch.from_numpy(target), reduction='none', ignore_index=UNSCORED
        )
        return float((losses * weight).sum())

    return float(np.exp(minimize_scalar(log_loss, bounds=(-2, 2), method='bounded').x))
