"""Peers that are a network over a window of joints, all trained by one loop."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from action_recognition.benchmarking.peer import Step
from action_recognition.benchmarking.windows import WindowNetwork, windows
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.skeleton import FloatArray, IntArray, Poses
from action_recognition.training import loop
from action_recognition.training.augment import Augmentation, Track

#: Makes an untrained network for a number of classes.
Build = Callable[[int], WindowNetwork]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: AdamW, and a cosine after a linear warm-up.

    Attributes:
        augmentation: random changes to the joints; without one, 90 % of the frames of each clip
            are drawn anew in every epoch, which is all that the paper of DD-Net does.
        beginnings: half of the clips are cut to a random beginning of at least a tenth, so that
            the network learns to answer early.
    """

    epochs: int
    augmentation: Augmentation | None = None
    beginnings: bool = False
    label_smoothing: float = 0.0
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.05
    ema: float = 0.99


def draw(clip: SkeletonClip, recipe: Recipe, rng: np.random.Generator) -> FloatArray:
    """(T, 14, 2) pixels: the joints of a clip as one epoch sees them, NaN where not seen."""
    track = Track.of(clip)
    steps = len(clip)
    if recipe.beginnings and rng.random() < 0.5:
        steps = max(1, round(steps * rng.uniform(0.1, 1)))
        track = Track(track.xy[:steps], track.score[:steps], track.stamps[:steps])
    if recipe.augmentation:
        return recipe.augmentation(track, rng).xy
    kept = np.sort(rng.choice(steps, max(1, round(0.9 * steps)), replace=False))
    return track.xy[kept]


class Source(Protocol):
    """What a network over windows learns from."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def batches(
        self, frames: int, rng: np.random.Generator
    ) -> Iterator[tuple[FloatArray, IntArray]]:
        """The batches of an epoch: (n, frames, 14, 2) normalised joints, and (n,) classes."""


class ClipSource:
    """Every clip once in an epoch, as one window."""

    def __init__(
        self, clips: Sequence[SkeletonClip], targets: Sequence[int], recipe: Recipe
    ) -> None:
        """Args: targets, the class of each clip."""
        self.clips, self.targets, self.recipe = clips, np.array(targets), recipe

    def __len__(self) -> int:
        return -(-len(self.clips) // self.recipe.batch)

    def batches(
        self, frames: int, rng: np.random.Generator
    ) -> Iterator[tuple[FloatArray, IntArray]]:
        drawn = [draw(clip, self.recipe, rng) for clip in self.clips]
        for rows in np.array_split(rng.permutation(len(drawn)), len(self)):
            yield windows([drawn[row] for row in rows], frames), self.targets[rows]


def train(
    network: WindowNetwork, source: Source, recipe: Recipe, seed: int, title: str = ''
) -> WindowNetwork:
    """Train a network over windows.

    Args:
        network: it is changed.
        title: of the progress bar.

    Returns:
        The averaged network on the CPU, ready for inference.
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    network.to(device)
    ema = loop.Ema(network, recipe.ema)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay)
    # Counted here: a progress bar that is switched off (TQDM_DISABLE) does not count.
    step, steps = 0, recipe.epochs * len(source)
    with tqdm(total=steps, unit='step', desc=title) as bar:
        for epoch in range(recipe.epochs):
            rng = loop.seed_everything(seed, epoch)
            network.train()
            for x, target in source.batches(network.frames, rng):
                rate = recipe.learning_rate * loop.cosine(step / steps, recipe.warm_up)
                for group in optimiser.param_groups:
                    group['lr'] = rate
                # A third faster or more on processors and GPUs that compute in bfloat16.
                with torch.autocast(device.type, torch.bfloat16):
                    logits = network(torch.from_numpy(x).to(device))
                loss = functional.cross_entropy(
                    logits.float(),
                    torch.from_numpy(target).to(device),
                    label_smoothing=recipe.label_smoothing,
                )
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                ema.update(network)
                step += 1
                bar.update()
    return ema.model.cpu()


class NetworkPeer:
    """A network over windows as a `Peer`."""

    trains = True

    def __init__(self, name: str, build: Build, recipe: Recipe) -> None:
        self.name, self.build, self.settings = name, build, recipe
        self.labels: tuple[str, ...] = ()
        self.network: WindowNetwork

    @property
    def recipe(self) -> dict[str, Any]:
        return asdict(self.settings)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    def fit(
        self, clips: Sequence[SkeletonClip], labels: Sequence[str], seed: int, folder: Path
    ) -> None:
        self.labels = tuple(labels)
        loop.seed_everything(seed)
        targets = [self.labels.index(clip.label) for clip in clips]
        title = f'{self.name} {seed}'
        network = self.build(len(labels))
        source = ClipSource(clips, targets, self.settings)
        self.network = train(network, source, self.settings, seed, title)

    @torch.inference_mode()
    def probabilities(self, clips: Sequence[SkeletonClip]) -> FloatArray:
        answers = []
        for start in range(0, len(clips), 64):
            sequences = [clip.xy for clip in clips[start : start + 64]]
            x = torch.from_numpy(windows(sequences, self.network.frames))
            answers.append(self.network(x).softmax(-1).numpy())
        return np.concatenate(answers)

    def step(self) -> Step:
        return network_step(self.network)


def network_step(network: WindowNetwork) -> Step:
    """A stream that recomputes, at every frame, a copy of a network over the last frames."""
    network = copy.deepcopy(network).eval()
    past: deque[FloatArray] = deque(maxlen=network.frames)

    @torch.inference_mode()
    def step(poses: Poses) -> FloatArray:
        past.append(poses.xy)
        x = windows(list(np.stack(past, 1)), network.frames)
        return network(torch.from_numpy(x)).softmax(-1).numpy()

    return step
