"""What new actions are learnt from: the base, samples of its classes and of the clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from action_recognition import weights
from action_recognition.classes import BACKGROUND, BACKGROUND_LABEL, background
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.recognition.models import load_recognizer
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.skeleton import FloatArray, IntArray
from action_recognition.training import teach_head as heads
from action_recognition.training import teach_rehearsal as rehearsals
from action_recognition.training import teach_whole
from action_recognition.training.augment import Track
from action_recognition.training.teach_config import TeachConfig
from action_recognition.training.teach_folds import learnt_from

#: Penalty of the head without a cross-validation.
STRENGTH = 0.3
#: Samples drawn of each old class, and of people who do nothing for each new class.
REHEARSED, BACKGROUND_PER_CLASS = 40, 12
#: An old class that the base sees in this share of the clips of a new one is taken to be the same.
SAME = 0.5


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


class Problem:
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
