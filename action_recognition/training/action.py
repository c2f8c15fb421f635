"""Training of the recognisers: `action-recognition train action`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from action_recognition import weights
from action_recognition.datasets.streams import UNSCORED
from action_recognition.evaluation.action import Network
from action_recognition.evaluation.common import average
from action_recognition.evaluation.estimated import JointCache
from action_recognition.ranges import SEED, check
from action_recognition.recognition.batch_renorm import set_progress
from action_recognition.recognition.features import ELAPSED
from action_recognition.recognition.models import create_model
from action_recognition.training import loop
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Batch, BatchSource, Sampler
from action_recognition.training.tasks import (
    Items,
    Task,
    create_task,
    fit_temperature,
    logits_of,
    watch,
)
from action_recognition.visualization import plots

__all__ = [
    'ActionConfig',
    'Batch',
    'Sampler',
    'distillation_loss',
    'fit',
    'fit_temperature',
    'loss_of',
    'run',
]

#: Figures of a test part that the header of the weights names.
HEADLINES = (
    *('accuracy', 'ece', 'flips_per_clip', 'n'),
    *('frame_accuracy', 'map', 'f1_at_50', 'time_to_detect_s', 'false_alarms_per_min'),
)


def loss_of(model: nn.Module, batch: Batch, config: ActionConfig) -> tuple[Tensor, Tensor]:
    """Mean loss per sample, and how many samples are right at their last scored frame.

    The online model is asked after every frame. Each sample counts alike; a frame counts more
    once its action has gone on for `settling_time` seconds, and the last frames of the actions
    have `final_share` of the weight together.
    """
    rows, last, target = _ends(batch)
    if config.model == 'paper':
        logits = model(batch.x)
        loss = functional.cross_entropy(logits, target, label_smoothing=config.label_smoothing)
        return loss, (logits.argmax(-1) == target).sum()
    mixed, other, own = _mix(batch, config.mixup)
    logits = model(mixed.x, mixed.mask).float()
    loss = _loss_of_frames(logits, batch, config)
    if own < 1:
        loss = torch.lerp(_loss_of_frames(logits, other, config), loss, own)
    return loss, (logits[rows, last].argmax(-1) == target).sum()


def _ends(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The samples, the last scored frame of each, and its target, (n,) each."""
    rows = torch.arange(len(batch.target), device=batch.target.device)
    scored = batch.target != UNSCORED
    last = scored.shape[1] - 1 - scored.flip(1).int().argmax(1)
    return rows, last, batch.target[rows, last]


def distillation_loss(
    model: nn.Module, teachers: Sequence[nn.Module], batch: Batch, config: ActionConfig
) -> tuple[Tensor, Tensor]:
    """As `loss_of`, against what teachers of the online model answer on average.

    Student and teachers see the same mixed samples (Beyer et al. 2022, arXiv 2106.05237), so that
    mixtures need no targets of their own. Frames count as in `loss_of`, by the sample's own
    actions.
    """
    mixed, _, _ = _mix(batch, config.mixup)
    with torch.no_grad():
        answers = [teacher(mixed.x, mixed.mask).float().softmax(-1) for teacher in teachers]
    target = torch.stack(answers).mean(0)
    logits = model(mixed.x, mixed.mask).float()
    losses = functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(0, 1), reduction='none'
    ).view_as(batch.target)
    rows, last, true = _ends(batch)
    hits = (logits[rows, last].argmax(-1) == true).sum()
    return _mean_over_frames(losses, batch, config), hits


def _mix(batch: Batch, mixup: float) -> tuple[Batch, Batch, float]:
    """Samples with others mixed into them.

    Returns:
        The mixture, the batch whose targets hold for what was mixed in, and the share of their
        own in each sample: at least one half.
    """
    if not mixup:
        return batch, batch, 1.0
    own = float(torch.distributions.Beta(mixup, mixup).sample())
    own = max(own, 1 - own)
    other = batch.select(torch.randperm(len(batch.x)))
    both = batch.mask & other.mask
    x = torch.where(both[..., None], torch.lerp(other.x, batch.x, own), batch.x)
    x[..., ELAPSED] = batch.x[..., ELAPSED]
    target = torch.where(both, other.target, batch.target)
    return batch._replace(x=x), batch._replace(target=target), own


def _loss_of_frames(logits: Tensor, batch: Batch, config: ActionConfig) -> Tensor:
    """Mean loss of a sample.

    Args:
        logits: (samples, steps, classes).
    """
    losses = functional.cross_entropy(
        logits.flatten(0, 1),
        batch.target.flatten(),
        reduction='none',
        ignore_index=UNSCORED,
        label_smoothing=config.label_smoothing,
    ).view_as(batch.target)
    return _mean_over_frames(losses, batch, config)


