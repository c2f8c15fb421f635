"""What a training run needs besides its model: seeds, average weights, checkpoints, curves."""

from __future__ import annotations

import copy
import csv
import functools
import json
import math
import os
import random
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from action_recognition.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Model = TypeVar('Model', bound=nn.Module)

CHECKPOINT = 'checkpoint.safetensors'
#: What reading a file may raise that is no checkpoint, or none of this model.
_DAMAGED = (OSError, SafetensorError, KeyError, ValueError, RuntimeError)
#: What Fabric calls the precisions of a config.
PRECISIONS: dict[str, Any] = {'float32': '32-true', 'bfloat16': 'bf16-mixed'}


@functools.cache
def launch(precision: str) -> Fabric:
    """Where and how to train: a GPU if there is one, alone or with the processes of `torchrun`.

    Alone it is one device and no communication. Under `torchrun` it is one device per process,
    and gradients are averaged (gloo on CPUs, NCCL on GPUs).

    Args:
        precision: 'float32' or 'bfloat16', in which the forward pass is computed.

    Raises:
        UserError: lightning-fabric is not installed.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise UserError('training needs `pip install lightning-fabric`') from error
    processes = int(os.environ.get('WORLD_SIZE', 1))
    here = int(os.environ.get('LOCAL_WORLD_SIZE', processes))
    fabric = Fabric(
        accelerator='cuda' if torch.cuda.is_available() else 'cpu',
        strategy='ddp' if processes > 1 else 'auto',
        devices=here,
        num_nodes=processes // here,
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def seed_everything(*seed: int) -> np.random.Generator:
    """Seed torch and `random`, and return a NumPy generator, all from the same numbers.

    A run that calls this with (seed, epoch) at the start of each epoch can be resumed at an
    epoch exactly, without storing the state of any generator.
    """
    rng = np.random.default_rng(seed)
    random.seed(int(rng.integers(2**32)))
    torch.manual_seed(int(rng.integers(2**63)))
    return rng


def cosine(progress: float, warm_up: float) -> float:
    """Factor of the learning rate: linear warm-up for a share of the run, then cosine to 0."""
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


class Ema(Generic[Model]):
    """Exponential moving average of a model's parameters and buffers.

    Attributes:
        model: the averaged copy, always in inference mode.
        updates: how many times it was updated; early on the memory is shorter, or the average
            would keep the random start.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.model: Model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards a model."""
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = model.state_dict()
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[key], weight)
            else:
                value.copy_(current[key])


def save_checkpoint(
    folder: Path, model: nn.Module, ema: Ema, optimiser: torch.optim.Optimizer, progress: dict
) -> None:
    """Write model, average, optimiser and `progress` (JSON) as one safetensors file."""
    tensors = {f'model.{key}': value for key, value in model.state_dict().items()}
    tensors |= {f'ema.{key}': value for key, value in ema.model.state_dict().items()}
    for index, state in optimiser.state_dict()['state'].items():
        tensors |= {f'optimiser.{index}.{key}': value for key, value in state.items()}
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    metadata = {'progress': json.dumps({**progress, 'ema_updates': ema.updates})}
    partial = folder / f'{CHECKPOINT}.partial'
    save_file(tensors, partial, metadata=metadata)
    partial.replace(folder / CHECKPOINT)


def recipe(config: Any, *leave_out: str, **more: Any) -> dict[str, Any]:
    """What must not change while a run goes on: for the `progress` of its checkpoints.

    Args:
        config: a dataclass.
        leave_out: fields that make no difference to what is learnt from here on.
        more: what else makes one.
    """
    entries = {key: value for key, value in asdict(config).items() if key not in leave_out}
    return json.loads(json.dumps({**entries, **more}))


def require_recipe(folder: Path, progress: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises: UserError, a checkpoint is of a run by another recipe."""
    found = progress.get('recipe', {})
    other = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
    if other:
        raise UserError(
            f'cannot resume from {folder / CHECKPOINT}, which was trained with another '
            f'{", ".join(other)}: say the same again, or train without --resume'
        )


def require_data(folder: Path, progress: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to go on with other data than those of a checkpoint, under `progress['data']`.

    What a checkpoint of an earlier version does not tell of its data is taken to be the same.

    Args:
        wanted: name -> what tells these data from others.

    Raises:
        UserError: some of them are others.
    """
    found = progress.get('data', {})
    other = sorted(name for name, value in wanted.items() if found.get(name, value) != value)
    if other:
        raise UserError(
            f'cannot resume from {folder / CHECKPOINT}, which was trained with other '
            f'{", ".join(other)}: bring those back, or train without --resume'
        )


def read_progress(folder: Path) -> dict[str, Any]:
    """The `progress` of a checkpoint, for those who must build its model before loading it.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
    """
    try:
        with safe_open(folder / CHECKPOINT, framework='pt') as file:
            return json.loads((file.metadata() or {})['progress'])
    except _DAMAGED as error:
        raise UserError(
            f'cannot resume from {_why(folder, error)}; train without --resume'
        ) from error


def load_checkpoint(
    folder: Path, model: nn.Module, ema: Ema, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore what `save_checkpoint` wrote, in place, and return its `progress`.

    Raises:
        UserError: the file is damaged or belongs to another model.
    """
    try:
        progress, parts = _read_checkpoint(folder)
        model.load_state_dict(parts['model'])
        ema.model.load_state_dict(parts['ema'])
    except _DAMAGED as error:
        raise UserError(
            f'cannot resume from {_why(folder, error)}; train without --resume'
        ) from error
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in parts['optimiser'].items():
        index, _, name = key.partition('.')
        states.setdefault(int(index), {})[name] = value
    groups = optimiser.state_dict()['param_groups']
    optimiser.load_state_dict({'state': states, 'param_groups': groups})
    ema.updates = progress.pop('ema_updates')
    return progress


def load_average(folder: Path, model: Model) -> Model:
    """Give a model the averaged state of a checkpoint.

    Raises:
        UserError: there is no checkpoint, or it is damaged or belongs to another model.
    """
    try:
        model.load_state_dict(_read_checkpoint(folder)[1]['ema'])
    except _DAMAGED as error:
        raise UserError(f'cannot read {_why(folder, error)}; train that run again') from error
    return model


def _read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """The progress and the tensors of 'model', 'ema' and 'optimiser' of a checkpoint."""
    parts: dict[str, dict[str, Tensor]] = {'model': {}, 'ema': {}, 'optimiser': {}}
    with safe_open(folder / CHECKPOINT, framework='pt') as file:
        progress = json.loads((file.metadata() or {})['progress'])
        for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
            part, _, rest = key.partition('.')
            parts[part][rest] = file.get_tensor(key)
    return progress, parts


def _why(folder: Path, error: Exception) -> str:
    """A checkpoint and what is wrong with it, in one line."""
    return f'{folder / CHECKPOINT} ({" ".join(str(error).split())[:200]})'


class Curves:
    """A CSV file with one row per epoch."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        """Args: keep, the epochs of an earlier run to go on from; later rows are dropped."""
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if keep and path.is_file():
            with path.open(newline='') as file:
                self.rows = [row for row in csv.DictReader(file) if int(row['epoch']) <= keep]

    def add(self, epoch: int, **figures: float) -> None:
        """Append a row (and write the file anew, so that a later row may have more columns)."""
        self.rows.append({'epoch': epoch, **{k: f'{v:.5g}' for k, v in figures.items()}})
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with self.path.open('w', newline='') as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)
