"""What a training of the pose network can be told; `config/train/pose.yaml` explains each entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from torch import Tensor

from action_recognition.errors import UserError
from action_recognition.limits import read_text
from action_recognition.pose.backbone import STRIDE
from action_recognition.pose.heads import STAGES
from action_recognition.ranges import (
    AMOUNT,
    COUNT,
    PART,
    POSITIVE,
    SEED,
    SHARE,
    WORKERS,
    Range,
    check,
)
from action_recognition.skeleton import JOINT_NAMES
from action_recognition.training.config_file import check_licence, check_name, entries
from action_recognition.training.pose_data import Augmentation, check_size_range

#: Of images, in pixels: what the estimator takes, by which scores are fitted at the end.
SIDE = Range(4 * STRIDE, 1024, whole=True)
#: What the entries of a config and of its phases may be, other than names.
ENTRIES = {
    'seed': SEED,
    'threads': WORKERS,
    'workers': Range(0, WORKERS.most, whole=True),
    'batch': COUNT,
    'learning_rate': POSITIVE,
    'warm_up': PART,
    'weight_decay': AMOUNT,
    'ema': SHARE,
    'jhmdb_every': COUNT,
    'limb_weight': AMOUNT,
    'validate_every': COUNT,
    'check_size': SIDE,
}
PHASE = {'size': SIDE, 'stages': Range(1, STAGES, whole=True), 'images': COUNT}


@dataclass(frozen=True)
class Phase:
    """A stretch of training at one resolution with one number of stages.

    Attributes:
        size: side of the square images, pixels.
        stages: how many stages learn.
        images: how many images they see.
        size_range: of the people in it, instead of the augmentation's.
    """

    size: int
    stages: int
    images: int
    size_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class PoseConfig:
    """The training config; the fields are explained in `config/train/pose.yaml`.

    Attributes:
        licence: what the data allow, for the weights' header; '' for that of the public sets.

    Raises:
        UserError: a value is out of range.
    """

    name: str
    phases: tuple[Phase, ...]
    start_from: str = ''
    licence: str = ''
    seed: int = 0
    threads: int = 2
    workers: int = 1
    batch: int = 32
    learning_rate: float = 2e-3
    warm_up: float = 0.05
    weight_decay: float = 1e-4
    ema: float = 0.999
    jhmdb_every: int = 3
    augmentation: Augmentation = field(default_factory=Augmentation)
    joint_weights: dict[str, float] = field(default_factory=dict)
    limb_weight: float = 1.0
    validate_every: int = 10000
    check_size: int = 160

    def __post_init__(self) -> None:
        check_name(self.name)
        if not isinstance(self.start_from, str):
            raise UserError(f'start_from must be a name or a file, not {self.start_from!r}')
        check_licence(self.licence)
        check(vars(self), ENTRIES)
        if not self.phases:
            raise UserError('phases must name at least one phase')
        for number, phase in enumerate(self.phases):
            check(vars(phase), PHASE, f'phases[{number}].')
            if phase.size_range is not None:
                check_size_range(phase.size_range, f'phases[{number}].size_range')
        for size in (self.check_size, *(phase.size for phase in self.phases)):
            if size % STRIDE:
                raise UserError(f'sizes must be multiples of {STRIDE}, not {size}')
        check(self.joint_weights, dict.fromkeys(self.joint_weights, AMOUNT), 'joint_weights.')
        if unknown := set(self.joint_weights) - {_kind(name) for name in JOINT_NAMES}:
            raise UserError(f'joint_weights names no joint: {", ".join(sorted(unknown))}')

    @classmethod
    def load(cls, path: Path) -> PoseConfig:
        """Read a YAML file.

        Raises:
            UserError: the file is missing, not YAML, or holds an unknown key or a value that is
                out of range.
        """
        try:
            raw = entries({'the file': yaml.safe_load(read_text(path))}, 'the file')
            raw['augmentation'] = Augmentation(**entries(raw, 'augmentation'))
            raw['joint_weights'] = entries(raw, 'joint_weights')
            phases = raw.get('phases')
            if not isinstance(phases, list):
                raise UserError(f'phases must be a list of phases, not {phases!r:.60}')
            raw['phases'] = tuple(Phase(**entries({'a phase': p}, 'a phase')) for p in phases)
            return cls(**raw)
        except (UserError, OSError, yaml.YAMLError, TypeError, ValueError) as error:
            reason = ' '.join(str(error).split())
            raise UserError(f'cannot use training config {path}: {reason}') from error

    @property
    def images(self) -> int:
        """Images seen over all phases."""
        return sum(phase.images for phase in self.phases)

    def phase_at(self, seen: int) -> tuple[Phase, int]:
        """The phase that training is in after this many images, and the count at its end."""
        phase, _, end = self._phase(seen)
        return phase, end

    def begin_of_phase(self, seen: int) -> int:
        """Images seen when the phase began that training is in: it began with a whole batch."""
        return -(-self._phase(seen)[1] // self.batch) * self.batch

    def _phase(self, seen: int) -> tuple[Phase, int, int]:
        end = 0
        for phase in self.phases:
            start, end = end, end + phase.images
            if seen < end:
                break
        return phase, start, end

    def weights(self, device: torch.device) -> Tensor:
        """(14,) weight W of each joint."""
        table = [self.joint_weights.get(_kind(name), 1.0) for name in JOINT_NAMES]
        return torch.tensor(table, dtype=torch.float32, device=device)


def _kind(joint: str) -> str:
    """'wrist' of 'right_wrist'."""
    return joint.split('_')[-1]
