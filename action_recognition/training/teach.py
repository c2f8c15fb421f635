"""New actions from a few recordings: `action-recognition teach`.

The base, a recogniser that was trained on thousands of clips, tells what a body does. Either a head
learns how its features become labels, or the whole network learns on; a cross-validation tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_recognition import weights
from action_recognition.classes import BACKGROUND, BACKGROUND_LABEL, background
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.action import figures
from action_recognition.ranges import COUNT, SEED, check
from action_recognition.recognition.base import softmax
from action_recognition.recognition.models import load_recognizer
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.skeleton import FloatArray, IntArray
from action_recognition.training import teach_head as heads
from action_recognition.training import teach_rehearsal as rehearsals
from action_recognition.training import teach_whole
from action_recognition.training.action import compact
from action_recognition.training.augment import Augmentation, Track
from action_recognition.training.config_file import check_name
from action_recognition.training.loop import seed_everything
from action_recognition.training.tasks import fit_temperature
from action_recognition.training.teach_folds import folds_of, learnt_from

METHODS = ('auto', 'head', 'whole')
#: Penalties of the head among which the cross-validation chooses, and the one without it.
STRENGTHS, STRENGTH = (0.1, 0.3, 1.0), 0.3
#: Clips of each class from which training the whole network is tried as well.
WHOLE_FROM = 3
#: Samples drawn of each old class, and of people who do nothing for each new class.
REHEARSED, BACKGROUND_PER_CLASS = 40, 12
#: An old class that the base sees in this share of the clips of a new one is taken to be the same.
SAME = 0.5

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


@dataclass(frozen=True)
class Base:
    """What is started from."""

    header: weights.Header
    model: OnlineRecognizer
    rehearsal: rehearsals.Rehearsal | None

    @classmethod
    def load(cls, name: str) -> Base:
        """By published name or path.

        Raises:
            UserError: there are no such weights, or they are not of the online model.
        """
        header, model = load_recognizer(name)
        if not isinstance(model, OnlineRecognizer):
            raise UserError(
                f'{name} is not a streaming recogniser, or several in one: use another of online_*'
            )
        path = weights.find(name)
        found = rehearsals.load(path, weights.digest(path), 2 * model.units)
        return cls(header, model, found)

    @property
    def settings(self) -> dict[str, Any]:
        """To build its network again."""
        return {k: v for k, v in self.header.config.items() if k not in ('model', 'temperature')}


@dataclass(frozen=True)
class Taught:
    """What came of it.

    Attributes:
        model, labels: for `StreamingRecognizer`.
        method: 'head <penalty>' or 'whole'.
        accuracy: of each method and penalty in cross-validation.
        asked: clips that were asked about in cross-validation.
        answers: (T, labels) calibrated probabilities for each, by a model that had seen none of
            its source.
        alone: classes that could not be cross-validated.
        same: new class -> old class that looks the same to the base, which is not told from it.
    """

    model: OnlineRecognizer
    labels: tuple[str, ...]
    method: str
    accuracy: dict[str, float]
    asked: list[SkeletonClip]
    answers: list[FloatArray]
    alone: tuple[str, ...]
    same: dict[str, str]

    @property
    def figures(self) -> dict[str, Any]:
        """Of the cross-validation, as of `evaluate action`; empty without one."""
        return figures(self.asked, self.answers, self.labels) if self.asked else {}


def teach(clips: Sequence[SkeletonClip], base: Base, config: TeachConfig) -> Taught:
    """Learn the actions of some clips.

    Args:
        clips: in which somebody was found, `group` being the source; those labelled
            `BACKGROUND_LABEL` show people who do nothing of interest.

    Raises:
        UserError: there are too few actions, or the base cannot keep its classes.
    """
    new = tuple(sorted({clip.label for clip in clips} - {BACKGROUND_LABEL}))
    _check(new, base, config)
    torch.set_num_threads(1)
    seed_everything(config.seed)
    problem = _Problem(clips, new, base, config)
    unasked = np.full(len(clips), -1)
    folds = folds_of(clips, config.seed) if config.validate else unasked
    validated = np.flatnonzero(folds >= 0).tolist()
    asked = [row for row in validated if clips[row].label != BACKGROUND_LABEL]
    alone = sorted(set(new) - {clips[row].label for row in asked})
    accuracy: dict[str, float] = {}
    logits: dict[str, list[FloatArray]] = {}
    tried = _ways(clips, new, config)
    best = f'head {STRENGTH:g}' if len(tried) > 1 else tried[0]
    if asked:
        for way in tried:
            logits[way] = problem.out_of_fold(way, folds, asked)
            right = [
                problem.labels[int(answer[-1].argmax())] == clips[row].label
                for row, answer in zip(asked, logits[way], strict=True)
            ]
            accuracy[way] = float(np.mean(right))
        best = best_of(accuracy, best, len(asked))
    model = problem.model(best, np.arange(len(clips)))
    questioned = [clips[row] for row in asked]
    model.temperature = base.model.temperature
    answers: list[FloatArray] = []
    if asked:
        model.temperature = fit_temperature(logits[best], questioned, problem.labels)
        answers = [softmax(answer, model.temperature) for answer in logits[best]]
    return Taught(
        model, problem.labels, best, accuracy, questioned, answers, tuple(alone), problem.same
    )


def best_of(accuracy: dict[str, float], preferred: str, asked: int) -> str:
    """The method to take by the answers of a cross-validation.

    Of equal heads it is the preferred one. The whole network, which is right more often on average,
    gives way only to a head that is better by more than a standard error of so few answers.
    """
    heads_only = {way: right for way, right in accuracy.items() if way != 'whole'}
    best = max(heads_only, key=lambda way: (heads_only[way], way == preferred), default='whole')
    right = accuracy[best]
    error = (right * (1 - right) / asked) ** 0.5
    return 'whole' if accuracy.get('whole', -1.0) >= right - error else best


def _ways(clips: Sequence[SkeletonClip], new: Sequence[str], config: TeachConfig) -> list[str]:
    """The methods to choose from, the head's with each penalty."""
    if config.method == 'whole':
        return ['whole']
    ways = [f'head {strength:g}' for strength in STRENGTHS]
    fewest = min(Counter(clip.label for clip in clips if clip.label in new).values())
    if config.method == 'auto' and not config.keep and fewest >= WHOLE_FROM:
        ways.append('whole')
    return ways


