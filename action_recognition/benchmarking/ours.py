"""The recognisers of this package as peers: trained by a config, or published weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from action_recognition import weights
from action_recognition.benchmarking.peer import Step
from action_recognition.datasets.clips import SkeletonClip, train_validation
from action_recognition.errors import UserError
from action_recognition.evaluation.action import clip_logits
from action_recognition.evaluation.common import joined, project
from action_recognition.evaluation.sets import SETS
from action_recognition.recognition.base import softmax
from action_recognition.recognition.models import Network, PaperRecognizer, load_recognizer
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import FloatArray
from action_recognition.training.action import fit
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Sampler
from action_recognition.training.tasks import fit_temperature


def recipe_of(config: ActionConfig) -> dict[str, Any]:
    """The entries of a config that make a difference to what is learnt."""
    of_data = ('name', 'set', 'split', 'labels', 'licence')
    elsewhere = (*of_data, 'seeds', 'ensemble', 'threads', 'validate_every')
    return {key: value for key, value in asdict(config).items() if key not in elsewhere}


class Ours:
    """What all have in common: a network, and its labels, which may not be those of the set."""

    name: str
    labels: tuple[str, ...] = ()
    model_labels: tuple[str, ...] = ()
    model: Network

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def step(self) -> Step:
        # A copy, because the recogniser folds its normalisation into its weights.
        return StreamingRecognizer(copy.deepcopy(self.model), self.model_labels).update


class _OnClips(Ours):
    def probabilities(self, clips: Sequence[SkeletonClip]) -> FloatArray:
        logits = clip_logits(self.model, clips, asked=(1.0,))
        last = softmax(np.stack([answer[-1] for answer in logits]), self.model.temperature)
        return project(last, self.model_labels, self.labels)


class TrainedPeer(_OnClips):
    """A model trained by a config as `train action` does, on the joints that all peers get."""

    trains = True

    def __init__(self, config: ActionConfig, epochs: int | None = None) -> None:
        """Args: epochs, instead of those of the config."""
        self.name = config.model
        self.config = replace(
            config, teacher_share=0.0, strings=0.0, background=0.0, epochs=epochs or config.epochs
        )

    @property
    def recipe(self) -> dict[str, Any]:
        return recipe_of(self.config)

    def fit(
        self, clips: Sequence[SkeletonClip], labels: Sequence[str], seed: int, folder: Path
    ) -> None:
        """As `Peer.fit`; goes on from the checkpoints in `folder`."""
        self.labels = self.model_labels = tuple(labels)
        fitting, validation = train_validation(clips, self.config.validation, seed)
        sampler = Sampler(self.config, fitting, labels, {})
        model = fit(self.config, seed, sampler, labels, (), folder / 'validated', True)
        logits = clip_logits(model, validation)
        temperature = fit_temperature(logits, validation, labels)
        if self.config.refit:
            sampler = Sampler(self.config, clips, labels, {})
            model = fit(self.config, seed, sampler, labels, (), folder / 'refit', True)
        model.temperature = temperature
        self.model = model.cpu()


class PublishedPeer(_OnClips):
    """Weights as they are published; the classes of the set compete, as in `evaluate action`."""

    trains = False

    def __init__(self, name: str, set_name: str, splits: Sequence[int]) -> None:
        """Args: name, of the weights, or path; set_name and splits, whose test part they will see.

        Raises:
            UserError: as `load_recognizer`, they lack a class of the set, or were trained on
                another split.
        """
        header, self.model = load_recognizer(name)
        self.recipe = {'weights': weights.digest(weights.find(name))}
        self.name, self.model_labels = header.name, header.labels
        names = joined(SETS[set_name], header.labels)
        self.labels = tuple(dict.fromkeys(names.values()))
        # Refuses a model that lacks a class before anything is trained.
        project(np.ones(len(header.labels), np.float32), header.labels, self.labels)
        self.kind = 'paper' if isinstance(self.model, PaperRecognizer) else 'online'
        split = header.training.get('split')
        if set_name != 'penn' and split is not None and set(splits) != {split}:
            raise UserError(
                f'{self.name} was trained on split {split}: of the others it knows test clips'
            )

    def fit(
        self, clips: Sequence[SkeletonClip], labels: Sequence[str], seed: int, folder: Path
    ) -> None:
        """Nothing is left to learn."""
