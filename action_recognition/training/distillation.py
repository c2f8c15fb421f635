"""One model that learns what the models of an earlier run answer on average.

Several models of one recipe and different seeds err differently, and their mean answer is better
than any of them (Hinton et al. 2015, arXiv 1503.02531); a robot has time for one.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.recognition.models import create_model
from action_recognition.training import loop
from action_recognition.training.action_config import ActionConfig

#: What must be alike in both runs, or the clips held out in one were learnt from in the other.
ALIKE = ('set', 'split', 'joints', 'validation')


def earlier_models(
    folder: Path, part: str, config: ActionConfig, labels: tuple[str, ...]
) -> list[nn.Module]:
    """The averaged models of all seeds of a run of `train action`, for inference.

    Args:
        folder: `--out` of that run.
        part: 'validated', which did not see the clips held out, or 'refit', which saw them.
        config: of the model that shall learn from them.
        labels: of that model.

    Raises:
        UserError: there is no such run, or it is of other labels or held out other clips.
    """
    models: list[nn.Module] = []
    for seed in sorted(folder.glob('seed*')):
        files = list(seed.glob('*.safetensors'))
        if len(files) != 1:
            raise UserError(f'{seed} must hold the weights of one run, not {len(files)} of them')
        header = weights.read_header(files[0], 'action')
        _check(header, config, labels, files[0])
        rest = {k: v for k, v in header.config.items() if k not in ('model', 'temperature')}
        model = create_model(header.config['model'], len(labels), **rest)
        models.append(loop.load_average(seed / part, model).eval().requires_grad_(False))
        done, epochs = loop.read_progress(seed / part).get('epoch'), header.training.get('epochs')
        if done != epochs:
            raise UserError(f'{seed / part} ends after epoch {done} of {epochs}: finish that run')
    if not models:
        raise UserError(f'{folder} holds no seed*: give the --out of a run of train action')
    return models


def _check(
    header: weights.Header, config: ActionConfig, labels: tuple[str, ...], path: Path
) -> None:
    """Raises: UserError, a model must not teach one of this config."""
    if header.config.get('model') != 'online' or config.model != 'online':
        raise UserError(f'only the online model can learn from others or teach: see {path}')
    if header.labels != labels:
        raise UserError(f'{path} knows other labels than the config: {", ".join(header.labels)}')
    for key in ALIKE:
        theirs, ours = header.training.get(key), getattr(config, key)
        if theirs != ours:
            raise UserError(f'{path} was trained with {key} {theirs!r}, the config has {ours!r}')
    first = next(iter(header.training.get('seeds', [])), None)
    if first != config.seeds[0]:
        raise UserError(
            f'{path} held out other clips: the first of its seeds is {first}, the config has '
            f'{config.seeds[0]}'
        )