def _check(new: Sequence[str], base: Base, config: TeachConfig) -> None:
    if not new or (len(new) < 2 and not config.keep):
        there = f'only {new[0]!r}' if new else 'none'
        raise UserError(
            f'two actions or more are needed to tell them apart, and there is {there}; record '
            'another one, or add --keep to learn it beside those of the base'
        )
    if config.keep and base.rehearsal is None:
        raise UserError(
            f'{base.header.name} cannot keep its classes: there is no '
            f'{base.header.name}{rehearsals.SUFFIX} beside its weights; leave out --keep, or start '
            'from weights that have one'
        )


class _Problem:
    """The samples of one training, and how parts of them become models."""

    def __init__(
        self, clips: Sequence[SkeletonClip], new: tuple[str, ...], base: Base, config: TeachConfig
    ) -> None:
        self.clips, self.base, self.config = clips, base, config
        rng = np.random.default_rng(config.seed)
        model = base.model
        none = background(base.header.labels)
        self.kept: tuple[int, ...] = ()
        if config.keep:
            self.kept = tuple(k for k, name in enumerate(base.header.labels) if name not in new)
        with_background = not self.kept or none is None
        classes = (*new, BACKGROUND_LABEL) if with_background else new
        own = heads.samples_of(
            model, clips, (*new, BACKGROUND_LABEL), config.augmentation, config.copies, rng
        )
        self.whole = heads.embed(model, [Track.of(clip) for clip in clips])
        self.new, self.seen = new, self._seen()
        self.same = self._same(np.arange(len(clips)))
        remembered = base.rehearsal.labels if base.rehearsal else ()
        self.old = [name for name in remembered if name not in new]
        nothing = heads.background_of(
            model, clips, len(new), config.augmentation, BACKGROUND_PER_CLASS * len(new), rng
        )
        parts = [own, *([nothing] if nothing else []), *self._old(rng)]
        self.samples = heads.Samples.join(parts)
        if with_background and not (self.samples.label == len(new)).any():
            classes = new  # nothing is known of people who do nothing
        self.classes = classes
        self.labels = (*(base.header.labels[k] for k in self.kept), *classes)
        self.of_base = None
        if self.kept:
            self.of_base = heads.logits_of_base(model, self.samples.x, self.kept)
            if none is not None:  # background is a class of the base
                row = self.kept.index(none)
                label = self.samples.label
                label = torch.where(label == len(new), torch.tensor(-1 - row), label)
                self.samples = self.samples._replace(label=label)

    def _seen(self) -> list[str]:
        """The class of the base at the end of each clip."""
        names, answer = self.base.header.labels, self.base.model.answer
        with torch.no_grad():
            return [names[int(answer(frames[-1:]).argmax())] for frames in self.whole]

    def _same(self, rows: IntArray) -> dict[str, str]:
        """New class -> old one that the base sees in most of its clips among these rows."""
        found = {}
        for label in self.new:
            said = Counter(self.seen[row] for row in rows if self.clips[row].label == label)
            for name, count in said.most_common(1):
                if count >= SAME * said.total() and name not in BACKGROUND:
                    found[label] = name
        return found

    def _old(self, rng: np.random.Generator) -> list[heads.Samples]:
        """Features of old classes, labelled as their own where they are kept, else background."""
        rehearsal = self.base.rehearsal
        if rehearsal is None:
            return []
        share = BACKGROUND_PER_CLASS * len(self.new) / REHEARSED
        parts = []
        for number, name in enumerate(self.old):
            label = len(self.new)
            if self.kept:
                label = -1 - self.kept.index(self.base.header.labels.index(name))
            parts.append(
                heads.Samples(
                    rehearsal.draw(name, REHEARSED, rng),
                    torch.full((REHEARSED,), label),
                    torch.full((REHEARSED,), -1 - number),
                    torch.full((REHEARSED,), share),
                )
            )
        return parts

    def head(self, strength: float, rows: IntArray) -> heads.Head:
        """Learnt from the clips of these rows, and from old classes.

        An old class that a new one looks the same as is no background for it. These rows alone say
        which that is, or clips that are held out would shape the head that is asked about them.
        """
        same = set() if self.kept else set(self._same(rows).values())
        old = [-1 - number for number, name in enumerate(self.old) if name not in same]
        used = torch.isin(self.samples.owner, torch.tensor([*rows.tolist(), *old]))
        of_base = None if self.of_base is None else self.of_base[used]
        samples = self.samples.select(used)
        # Together old classes count as much in the background as people who do nothing.
        share = torch.where(samples.owner < 0, 1 / max(len(old), 1), 1.0)
        samples = samples._replace(weight=samples.weight * share)
        found = heads.fit_head(samples, len(self.classes), strength, of_base)
        return replace(found, kept=self.kept)

    def model(self, way: str, rows: IntArray) -> OnlineRecognizer:
        """By 'head <strength>' or 'whole', from the clips of these rows."""
        base, settings = self.base.model, self.base.settings
        if way != 'whole':
            return heads.install(base, settings, self.head(float(way.split()[1]), rows))
        return teach_whole.fit(
            base,
            settings,
            heads.install(base, settings, self.head(STRENGTH, rows)),
            [self.clips[row] for row in rows],
            self.labels,
            self.config.augmentation,
            self.config.seed,
        )

    def out_of_fold(self, way: str, folds: IntArray, asked: Sequence[int]) -> list[FloatArray]:
        """(T, labels) logits for each clip asked about, learnt without the sources of its fold."""
        found: dict[int, FloatArray] = {}
        for fold in sorted({int(folds[row]) for row in asked}):
            rows = learnt_from(self.clips, folds, fold)
            out = [row for row in asked if folds[row] == fold]
            if way == 'whole':
                model = self.model(way, rows)
                answers = teach_whole.answers(model, [self.clips[row] for row in out])
            else:
                head = self.head(float(way.split()[1]), rows)
                answers = [self._answer(head, self.whole[row]) for row in out]
            found |= dict(zip(out, answers, strict=True))
        return [found[row] for row in asked]

    def _answer(self, head: heads.Head, features: torch.Tensor) -> FloatArray:
        logits = head.logits(features)
        if self.kept:
            old = heads.logits_of_base(self.base.model, features, self.kept)
            logits = torch.cat([old, logits], -1)
        return logits.numpy()


def publish(
    taught: Taught, clips: Sequence[SkeletonClip], base: Base, config: TeachConfig, path: Path
) -> None:
    """Write the weights, which every node loads."""
    found = taught.figures
    counts = Counter(clip.label for clip in clips)
    names = ('accuracy', 'ece', 'flips_per_clip', 'n')
    header = weights.Header(
        kind='action',
        name=config.name,
        config={
            'model': 'online',
            **base.settings,
            'dense': len(taught.model.dense.bias),  # a head has its own
            'temperature': round(taught.model.temperature, 4),
        },
        labels=taught.labels,
        training={
            **asdict(config),
            'base': base.header.name,
            'method': taught.method,
            'clips': dict(sorted(counts.items())),
            'sources': len({clip.group for clip in clips}),
        },
        metrics={f'cross_validation_{k}': round(found[k], 4) for k in names if k in found},
        licence=f'Taught by recordings of its maker. Its base {base.header.name}: '
        f'{base.header.licence}',
    )
    weights.save(path, compact(taught.model), header)
