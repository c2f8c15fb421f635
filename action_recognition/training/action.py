"""Training of the recognisers: `action-recognition train action`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from action_recognition import weights
from action_recognition.datasets import jhmdb, union32
from action_recognition.datasets.clips import SkeletonClip, train_validation
from action_recognition.errors import UserError
from action_recognition.evaluation.action import clip_logits, figures, load_set, relabel, softmax
from action_recognition.recognition.batch_renorm import set_progress
from action_recognition.recognition.features import (
    ELAPSED,
    online_features,
    paper_features,
    sample_uniformly,
)
from action_recognition.recognition.models import OnlineRecognizer, PaperRecognizer, create_model
from action_recognition.skeleton import FloatArray
from action_recognition.training import loop
from action_recognition.training.augment import Augmentation, Track

LICENCE = 'Trained on JHMDB and Penn Action joints: research use only.'


@dataclass(frozen=True)
class ActionConfig:
    """A training config; the files in `config/train/` explain each entry.

    Raises:
        UserError: a value is out of range.
    """

    name: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    set: str = 'union32'
    split: int = 1
    teacher_share: float = 0.0
    validation: float = 0.15
    refit: bool = True
    seeds: tuple[int, ...] = (0,)
    threads: int = 1
    precision: str = 'float32'
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.05
    clip_gradient: float = 1.0
    label_smoothing: float = 0.1
    ema: float = 0.995
    settling_time: float = 0.3
    final_share: float = 0.3
    validate_every: int = 5
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name in ('epochs', 'batch', 'learning_rate', 'threads', 'validate_every'):
            if not getattr(self, name) > 0:
                raise UserError(f'{name} must be positive, not {getattr(self, name)}')
        if not 0 < self.validation < 1:
            raise UserError(f'validation must lie between 0 and 1, not {self.validation}')
        if not self.seeds:
            raise UserError('seeds must name at least one seed')

    @classmethod
    def load(cls, path: Path) -> ActionConfig:
        """Read a YAML file.

        Raises:
            UserError: the file is missing, not YAML, or holds an unknown key.
        """
        try:
            raw = dict(yaml.safe_load(path.read_text(encoding='utf-8')))
            raw['augmentation'] = Augmentation(**raw.get('augmentation', {}))
            raw['seeds'] = tuple(raw.get('seeds', (0,)))
            return cls(**raw)
        except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
            reason = ' '.join(str(error).split())
            raise UserError(f'cannot use training config {path}: {reason}') from error


class Batch(NamedTuple):
    """Clips ready for a model.

    Attributes:
        x: (clips, steps, features).
        mask: (clips, steps) bool, False for padding.
        target: (clips,) class index.
    """

    x: Tensor
    mask: Tensor
    target: Tensor


class Sampler:
    """Draws augmented batches; clips of like length go together to save padding."""

    def __init__(
        self,
        config: ActionConfig,
        clips: Sequence[SkeletonClip],
        labels: Sequence[str],
        others: dict[str, SkeletonClip],
    ) -> None:
        """Args: others, the same clips (by name) with joints of another source."""
        self.config, self.clips, self.others = config, clips, others
        index = {label: k for k, label in enumerate(labels)}
        self.targets = np.array([index[clip.label] for clip in clips])

    def __len__(self) -> int:
        return -(-len(self.clips) // self.config.batch)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """One pass over all clips."""
        limit = self.config.augmentation.max_frames or 10**6
        lengths = np.array([min(len(clip), limit) for clip in self.clips])
        order = np.argsort(lengths * rng.uniform(0.7, 1.4, len(lengths)))
        parts = np.array_split(order, len(self))
        for k in rng.permutation(len(parts)):
            yield self.make(parts[k], rng)

    def make(self, rows: Sequence[int], rng: np.random.Generator) -> Batch:
        """The batch of these clips, augmented."""
        tracks = []
        for row in rows:
            clip = self.clips[row]
            if rng.random() < self.config.teacher_share:
                clip = self.others.get(clip.name, clip)
            tracks.append(self.config.augmentation(Track.of(clip), rng))
        target = torch.from_numpy(self.targets[rows])
        if self.config.model == 'paper':
            x = np.stack([_sampled(track) for track in tracks])
            return Batch(torch.from_numpy(x), torch.ones(x.shape[:2], dtype=torch.bool), target)
        steps = max(len(track.stamps) for track in tracks)
        padded = [_pad(track, steps) for track in tracks]
        x = online_features(*(np.stack(part) for part in zip(*padded, strict=True)))
        used = np.array([len(track.stamps) for track in tracks])
        mask = torch.from_numpy(np.arange(steps) < used[:, None])
        return Batch(torch.from_numpy(x), mask, target)


def _sampled(track: Track) -> FloatArray:
    rows = sample_uniformly(len(track.stamps))
    return paper_features(track.xy[rows], track.score[rows])


def _pad(track: Track, steps: int) -> Track:
    """Repeat the last frame; the mask keeps it out of the loss and of all statistics."""
    rows = np.minimum(np.arange(steps), len(track.stamps) - 1)
    return Track(track.xy[rows], track.score[rows], track.stamps[rows])


def loss_of(
    model: PaperRecognizer | OnlineRecognizer, batch: Batch, config: ActionConfig
) -> tuple[Tensor, Tensor]:
    """Mean loss per clip, and how many clips are right at their end.

    The online model is asked after every frame. Each clip counts alike; its frames count more
    once `settling_time` seconds have passed, and its last one has `final_share` of the weight.
    """
    if isinstance(model, PaperRecognizer):
        logits = model(batch.x)
        loss = functional.cross_entropy(
            logits, batch.target, label_smoothing=config.label_smoothing
        )
        return loss, (logits.argmax(-1) == batch.target).sum()
    logits = model(batch.x, batch.mask)
    steps = logits.shape[1]
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1),
        batch.target.repeat_interleave(steps),
        reduction='none',
        label_smoothing=config.label_smoothing,
    ).unflatten(0, (-1, steps))
    since = batch.x[..., ELAPSED].cumsum(1)
    frame_weights = batch.mask * -torch.expm1(-(since + 0.03) / config.settling_time)
    mean = (losses * frame_weights).sum(1) / frame_weights.sum(1)
    last = batch.mask.sum(1) - 1
    rows = torch.arange(len(last), device=last.device)
    loss = torch.lerp(mean, losses[rows, last], config.final_share).mean()
    return loss, (logits[rows, last].argmax(-1) == batch.target).sum()


def fit(
    config: ActionConfig,
    seed: int,
    sampler: Sampler,
    labels: Sequence[str],
    validation: Sequence[SkeletonClip],
    out: Path,
    resume: bool,
) -> PaperRecognizer | OnlineRecognizer:
    """Train one model; checkpoints and `curves.csv` go to `out`.

    Args:
        validation: clips to watch, or none.
        resume: go on from the checkpoint in `out`, if there is one.

    Returns:
        The averaged model, ready for inference.
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    out.mkdir(parents=True, exist_ok=True)
    loop.seed_everything(seed)
    model = create_model(config.model, len(labels), **config.settings).to(device)
    ema = loop.Ema(model, config.ema)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    done = 0
    if resume and (out / loop.CHECKPOINT).is_file():
        done = loop.load_checkpoint(out, model, ema, optimiser)['epoch']
    curves = loop.Curves(out / 'curves.csv', keep=done)
    total = config.epochs * len(sampler)
    bar = tqdm(total=total, initial=done * len(sampler), unit='step', desc=out.name)
    with bar:
        for epoch in range(done, config.epochs):
            rng = loop.seed_everything(seed, epoch)
            model.train()
            losses, right = [], 0
            for batch in sampler.batches(rng):
                progress = bar.n / total
                set_progress(model, progress)
                for group in optimiser.param_groups:
                    rate = config.learning_rate * loop.cosine(progress, config.warm_up)
                    group['lr'] = rate
                with torch.autocast(device.type, torch.bfloat16, config.precision == 'bfloat16'):
                    loss, hits = loss_of(model, Batch(*(t.to(device) for t in batch)), config)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_gradient)
                optimiser.step()
                ema.update(model)
                losses.append(loss.item())
                right += int(hits)
                bar.update()
            row = {'loss': float(np.mean(losses)), 'accuracy': right / len(sampler.clips)}
            last = epoch + 1 == config.epochs
            if validation and (last or (epoch + 1) % config.validate_every == 0):
                row |= watch(ema.model, validation, labels)
            curves.add(epoch + 1, **row)
            bar.set_postfix({k: f'{v:.3f}' for k, v in row.items()})
            loop.save_checkpoint(out, model, ema, optimiser, {'epoch': epoch + 1})
    return ema.model


