"""Peers for continuous recordings, all asked at every frame."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from action_recognition import weights
from action_recognition.benchmarking.ddnet import DdNet
from action_recognition.benchmarking.lstm import WindowLstm
from action_recognition.benchmarking.network_peer import Recipe, train
from action_recognition.benchmarking.ours import Ours, recipe_of
from action_recognition.benchmarking.peer import Step, StreamPeer
from action_recognition.benchmarking.windows import WindowNetwork, fill, normalise, recent
from action_recognition.datasets import precog
from action_recognition.datasets.streams import UNSCORED, SkeletonStream
from action_recognition.errors import UserError
from action_recognition.evaluation.action import Network
from action_recognition.evaluation.common import project
from action_recognition.evaluation.online import stream_logits
from action_recognition.recognition.base import softmax
from action_recognition.recognition.models import create_model, load_recognizer
from action_recognition.skeleton import FloatArray, IntArray, Poses
from action_recognition.training import loop
from action_recognition.training.action import fit
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import StreamSampler
from action_recognition.training.tasks import StreamTask, fit_temperature

#: Windows that an epoch takes from each crop of a recording.
WINDOWS_OF_CROP = 16


def _lstm(classes: int, seconds: float) -> WindowNetwork:
    """One step for each frame of the Kinect in the window."""
    return WindowLstm(classes, frames=max(round(seconds * precog.FPS), 1))


def _ddnet(classes: int, seconds: float) -> WindowNetwork:
    """Always 32 frames, whatever the window."""
    return DdNet(classes)


#: Networks over the last seconds, how many seconds, and for how many epochs each is trained.
#: The windows are the best of those tried on the people held out (docs/benchmarks.md).
NETWORKS: dict[str, tuple[Callable[[int, float], WindowNetwork], float, int]] = {
    'lstm+aug': (_lstm, 0.5, 200),
    'ddnet+aug': (_ddnet, 1.0, 100),
}
OURS = 'online'
PEERS = (*NETWORKS, OURS)


def create_peer(
    name: str, config: ActionConfig, epochs: int | None = None, window: float | None = None
) -> StreamPeer:
    """An untrained peer.

    Args:
        name: one of `PEERS`.
        config: of our model; the others take its augmentation and label smoothing.
        epochs: instead of the peer's own number.
        window: seconds that a network over windows looks back, instead of its own; it means
            nothing to ours.

    Raises:
        UserError: the name is not known.
    """
    if name not in PEERS:
        raise UserError(f'unknown peer {name!r}; known on streams: {", ".join(PEERS)}')
    if name == OURS:
        return TrainedStreamPeer(config, epochs)
    build, usual_window, usual_epochs = NETWORKS[name]
    recipe = Recipe(
        epochs or usual_epochs,
        augmentation=config.augmentation,
        label_smoothing=config.label_smoothing,
    )
    return WindowStreamPeer(name, build, recipe, window or usual_window)


class StreamSource:
    """Windows of the crops that our model learns from, with the class of their last frame.

    The crops are those of `StreamSampler`: each recording is covered once in an epoch, seen from
    a new place, and augmented as the config of our model says. From each crop `WINDOWS_OF_CROP`
    frames are drawn, the background like any other class.
    """

    def __init__(self, sampler: StreamSampler, seconds: float, batch: int) -> None:
        self.sampler, self.seconds, self.batch = sampler, seconds, batch

    def __len__(self) -> int:
        return -(-sum(self.sampler.crops) * WINDOWS_OF_CROP // self.batch)

    def batches(
        self, frames: int, rng: np.random.Generator
    ) -> Iterator[tuple[FloatArray, IntArray]]:
        augment, mirror = self.sampler.config.augmentation, self.sampler.mirror
        inputs, targets = [], []
        for crop in (crop for part in self.sampler.plan(rng) for crop in part):
            track = augment(crop, rng, mirror)
            assert track.target is not None
            scored = np.flatnonzero(track.target != UNSCORED)
            ends = rng.choice(scored, WINDOWS_OF_CROP)
            inputs.append(recent(track.xy, track.stamps, ends, self.seconds, frames))
            targets.append(track.target[ends])
        x, target = np.concatenate(inputs), np.concatenate(targets)
        for rows in np.array_split(rng.permutation(len(x)), len(self)):
            yield normalise(fill(x[rows])), target[rows]


class WindowStreamPeer:
    """A network over the last seconds, computed anew at every frame."""

    trains = True

    def __init__(
        self,
        name: str,
        build: Callable[[int, float], WindowNetwork],
        recipe: Recipe,
        seconds: float,
    ) -> None:
        self.name, self.build, self.settings, self.seconds = name, build, recipe, seconds
        self.network = build(len(precog.LABELS), seconds)
        self.temperature = 1.0

    @property
    def recipe(self) -> dict[str, Any]:
        return {**asdict(self.settings), 'window': self.seconds, 'windows_of_crop': WINDOWS_OF_CROP}

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    def fit(self, task: StreamTask, seed: int, folder: Path, refit: bool) -> list[FloatArray]:
        """As `StreamPeer.fit`; a training that was broken off begins again."""
        self.network = self._train(task.sampler(refit=False), seed, folder / 'validated')
        logits = self._logits(task.validation)
        self.temperature = fit_temperature(logits, task.validation, task.labels)
        if refit:
            self.network = self._train(task.sampler(refit=True), seed, folder / 'refit')
        return [softmax(answer, self.temperature) for answer in logits]

    def _train(self, sampler: StreamSampler, seed: int, stem: Path) -> WindowNetwork:
        loop.seed_everything(seed)
        network = self.build(len(precog.LABELS), self.seconds)
        path = stem.with_suffix('.safetensors')
        if path.is_file():
            try:
                network.load_state_dict(load_file(path))
            except (SafetensorError, RuntimeError) as error:
                raise UserError(f'{path} is damaged; delete it to train anew') from error
            return network.eval()
        source = StreamSource(sampler, self.seconds, self.settings.batch)
        title = f'{self.name} {seed} {stem.name}'
        network = train(network, source, self.settings, seed, title)
        stem.parent.mkdir(parents=True, exist_ok=True)
        partial = stem.with_suffix('.partial')
        save_file(network.state_dict(), partial)
        partial.replace(path)
        return network

    def probabilities(self, streams: Sequence[SkeletonStream]) -> list[FloatArray]:
        return [softmax(logits, self.temperature) for logits in self._logits(streams)]

    @torch.inference_mode()
    def _logits(self, streams: Sequence[SkeletonStream]) -> list[FloatArray]:
        answers = []
        for stream in streams:
            x = recent(
                stream.xy, stream.stamps, range(len(stream)), self.seconds, self.network.frames
            )
            answers.append(self.network(torch.from_numpy(normalise(fill(x)))).numpy())
        return answers

    def step(self) -> Step:
        network = copy.deepcopy(self.network).eval()
        past: deque[tuple[int, FloatArray]] = deque()

        @torch.inference_mode()
        def step(poses: Poses) -> FloatArray:
            past.append((poses.stamp, poses.xy))
            # Of the frames before the window one is needed, to interpolate from.
            while len(past) > 1 and past[1][0] <= poses.stamp - self.seconds * 1e9:
                past.popleft()
            stamps, xy = (np.array(part) for part in zip(*past, strict=True))
            x = recent(xy, stamps, [len(stamps) - 1], self.seconds, network.frames)
            x = np.moveaxis(x[0], 1, 0)  # to (people, frames, 14, 2)
            logits = network(torch.from_numpy(normalise(fill(x)))).numpy()
            return softmax(logits, self.temperature)

        return step


class _OnStreams(Ours):
    def probabilities(self, streams: Sequence[SkeletonStream]) -> list[FloatArray]:
        return [
            project(softmax(logits, self.model.temperature), self.model_labels, self.labels)
            for logits in stream_logits(self.model, streams)
        ]


class TrainedStreamPeer(_OnStreams):
    """Our model trained by a config as `train action` does."""

    name, trains = OURS, True
    labels = model_labels = precog.LABELS

    def __init__(self, config: ActionConfig, epochs: int | None = None) -> None:
        """Args: epochs, instead of those of the config."""
        self.config = replace(config, epochs=epochs or config.epochs)
        self.model = create_model(config.model, len(self.labels), **config.settings)

    @property
    def recipe(self) -> dict[str, Any]:
        return recipe_of(self.config)

    def fit(self, task: StreamTask, seed: int, folder: Path, refit: bool) -> list[FloatArray]:
        """As `StreamPeer.fit`; goes on from the checkpoints in `folder`."""
        model = self._train(task.sampler(refit=False), seed, folder / 'validated')
        logits = stream_logits(model, task.validation)
        temperature = fit_temperature(logits, task.validation, task.labels)
        if refit:
            model = self._train(task.sampler(refit=True), seed, folder / 'refit')
        model.temperature = temperature
        self.model = model.cpu()
        return [softmax(answer, temperature) for answer in logits]

    def _train(self, sampler: StreamSampler, seed: int, folder: Path) -> Network:
        return fit(self.config, seed, sampler, self.labels, (), folder, True)


class PublishedStreamPeer(_OnStreams):
    """Weights as they are published; the classes of PRECOG compete, as in `evaluate action`."""

    trains = False
    labels = precog.LABELS

    def __init__(self, name: str) -> None:
        """Args: name, of the weights, or path.

        Raises:
            UserError: as `load_recognizer`, or they lack a class of PRECOG.
        """
        header, self.model = load_recognizer(name)
        self.recipe = {'weights': weights.digest(weights.find(name))}
        self.name, self.model_labels = header.name, header.labels
        # Refuses a model that lacks a class before anything is trained.
        project(np.ones(len(header.labels), np.float32), header.labels, self.labels)

    def fit(self, task: StreamTask, seed: int, folder: Path, refit: bool) -> None:
        """Nothing is left to learn."""
