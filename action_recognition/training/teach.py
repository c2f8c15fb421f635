"""New actions from a few recordings: `action-recognition teach`.

The base, a recogniser that was trained on thousands of clips, tells what a body does. Either a head
learns how its features become labels, or the whole network learns on; a cross-validation tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_recognition import weights
from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.action import figures
from action_recognition.recognition.base import softmax
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.skeleton import FloatArray
from action_recognition.training import teach_rehearsal as rehearsals
from action_recognition.training.action import compact
from action_recognition.training.loop import seed_everything
from action_recognition.training.tasks import fit_temperature
from action_recognition.training.teach_config import TeachConfig
from action_recognition.training.teach_folds import folds_of
from action_recognition.training.teach_problem import STRENGTH, Base, Problem

#: Penalties of the head among which the cross-validation chooses.
STRENGTHS = (0.1, 0.3, 1.0)
#: Clips of each class from which training the whole network is tried as well.
WHOLE_FROM = 3


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
    problem = Problem(clips, new, base, config)
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