def watch(model: Any, clips: Sequence[SkeletonClip], labels: Sequence[str]) -> dict[str, float]:
    """Accuracy and loss on validation clips, at their end and over all their frames."""
    index = {label: k for k, label in enumerate(labels)}
    found = [softmax(answer, 1.0) for answer in clip_logits(model, clips, asked=(1.0,))]
    pairs = [(p, index[clip.label]) for p, clip in zip(found, clips, strict=True)]
    return {
        'val_loss': float(np.mean([-np.log(p[-1, k]) for p, k in pairs])),
        'val_accuracy': float(np.mean([p[-1].argmax() == k for p, k in pairs])),
        'val_accuracy_streaming': float(np.mean([(p.argmax(-1) == k).mean() for p, k in pairs])),
    }


def fit_temperature(
    logits: Sequence[FloatArray], clips: Sequence[SkeletonClip], labels: Sequence[str]
) -> float:
    """The temperature with the least log loss over all frames, each clip counting alike."""
    index = {label: k for k, label in enumerate(labels)}
    frames = torch.from_numpy(np.concatenate(logits))
    counts = np.array([len(answer) for answer in logits])
    target = torch.from_numpy(np.repeat([index[clip.label] for clip in clips], counts))
    share = torch.from_numpy(np.repeat(1 / counts / len(counts), counts)).float()

    def log_loss(log_temperature: float) -> float:
        scaled = frames / float(np.exp(log_temperature))
        return float((functional.cross_entropy(scaled, target, reduction='none') * share).sum())

    return float(np.exp(minimize_scalar(log_loss, bounds=(-2, 2), method='bounded').x))


