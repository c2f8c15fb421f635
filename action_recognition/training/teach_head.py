"""A new head on the features of a trained recogniser: what few recordings can teach.

The features (`OnlineRecognizer.embed`) stay as they are, so that hundreds of augmented samples are
computed once, and every choice and every fold of a cross-validation costs a small convex problem: a
multinomial logistic regression, which starts from the means of the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.recognition.models import create_model
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.skeleton import torso_size
from action_recognition.training.action_data import collate, mirrored
from action_recognition.training.augment import Augmentation, Track
from action_recognition.training.background import Background

#: Frames of a sample that are learnt from, from this share of its length to its end; the last one
#: counts as much as two.
FRAMES, FIRST = 6, 0.3
#: Samples of the background for each clip, and their length in frames (at 30 Hz).
BACKGROUND_FRAMES = (20, 90)
#: Least sway of the joint that moves most, in torso sizes, of a clip whose poses may stand for
#: people who do nothing: of one in which an arm is held out, they would be the action itself.
MOVING = 0.25
LABEL_SMOOTHING = 0.05
#: Samples that go through the network at once.
BATCH = 64


class Samples(NamedTuple):
    """Frames to learn from.

    Attributes:
        x: (n, 2 * units) features.
        label: (n,) index of the class.
        owner: (n,) row of the clip that each was made of; below 0 of none.
        weight: (n,) of which each sample has 1 in all.
    """

    x: Tensor
    label: Tensor
    owner: Tensor
    weight: Tensor

    def select(self, rows: Tensor) -> Samples:
        """These frames of it."""
        return Samples(*(part[rows] for part in self))

    @classmethod
    def join(cls, parts: Sequence[Samples]) -> Samples:
        """All frames of several."""
        return cls(*(torch.cat(part) for part in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Head:
    """Logits of features x: x @ weight.T + bias, after those of `kept` rows of the base.

    Attributes:
        weight: (new classes, 2 * units).
        bias: (new classes,).
        kept: outputs of the base that stand before the new ones.
    """

    weight: Tensor
    bias: Tensor
    kept: tuple[int, ...] = ()

    def logits(self, x: Tensor) -> Tensor:
        """(..., new classes)."""
        return x @ self.weight.T + self.bias


# --- samples --------------------------------------------------------------------------------


@torch.no_grad()
def embed(model: OnlineRecognizer, tracks: Sequence[Track]) -> list[Tensor]:
    """(T, 2 * units) features after each frame of each track."""
    found: list[Tensor] = []
    for start in range(0, len(tracks), BATCH):
        part = [
            track._replace(target=np.zeros(len(track.stamps), np.int64))
            for track in tracks[start : start + BATCH]
        ]
        batch = collate(part, 'online')
        features = model.embed(batch.x)
        lengths = batch.mask.sum(1).tolist()
        found += [row[:length] for row, length in zip(features, lengths, strict=True)]
    return found


def samples_of(
    model: OnlineRecognizer,
    clips: Sequence[SkeletonClip],
    labels: Sequence[str],
    augmentation: Augmentation,
    copies: int,
    rng: np.random.Generator,
) -> Samples:
    """Each clip as it is, and changed copies of it; a mirror image has the label in the mirror.

    Args:
        labels: of the classes, those of the clips among them.
        copies: of each clip, with the clip itself.
    """
    tracks, targets, owners = [], [], []
    mirror = mirrored(labels)
    for row, clip in enumerate(clips):
        target = np.full(len(clip), labels.index(clip.label))
        whole = Track.of(clip)._replace(target=target)
        for track in (whole, *(augmentation(whole, rng, mirror) for _ in range(copies - 1))):
            assert track.target is not None
            tracks.append(track)
            targets.append(int(track.target[0]))
            owners.append(row)
    return _samples(embed(model, tracks), targets, owners)


def background_of(
    model: OnlineRecognizer,
    clips: Sequence[SkeletonClip],
    label: int,
    augmentation: Augmentation,
    count: int,
    rng: np.random.Generator,
) -> Samples | None:
    """People who stand still, in poses of these clips, and ghosts; None where no clip gives any.

    Each is of the clip whose poses it may show: where that one is held out, it has to be as well.
    """
    sources = []
    for row, clip in enumerate(clips):
        if motion(clip) >= MOVING:
            with suppress(ValueError):  # nobody in it stands upright
                sources.append((row, Background([clip], ())))
    if not sources:
        return None
    tracks, owners = [], []
    for _ in range(count):
        row, source = sources[rng.integers(len(sources))]
        owners.append(row)
        frames = int(rng.integers(*BACKGROUND_FRAMES))
        if rng.random() < 0.5:
            tracks.append(augmentation(Track.of(source.person(frames, rng)), rng))
        else:
            tracks.append(source.ghost(frames / 30, rng))
    return _samples(embed(model, tracks), [label] * count, owners)


def motion(clip: SkeletonClip) -> float:
    """Sway of the joint that moves most about its mean place, in torso sizes; 0 if not known."""
    size = np.nanmedian(torso_size(clip.xy)) if (clip.score > 0).any() else np.nan
    seen = (clip.score > 0).sum(0) > len(clip) / 2
    if not seen.any() or not np.isfinite(size):
        return 0.0
    sway = np.hypot(*np.moveaxis(np.nanstd(clip.xy[:, seen], 0), -1, 0))
    return float(sway.max() / max(float(size), 1.0))


def _samples(features: Sequence[Tensor], targets: Sequence[int], owners: Sequence[int]) -> Samples:
    x, label, owner, weight = [], [], [], []
    for found, target, row in zip(features, targets, owners, strict=True):
        last = len(found) - 1
        frames = np.unique(np.linspace(FIRST * last, last, FRAMES).round().astype(int))
        share = torch.ones(len(frames))
        share[-1] = 2
        x.append(found[frames])
        label += [target] * len(frames)
        owner += [row] * len(frames)
        weight.append(share / share.sum())
    return Samples(torch.cat(x), torch.tensor(label), torch.tensor(owner), torch.cat(weight))


# --- learning -------------------------------------------------------------------------------


def fit_head(samples: Samples, classes: int, strength: float, base: Tensor | None = None) -> Head:
    """The regression with the least loss; all classes count alike.

    Args:
        samples: labelled 0 to `classes` - 1.
        strength: of the penalty on weights (of features with a deviation of 1).
        base: (n, rows) logits of the base for the same frames that compete with the new ones: a
            label of -1 - k is its row k. None: nothing of the base is kept.
    """
    x, label = samples.x, samples.label
    own = label >= 0
    mean = x[own].mean(0)
    deviation = x[own].std(0, correction=0).clamp(min=1e-3)
    z = (x - mean) / deviation
    rows = 0 if base is None else base.shape[1]
    target = torch.where(own, rows + label, -1 - label)
    counts = torch.zeros(rows + classes).index_add(0, target, samples.weight)
    weight = samples.weight / counts[target]
    weight = weight / weight.sum()
    means = torch.stack([_mean(z, weight, label == k) for k in range(classes)])
    w = (means / (1 + strength * z.shape[1])).requires_grad_()
    b = torch.zeros(classes, requires_grad=True)
    optimiser = torch.optim.LBFGS([w, b], max_iter=100, line_search_fn='strong_wolfe')

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = z @ w.T + b
        if base is not None:
            logits = torch.cat([base, logits], 1)
        losses = functional.cross_entropy(
            logits, target, reduction='none', label_smoothing=LABEL_SMOOTHING
        )
        total = (losses * weight).sum() + strength * w.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    w, b = w.detach() / deviation, b.detach()
    return Head(w, b - w @ mean)


def _mean(z: Tensor, weight: Tensor, rows: Tensor) -> Tensor:
    share = weight[rows]
    return share @ z[rows] / share.sum().clamp(min=1e-9)


# --- a model of it --------------------------------------------------------------------------


def install(base: OnlineRecognizer, settings: dict[str, object], head: Head) -> OnlineRecognizer:
    """A model with the features of the base and this head, which every node loads.

    A linear map x -> u is the layers of the network with two units for each output, because
    relu(u) - relu(-u) = u. What is kept of the base stands beside it as it was.

    Args:
        settings: of the base, as its weights file has them.
    """
    units = len(base.dense.bias) if head.kept else 0
    classes = len(head.bias)
    dense = units + 2 * classes
    settings = {**settings, 'dense': dense}
    model = create_model('online', len(head.kept) + classes, **settings)
    assert isinstance(model, OnlineRecognizer)
    state = model.state_dict()
    for key, value in base.state_dict().items():
        if not key.startswith(('dense', 'classifier')):
            state[key] = value
    mine = {
        'dense.weight': torch.cat([head.weight, -head.weight]),
        'dense.bias': torch.cat([head.bias, -head.bias]),
        'dense_norm.weight': torch.ones(2 * classes),
        'dense_norm.bias': torch.zeros(2 * classes),
        'dense_norm.running_mean': torch.zeros(2 * classes),
        'dense_norm.running_std': torch.ones(2 * classes),
    }
    kept = base.state_dict()
    for key, value in mine.items():
        state[key] = torch.cat([kept[key], value]) if units else value
    state['dense_norm.updates'] = kept['dense_norm.updates']
    classifier = torch.zeros(len(head.kept) + classes, dense)
    rows = list(head.kept)
    if rows:
        classifier[: len(rows), :units] = kept['classifier.weight'][rows]
    new = torch.arange(classes)
    classifier[len(rows) + new, units + new] = 1
    classifier[len(rows) + new, units + classes + new] = -1
    state['classifier.weight'] = classifier
    bias = torch.zeros(len(rows) + classes)
    if rows:
        bias[: len(rows)] = kept['classifier.bias'][rows]
    state['classifier.bias'] = bias
    model.load_state_dict(state)
    return model.eval()


def logits_of_base(base: OnlineRecognizer, x: Tensor, rows: Sequence[int]) -> Tensor:
    """(n, rows) logits of some outputs of the base for features (n, 2 * units)."""
    with torch.no_grad():
        return base.answer(x)[:, list(rows)]
