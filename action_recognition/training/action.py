"""Training of the recognisers: `action-recognition train action`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from action_recognition import weights
from action_recognition.evaluation.action import Network
from action_recognition.evaluation.common import average
from action_recognition.evaluation.estimated import JointCache
from action_recognition.ranges import SEED, check
from action_recognition.recognition.batch_renorm import set_progress
from action_recognition.recognition.ensemble import OnlineEnsemble
from action_recognition.recognition.models import create_model, load_recognizer
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.training import loop
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Batch, BatchSource
from action_recognition.training.action_loss import loss_of
from action_recognition.training.ensemble import described, together
from action_recognition.training.tasks import (
    Items,
    Task,
    create_task,
    fit_temperature,
    logits_of,
    watch,
)
from action_recognition.visualization import plots

#: Figures of a test part that the header of the weights names.
HEADLINES = (
    *('accuracy', 'ece', 'flips_per_clip', 'n'),
    *('frame_accuracy', 'map', 'f1_at_50', 'time_to_detect_s', 'false_alarms_per_min'),
)


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
        *('name', 'seeds', 'ensemble', 'licence', 'threads', 'validate_every'),
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
    seed's weights are in its folder; those of the config's first seed are also in `out`, or with
    `ensemble`, as soon as all are trained, those of all seeds together.

    Args:
        data: the folder that holds the sets, as `Penn_Action`, `jhmdb` and `precog2016`.
        seed: train this one alone. Several processes may share `out`, one for each seed.
        cache: of estimated joints, where the config asks for them.

    Returns:
        The weights in `out`, or if there are none yet those of `seed`; None in the other processes
        of `torchrun`, which may be done before these are written.

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
    if config.ensemble and all(_figures(out, number).is_file() for number in config.seeds):
        return publish_together(config, task, out)
    return out / path.name if seed in (None, config.seeds[0]) else path


def publish_together(config: ActionConfig, task: Task, out: Path) -> Path:
    """Write the ensemble of all seeds, which are trained, and `figures_ensemble.json`.

    As of a single model, the figures of the validation part and the temperature are those of the
    models that were trained without it.
    """
    validated, published = [], []
    for number in config.seeds:
        folder = out / f'seed{number}'
        model = _averaged(config, len(task.labels), folder / 'validated')
        _, of_all = load_recognizer(str(folder / f'{config.name}.safetensors'))
        model.temperature = of_all.temperature
        validated.append(cast(OnlineRecognizer, model))
        published.append(cast(OnlineRecognizer, of_all))
    members = together(validated, config.settings)
    logits = logits_of(members, task.validation)
    members.temperature = fit_temperature(logits, task.validation, task.labels)
    result: dict[str, Any] = {'seeds': config.seeds, 'temperature': members.temperature}
    result['validation'] = task.validate(members, logits)
    model = together(published, config.settings)
    model.temperature = members.temperature
    result['test'] = task.test(model)
    path = out / f'{config.name}.safetensors'
    publish(config, model, task, result, path)
    (out / 'figures_ensemble.json').write_text(json.dumps(result, indent=1))
    return path


def _averaged(config: ActionConfig, classes: int, folder: Path) -> Network:
    """The model that `fit` left in a checkpoint; one process alone may ask for it."""
    model = create_model(config.model, classes, **config.settings)
    ema = loop.Ema(model, config.ema)
    loop.load_checkpoint(folder, model, ema, torch.optim.AdamW(model.parameters()))
    return ema.model


def _figures(folder: Path, seed: int) -> Path:
    return folder / f'figures_seed{seed}.json'


def write_figures(folder: Path, result: dict[str, Any]) -> None:
    """`figures_seed<N>.json` of one seed, and `figures.json`, the mean over all that are there."""
    path = _figures(folder, result['seed'])
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
        result: of it, with its seed; its 'validation' and 'test' figures go into the header.
    """
    parts = {'validation': result['validation'], **result['test']}
    recipe = {**asdict(config), **task.about}
    if 'seed' in result:
        recipe['seed'] = result['seed']
    header = weights.Header(
        kind='action',
        name=config.name,
        config={
            **(described(model) if isinstance(model, OnlineEnsemble) else {'model': config.model}),
            **config.settings,
            'temperature': round(model.temperature, 4),
        },
        labels=task.labels,
        training=json.loads(json.dumps(recipe)),
        metrics={
            f'{part}_{key}': round(found[key], 4)
            for part, found in parts.items()
            for key in HEADLINES
            if found.get(key) is not None
        },
        licence=config.licence or task.licence,
    )
    weights.save(path, compact(model), header)


def compact(model: Network) -> dict[str, Tensor]:
    """The state of a model with its matrices as float16, which halves the file."""
    state = model.state_dict()
    return {key: value.half() if value.ndim > 1 else value for key, value in state.items()}
