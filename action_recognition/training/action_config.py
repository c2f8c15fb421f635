"""What a training of a recogniser can be told; the files in `config/train/` explain each entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from action_recognition.datasets import jhmdb
from action_recognition.errors import UserError
from action_recognition.evaluation.sets import JOINTS, SETS
from action_recognition.limits import read_text
from action_recognition.ranges import (
    AMOUNT,
    COUNT,
    FLAG,
    PART,
    POSITIVE,
    SEED,
    SHARE,
    WORKERS,
    Range,
    check,
)
from action_recognition.recognition.models import check_settings
from action_recognition.training import loop
from action_recognition.training.augment import Augmentation
from action_recognition.training.config_file import check_licence, check_name, entries

#: The continuous set; its targets are of frames, and no action is a class of its own.
CONTINUOUS = 'precog'

#: What the entries of a config may be, other than names.
ENTRIES = {
    'split': Range(1, max(jhmdb.SPLITS), whole=True),
    'teacher_share': SHARE,
    'strings': SHARE,
    'background': SHARE,
    'mixup': AMOUNT,
    'validation': Range(0, 1, above=True, below=True),
    'refit': FLAG,
    'ensemble': FLAG,
    'threads': WORKERS,
    'epochs': COUNT,
    'batch': COUNT,
    'learning_rate': POSITIVE,
    'weight_decay': AMOUNT,
    'warm_up': PART,
    'clip_gradient': POSITIVE,
    'label_smoothing': SHARE,
    'ema': SHARE,
    'settling_time': POSITIVE,
    'final_share': SHARE,
    'validate_every': COUNT,
}
#: Settings of the models that are not for a config to choose: the features are as wide and clips as
#: long as they are, and the temperature is fitted.
GIVEN = ('inputs', 'steps', 'temperature')


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
        ensemble: publish the models of all seeds as one, an `OnlineEnsemble`.
        licence: what the data allow, for the weights' header; '' for that of the public sets.

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
    ensemble: bool = False
    licence: str = ''
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
        check_name(self.name)
        check_licence(self.licence)
        check(vars(self), ENTRIES)
        if not isinstance(self.seeds, (tuple, list)) or not self.seeds:
            raise UserError(f'seeds must be a list of at least one seed, not {self.seeds!r}')
        rules = {f'seeds[{number}]': SEED for number in range(len(self.seeds))}
        check(dict(zip(rules, self.seeds, strict=True)), rules)
        if self.precision not in list(loop.PRECISIONS):  # not by hash: it may be anything
            known = ' or '.join(loop.PRECISIONS)
            raise UserError(f'precision must be {known}, not {self.precision!r}')
        if self.set not in (*SETS, CONTINUOUS):
            known = ', '.join((*SETS, CONTINUOUS))
            raise UserError(f'unknown set {self.set!r}; known: {known}')
        if self.labels not in ('set', 'fine') or (self.labels == 'fine' and self.set != 'union32'):
            raise UserError(f"labels must be 'set', or 'fine' for union32, not {self.labels!r}")
        if self.joints not in ('', *JOINTS):
            raise UserError(f'joints must be one of {", ".join(JOINTS)}, not {self.joints!r}')
        if self.strings + self.background > 1:
            raise UserError('strings and background are shares and must sum to at most 1')
        if (self.strings or self.background) and not (
            self.model == 'online' and self.set != CONTINUOUS
        ):
            raise UserError('strings and background are for the online model and sets of clips')
        if self.set == CONTINUOUS and not (self.model == 'online' and self.augmentation.max_frames):
            raise UserError(f'{CONTINUOUS} needs the online model and augmentation.max_frames')
        if self.ensemble and not (self.model == 'online' and len(set(self.seeds)) > 1):
            raise UserError('ensemble needs the online model and several seeds')
        self._check_settings()

    def _check_settings(self) -> None:
        """Raises: UserError, there is no model of these settings."""
        for name in GIVEN:
            if name in self.settings:
                raise UserError(f'settings.{name} cannot be chosen: leave it out')
        if self.model == 'ensemble':
            raise UserError('model cannot be ensemble: write model: online and ensemble: true')
        check_settings(self.model, self.settings)

    @classmethod
    def load(cls, path: Path) -> ActionConfig:
        """Read a YAML file.

        An entry `base` names another file beside it, whose entries hold where this one has none.

        Raises:
            UserError: a file is missing, not YAML, its own base, or holds an unknown key or a
                value that is out of range.
        """
        try:
            raw = _read(path)
            raw['augmentation'] = Augmentation(**entries(raw, 'augmentation'))
            raw['settings'] = entries(raw, 'settings')
            if isinstance(raw.get('seeds'), list):
                raw['seeds'] = tuple(raw['seeds'])
            return cls(**raw)
        except (UserError, OSError, yaml.YAMLError, TypeError, ValueError) as error:
            reason = ' '.join(str(error).split())
            raise UserError(f'cannot use training config {path}: {reason}') from error


def _read(path: Path, users: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The entries of a file and of its bases; `users` are those it is a base of."""
    path = path.resolve()
    if path in users:
        raise UserError(f'training config {path} is a base of itself: name another one')
    raw = entries({'the file': yaml.safe_load(read_text(path))}, 'the file')
    base = raw.pop('base', '')
    if not isinstance(base, str):
        raise UserError(f'base must be the name of a file beside {path.name}, not {base!r}')
    return {**_read(path.parent / base, (*users, path)), **raw} if base else raw