def _mean_over_frames(losses: Tensor, batch: Batch, config: ActionConfig) -> Tensor:
    """Mean loss of a sample of (samples, steps) losses, of which those to be scored count."""
    scored = batch.target != UNSCORED
    since, ends = _in_segments(batch)
    frame_weights = scored * -torch.expm1(-(since + 0.03) / config.settling_time)
    # Of a mixture, the part that was mixed in may have no scored frame.
    mean = (losses * frame_weights).sum(1) / frame_weights.sum(1).clamp(min=1e-6)
    final = (losses * ends).sum(1) / ends.sum(1).clamp(min=1)
    return torch.lerp(mean, final, config.final_share).mean()


def _in_segments(batch: Batch) -> tuple[Tensor, Tensor]:
    """Seconds since the begin of the action of each frame, and True at the last one of each."""
    changes = batch.target[:, 1:] != batch.target[:, :-1]
    outside = changes.new_ones(len(changes), 1)
    scored = batch.target != UNSCORED
    starts, ends = (scored & torch.cat(x, 1) for x in ([outside, changes], [changes, outside]))
    time = batch.x[..., ELAPSED].cumsum(1)
    began = torch.where(starts, time, 0).cummax(1).values  # time never decreases
    return time - began, ends


def fit(
    config: ActionConfig,
    seed: int,
    sampler: BatchSource,
    labels: Sequence[str],
    validation: Items,
    out: Path,
    resume: bool,
    classes: Sequence[str] | None = None,
    data: dict[str, Any] | None = None,
) -> Network:
    """Train one model; checkpoints, `curves.csv` and `curves.png` go to `out`.

    Under `torchrun` each process takes its share of the batches of every epoch, gradients are
    averaged, and the first process alone writes.

    Args:
        validation: clips or streams to watch, or none.
        resume: go on from the checkpoint in `out`, if there is one; all processes read it.
        classes: that `validation` is labelled with, if they are not `labels`; see `project`.
        data: what tells the data from others, as `Task.taught_by`; a run goes on with the same.

    Returns:
        The averaged model, ready for inference.
    """
    fabric = loop.launch(config.precision)
    rank, processes = fabric.global_rank, fabric.world_size
    out.mkdir(parents=True, exist_ok=True)
    loop.seed_everything(seed)
    model = create_model(config.model, len(labels), **config.settings).to(fabric.device)
    ema = loop.Ema(model, config.ema)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    recipe = loop.recipe(
        config,
        *('name', 'seeds', 'threads', 'validate_every'),
        seed=seed,
        held_out_by=config.seeds[0],
    )
    done = 0
    if resume and (out / loop.CHECKPOINT).is_file():
        progress_made = loop.read_progress(out)
        loop.require_recipe(out, progress_made, recipe)
        loop.require_data(out, progress_made, data or {})
        done = loop.load_checkpoint(out, model, ema, optimiser)['epoch']
    # Both wrap what they are given; the models below are the same ones.
    wrapped, stepper = fabric.setup(model, optimiser)
    curves = loop.Curves(out / 'curves.csv', keep=done)
    steps = -(-len(sampler) // processes)
    total = config.epochs * steps
    with tqdm(
        total=total, initial=done * steps, unit='step', desc=out.name, disable=rank > 0
    ) as bar:
        for epoch in range(done, config.epochs):
            rng = loop.seed_everything(seed, epoch)
            torch.manual_seed(torch.initial_seed() + rank)  # each process drops other units
            model.train()
            losses, right, seen = [], 0, 0
            for step, batch in enumerate(sampler.batches(rng, rank, processes)):
                progress = (epoch * steps + step) / total
                set_progress(model, progress)
                for group in optimiser.param_groups:
                    rate = config.learning_rate * loop.cosine(progress, config.warm_up)
                    group['lr'] = rate
                batch = Batch(*(tensor.to(fabric.device) for tensor in batch))
                loss, hits = loss_of(wrapped, batch, config)
                stepper.zero_grad()
                fabric.backward(loss)
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_gradient)
                stepper.step()
                ema.update(model)
                losses.append(loss.item())
                right, seen = right + int(hits), seen + len(batch.x)
                bar.update()
            if rank > 0:
                continue
            row = {'loss': float(np.mean(losses)), 'accuracy': right / seen}
            last = epoch + 1 == config.epochs
            if len(validation) and (last or (epoch + 1) % config.validate_every == 0):
                row |= watch(ema.model, validation, labels, classes or labels)
            curves.add(epoch + 1, **row)
            bar.set_postfix({k: f'{v:.3f}' for k, v in row.items()})
            progress_made = {'epoch': epoch + 1, 'recipe': recipe, 'data': data or {}}
            loop.save_checkpoint(out, model, ema, optimiser, progress_made)
    if rank == 0 and curves.rows:
        plots.curves(curves.rows).savefig(out / 'curves.png', dpi=plots.DPI)
    return ema.model


