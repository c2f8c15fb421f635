"""How new actions are to be learnt."""

from __future__ import annotations

from dataclasses import dataclass, field

from action_recognition.errors import UserError
from action_recognition.ranges import COUNT, SEED, check
from action_recognition.training.augment import Augmentation
from action_recognition.training.config_file import check_name

METHODS = ('auto', 'head', 'whole')
#: As the base was trained, but for what would need other classes.
AUGMENTATION = Augmentation(
    flip=0.5,
    rotation=12.0,
    stretch=0.15,
    proportions=0.15,
    warp=0.35,
    speed=1.4,
    least_rate=10.0,
    late_start=0.3,
    jitter=0.10,
    bias=0.08,
    missing=0.3,
    hidden=0.3,
    swapped=0.1,
    scores=True,
    max_frames=96,
)


@dataclass(frozen=True)
class TeachConfig:
    """How to learn.

    Attributes:
        base: name or path of the weights to start from.
        name: of the new weights.
        method: one of `METHODS`.
        keep: the classes of the base stay, beside the new ones.
        validate: cross-validate; without, nothing is chosen, and confidences are as sure as those
            of the base.
        seed: of all that is drawn.
        copies: of each clip, all but one changed at random.
        augmentation: how.

    Raises:
        UserError: a value is out of range.
    """

    base: str = 'online_union32'
    name: str = 'taught'
    method: str = 'auto'
    keep: bool = False
    seed: int = 0
    copies: int = 8
    validate: bool = True
    augmentation: Augmentation = field(default_factory=lambda: AUGMENTATION)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f'method must be one of {", ".join(METHODS)}, not {self.method!r}')
        if self.keep and self.method == 'whole':
            raise UserError(
                'the whole network cannot learn anew and keep its classes: their clips are not '
                'here; use the method head'
            )
        check(vars(self), {'seed': SEED, 'copies': COUNT})
        check_name(self.name)
