"""A support vector machine over uniformly sampled joints."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from action_recognition.benchmarking.peer import Step
from action_recognition.benchmarking.windows import windows
from action_recognition.datasets.clips import SkeletonClip, train_validation
from action_recognition.errors import UserError
from action_recognition.recognition.base import softmax
from action_recognition.skeleton import FloatArray, Poses
from action_recognition.training.tasks import fit_temperature

#: Values of C, the weight of training clips on the wrong side, from which validation chooses.
CHOICES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
VALIDATION = 0.15


class SvmPeer:
    """RBF-SVM on 16 frames of normalised joints.

    C, and the temperature that makes probabilities of its decision values, are chosen on a
    validation part of the training clips; then it learns all of them.

    Raises:
        UserError: scikit-learn is not installed.
    """

    name, trains, frames = 'svm', True, 16

    def __init__(self) -> None:
        if find_spec('sklearn') is None:
            raise UserError('the peer svm needs scikit-learn: pip install scikit-learn')
        self.labels: tuple[str, ...] = ()
        self.temperature = 1.0
        self.machine: Any = None

    @property
    def recipe(self) -> dict[str, Any]:
        return {'frames': self.frames, 'choices': list(CHOICES), 'validation': VALIDATION}

    @property
    def parameters(self) -> int:
        """Support vectors, their coefficients, and offsets."""
        parts = (self.machine.support_vectors_, self.machine.dual_coef_, self.machine.intercept_)
        return sum(part.size for part in parts)

    def fit(
        self, clips: Sequence[SkeletonClip], labels: Sequence[str], seed: int, folder: Path
    ) -> None:
        self.labels = tuple(labels)
        fitting, validation = train_validation(clips, VALIDATION, seed)
        right = np.array([self.labels.index(clip.label) for clip in validation])
        machines = [self._machine(fitting, c) for c in CHOICES]
        values = [self._values(machine, validation) for machine in machines]
        best = int(np.argmax([(value.argmax(1) == right).mean() for value in values]))
        self.temperature = fit_temperature(list(values[best][:, None]), validation, labels)
        self.machine = self._machine(clips, CHOICES[best])

    def _features(self, sequences: Sequence[FloatArray]) -> FloatArray:
        return windows(sequences, self.frames).reshape(len(sequences), -1)

    def _machine(self, clips: Sequence[SkeletonClip], c: float) -> Any:
        from sklearn.svm import SVC

        targets = [self.labels.index(clip.label) for clip in clips]
        return SVC(C=c).fit(self._features([clip.xy for clip in clips]), targets)

    def _values(self, machine: Any, clips: Sequence[SkeletonClip]) -> FloatArray:
        return self._decide(machine, self._features([clip.xy for clip in clips]))

    def _decide(self, machine: Any, features: FloatArray) -> FloatArray:
        """(n, classes) decision values; a class that was not in training is far below all."""
        value = machine.decision_function(features)
        if value.ndim == 1:  # of two classes there is one value, for the second
            value = np.stack([-value, value], 1)
        out = np.full((len(features), len(self.labels)), -100, np.float32)
        out[:, machine.classes_] = value
        return out

    def probabilities(self, clips: Sequence[SkeletonClip]) -> FloatArray:
        return softmax(self._values(self.machine, clips), self.temperature)

    def step(self) -> Step:
        past: deque[FloatArray] = deque(maxlen=self.frames)

        def step(poses: Poses) -> FloatArray:
            past.append(poses.xy)
            features = self._features(list(np.stack(past, 1)))
            return softmax(self._decide(self.machine, features), self.temperature)

        return step