def run(
    config_path: Path,
    data: Path,
    out: Path,
    resume: bool = False,
    seed: int | None = None,
    cache: JointCache | None = None,
) -> Path | None:
    """Train by a config: `<out>/<name>.safetensors` and, for each seed, curves and checkpoints.

    For each seed a model is trained without the validation part, which gives its figures and
    the temperature; with `refit`, a second one is trained on all training data in the same way
    and published. Each published model answers the official test parts once. Figures go to
    `figures_seed<N>.json`, and the mean over all seeds that are there to `figures.json`. Every
    seed's weights are in its folder; those of the config's first seed are also in `out`.

    Args:
        data: the folder that holds the sets, as `Penn_Action`, `jhmdb` and `precog2016`.
        seed: train this one alone. Several processes may share `out`, one for each seed.
        cache: of estimated joints, where the config asks for them.

    Returns:
        The weights of the config's first seed, or of `seed`; None in the other processes of
        `torchrun`, which may be done before these are written.

    Raises:
        UserError: the config, the seed, the data or a checkpoint cannot be used, or
            lightning-fabric is missing.
    """
    config = ActionConfig.load(config_path)
    if seed is not None:
        check({'seed': seed}, {'seed': SEED})
    torch.set_num_threads(config.threads)
    first = loop.launch(config.precision).is_global_zero
    task = create_task(config, data, cache)
    for number in config.seeds if seed is None else (seed,):
        folder = out / f'seed{number}'
        path = folder / f'{config.name}.safetensors'
        model = published = fit(
            config,
            number,
            task.sampler(refit=False),
            task.labels,
            task.watched,
            folder / 'validated',
            resume,
            task.classes,
            task.taught_by,
        )
        if config.refit:
            published = fit(
                config,
                number,
                task.sampler(refit=True),
                task.labels,
                (),
                folder / 'refit',
                resume,
                data=task.taught_by,
            )
        if not first:
            continue
        logits = logits_of(model, task.validation)
        temperature = fit_temperature(logits, task.validation, task.labels)
        model.temperature = published.temperature = temperature
        result: dict[str, Any] = {'seed': number, 'temperature': temperature}
        result['validation'] = task.validate(model, logits)
        # The figures are those of what is written.
        published.load_state_dict(compact(published))
        result['test'] = task.test(published)
        publish(config, published, task, result, path)
        if number == config.seeds[0]:
            publish(config, published, task, result, out / path.name)
        write_figures(out, result)
    if not first:
        return None
    return out / path.name if seed in (None, config.seeds[0]) else path


def write_figures(folder: Path, result: dict[str, Any]) -> None:
    """`figures_seed<N>.json` of one seed, and `figures.json`, the mean over all that are there."""
    path = folder / f'figures_seed{result["seed"]}.json'
    partial = folder / f'{path.name}.partial'  # other seeds may be at the same place
    partial.write_text(json.dumps(result, indent=1))
    partial.replace(path)
    results = [json.loads(file.read_text()) for file in folder.glob('figures_seed*.json')]
    seeds = sorted(found.pop('seed') for found in results)
    partial.write_text(json.dumps({'seeds': seeds, **average(results)}, indent=1))
    partial.replace(folder / 'figures.json')


def publish(
    config: ActionConfig, model: Network, task: Task, result: dict[str, Any], path: Path
) -> None:
    """Write a trained model as a weights file that every node loads.

    Args:
        result: of one seed; its 'validation' and 'test' figures go into the header.
    """
    parts = {'validation': result['validation'], **result['test']}
    header = weights.Header(
        kind='action',
        name=config.name,
        config={
            'model': config.model,
            **config.settings,
            'temperature': round(model.temperature, 4),
        },
        labels=task.labels,
        training=json.loads(json.dumps({**asdict(config), **task.about, 'seed': result['seed']})),
        metrics={
            f'{part}_{key}': round(found[key], 4)
            for part, found in parts.items()
            for key in HEADLINES
            if found.get(key) is not None
        },
        licence=task.licence,
    )
    weights.save(path, compact(model), header)


def compact(model: Network) -> dict[str, Tensor]:
    """The state of a model with its matrices as float16, which halves the file."""
    state = model.state_dict()
    return {key: value.half() if value.ndim > 1 else value for key, value in state.items()}
