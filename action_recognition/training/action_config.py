"""What a training of a recogniser can be told; the files in `config/train/` explain each entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from action_recognition.datasets import jhmdb
from action_recognition.errors import UserError
from action_recognition.evaluation.action import JOINTS, SETS
from action_recognition.limits import read_text
from action_recognition.training import loop
from action_recognition.training.augment import Augmentation

#: The continuous set; its targets are of frames, and no action is a class of its own.
CONTINUOUS = 'precog'


@dataclass(frozen=True)
class ActionConfig:
    """A training config.

    Attributes:
        strings: share of the samples that are clips one after another, as one person's stream.
        background: share of the samples in which nobody does anything; above 0 the model gets
            one more output, `BACKGROUND_LABEL`.
        mixup: of the Beta distribution that says how much of another sample is mixed into each
            sample of the online model (Zhang et al. 2018, arXiv 1710.09412); 0 = nothing.
        joints: of JHMDB, as in `load_set`; '' for those of the set.
        labels: 'set', those of the set, or 'fine', which keeps apart what union32 joins within
            Penn Action, so that one model answers both.

    Raises:
        UserError: a value is out of range, or two do not fit each other.
    """

    name: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    set: str = 'union32'
    split: int = 1
    joints: str = ''
    labels: str = 'set'
    teacher_share: float = 0.0
    strings: float = 0.0
    background: float = 0.0
    mixup: float = 0.0
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
        if self.mixup < 0:
            raise UserError(f'mixup must not be negative, not {self.mixup}')
        if not 0 < self.validation < 1:
            raise UserError(f'validation must lie between 0 and 1, not {self.validation}')
        if not self.seeds:
            raise UserError('seeds must name at least one seed')
        for seed in self.seeds:
            if not isinstance(seed, int) or seed < 0:
                raise UserError(f'seeds must be whole numbers from 0 on, not {seed!r}')
        if self.split not in jhmdb.SPLITS:
            raise UserError(f'split must be 1, 2 or 3, not {self.split!r}')
        if self.precision not in loop.PRECISIONS:
            known = ' or '.join(loop.PRECISIONS)
            raise UserError(f'precision must be {known}, not {self.precision!r}')
        if self.set not in (*SETS, CONTINUOUS):
            known = ', '.join((*SETS, CONTINUOUS))
            raise UserError(f'unknown set {self.set!r}; known: {known}')
        if self.labels not in ('set', 'fine') or (self.labels == 'fine' and self.set != 'union32'):
            raise UserError(f"labels must be 'set', or 'fine' for union32, not {self.labels!r}")
        if self.joints not in ('', *JOINTS):
            raise UserError(f'joints must be one of {", ".join(JOINTS)}, not {self.joints!r}')
        if not (min(self.strings, self.background) >= 0 and self.strings + self.background <= 1):
            raise UserError('strings and background are shares and must sum to at most 1')
        if (self.strings or self.background) and not (
            self.model == 'online' and self.set != CONTINUOUS
        ):
            raise UserError('strings and background are for the online model and sets of clips')
        if self.set == CONTINUOUS and not (self.model == 'online' and self.augmentation.max_frames):
            raise UserError(f'{CONTINUOUS} needs the online model and augmentation.max_frames')

    @classmethod
    def load(cls, path: Path) -> ActionConfig:
        """Read a YAML file.

        An entry `base` names another file beside it, whose entries hold where this one has none.

        Raises:
            UserError: a file is missing, not YAML, its own base, or holds an unknown key.
        """
        try:
            raw = _read(path)
            raw['augmentation'] = Augmentation(**raw.get('augmentation', {}))
            raw['seeds'] = tuple(raw.get('seeds', (0,)))
            return cls(**raw)
        except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
            reason = ' '.join(str(error).split())
            raise UserError(f'cannot use training config {path}: {reason}') from error


def _read(path: Path, users: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The entries of a file and of its bases; `users` are those it is a base of."""
    path = path.resolve()
    if path in users:
        raise UserError(f'training config {path} is a base of itself: name another one')
    raw = dict(yaml.safe_load(read_text(path)))
    base = raw.pop('base', None)
    return {**_read(path.parent / base, (*users, path)), **raw} if base else raw