def run(config_path: Path, data: Path, out: Path, resume: bool = False) -> Path:
    """Train by a config: `<out>/<name>.safetensors` and, for each seed, curves and checkpoints.

    For each seed a model is trained without the validation part, which gives its figures and
    the temperature; with `refit`, a second one is trained on all training clips in the same way
    and published. Each published model answers the official test part once. The weights written
    are those of the first seed; figures of all seeds are in `<out>/figures.json`.

    Args:
        data: the folder that holds the sets, as `Penn_Action` and `jhmdb`.

    Raises:
        UserError: the config, the data or a checkpoint cannot be used.
    """
    config = ActionConfig.load(config_path)
    torch.set_num_threads(config.threads)
    clips = load_set(config.set, data, 'train', config.split)
    labels = union32.LABELS if config.set == 'union32' else tuple(sorted({c.label for c in clips}))
    others = {}
    if config.teacher_share:
        teacher = jhmdb.load_jhmdb(data / 'jhmdb', config.split, 'train', 'teacher')
        others = {clip.name: clip for clip in relabel(teacher, labels)}
    fitting, validation = train_validation(clips, config.validation, config.seeds[0])
    test = load_set(config.set, data, 'test', config.split)

    results, path = [], out / f'{config.name}.safetensors'
    for seed in config.seeds:
        folder = out / f'seed{seed}'
        model = fit(
            config,
            seed,
            Sampler(config, fitting, labels, others),
            labels,
            validation,
            folder / 'validated',
            resume,
        )
        logits = clip_logits(model, validation)
        model.temperature = fit_temperature(logits, validation, labels)
        result: dict[str, Any] = {'seed': seed, 'temperature': model.temperature}
        result['validation'] = _figures(model, validation, labels, logits)
        if config.refit:
            temperature = model.temperature
            everything = Sampler(config, clips, labels, others)
            model = fit(config, seed, everything, labels, (), folder / 'refit', resume)
            model.temperature = temperature
        model.load_state_dict(compact(model))  # the figures are those of what is published
        result['test'] = _figures(model, test, labels, clip_logits(model, test))
        results.append(result)
        if seed == config.seeds[0]:
            publish(config, model, labels, result, path)
        (out / 'figures.json').write_text(json.dumps(results, indent=1))
    return path


def _figures(
    model: Any, clips: Sequence[SkeletonClip], labels: Sequence[str], logits: list[FloatArray]
) -> dict[str, Any]:
    return figures(clips, [softmax(answer, model.temperature) for answer in logits], labels)


def publish(
    config: ActionConfig,
    model: PaperRecognizer | OnlineRecognizer,
    labels: Sequence[str],
    result: dict[str, Any],
    path: Path,
) -> None:
    """Write a trained model as a weights file that every node loads."""
    settings = {**config.settings, 'temperature': round(model.temperature, 4)}
    header = weights.Header(
        kind='action',
        name=config.name,
        config={'model': config.model, **settings},
        labels=tuple(labels),
        training=json.loads(json.dumps({**asdict(config), 'seed': result['seed']})),
        metrics={
            f'{part}_{key}': round(result[part][key], 4)
            for part in ('validation', 'test')
            for key in ('accuracy', 'ece', 'flips_per_clip', 'n')
        },
        licence=LICENCE,
    )
    weights.save(path, compact(model), header)


def compact(model: PaperRecognizer | OnlineRecognizer) -> dict[str, Tensor]:
    """The state of a model with its matrices as float16, which halves the file."""
    state = model.state_dict()
    return {key: value.half() if value.ndim > 1 else value for key, value in state.items()}
