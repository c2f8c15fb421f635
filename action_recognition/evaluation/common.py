"""What evaluations of recognisers share: calibration, means, and labels of models and of sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from action_recognition import weights
from action_recognition.classes import BACKGROUND
from action_recognition.datasets import union32
from action_recognition.errors import UserError
from action_recognition.skeleton import FloatArray, IntArray

BINS = 15


def calibration_bins(confidence: npt.ArrayLike, correct: npt.ArrayLike) -> FloatArray:
    """What a confidence is worth, in `BINS` equally wide bins of confidence.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,) 0 or 1.

    Returns:
        (3, bins): number of answers, their mean confidence and their accuracy, for the bins that
        hold any.
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count, sure, right = (np.bincount(index, w, BINS) for w in (None, confidence, correct))
    used = count > 0
    return np.stack([count[used], sure[used] / count[used], right[used] / count[used]])


def expected_calibration_error(confidence: npt.ArrayLike, correct: npt.ArrayLike) -> float:
    """Mean gap between confidence and accuracy over `BINS` bins, weighted by their size."""
    count, sure, right = calibration_bins(confidence, correct)
    return float((count * np.abs(sure - right)).sum() / count.sum())


def observed(steps: int, fraction: float) -> int:
    """Index of the last frame when this fraction of a clip has been seen (at least one frame)."""
    return max(int(np.ceil(round(fraction * steps, 6))), 1) - 1


def confusion(truth: npt.ArrayLike, answer: npt.ArrayLike, classes: int) -> IntArray:
    """(classes, classes) how often each class (row) got each answer (column)."""
    cells = np.asarray(truth) * classes + np.asarray(answer)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


# --- labels of models and of sets -----------------------------------------------------------


def joined(set_labels: Sequence[str], model_labels: Sequence[str]) -> dict[str, str]:
    """The class in which a model can be asked for each label of a set.

    That is the label itself, except where the model joins several labels of the set (as the
    first models join the two tennis strokes): then it is the name of the joined class.
    """
    names = [union32.CANONICAL.get(label, label) for label in set_labels]
    return {
        label: name
        if names.count(name) > 1 and label not in model_labels and name in model_labels
        else label
        for label, name in zip(set_labels, names, strict=True)
    }


def project(
    probabilities: FloatArray, model_labels: Sequence[str], set_labels: Sequence[str]
) -> FloatArray:
    """Probabilities of a model's labels as those of a set's labels alone.

    A label of the model counts for the set's label of the same name, else for the one that is
    the same action by `union32.CANONICAL` ('pull_up' for 'pullup', 'tennis_serve' for
    'tennis_stroke'), or that stands for no action too ('background' for 'none'). What counts for
    one label is summed, what counts for none is dropped, and the rest is scaled to sum to 1;
    where nothing is left, all labels are equally probable.

    Args:
        probabilities: (..., model labels).

    Returns:
        (..., set labels).

    Raises:
        UserError: the model has no label for some of the set.
    """
    table = np.zeros((len(model_labels), len(set_labels)), np.float32)
    for row, name in enumerate(model_labels):
        for column, wanted in enumerate(set_labels):
            table[row, column] = name == wanted or (
                name not in set_labels and _same_action(name, wanted)
            )
    lacking = [label for k, label in enumerate(set_labels) if not table[:, k].any()]
    if lacking:
        raise UserError(f'the model does not know {", ".join(lacking)}')
    kept = np.asarray(probabilities, np.float32) @ table
    total = kept.sum(-1, keepdims=True)
    return np.where(total > 0, kept / np.maximum(total, 1e-30), np.float32(1 / len(set_labels)))


def _same_action(name: str, wanted: str) -> bool:
    canonical = union32.CANONICAL
    if name in BACKGROUND:
        return wanted in BACKGROUND
    return wanted == canonical.get(name) or name == canonical.get(wanted)


def common_classes(set_labels: Sequence[str], headers: Sequence[weights.Header]) -> dict[str, str]:
    """`joined` of models that are to be averaged.

    Raises:
        UserError: they do not join the same labels.
    """
    names = [joined(set_labels, header.labels) for header in headers]
    for header, other in zip(headers, names, strict=True):
        if other != names[0]:
            raise UserError(
                f'{headers[0].name} and {header.name} tell different classes apart: '
                'score them one by one'
            )
    return names[0]


# --- several models -------------------------------------------------------------------------


def average(results: Sequence[Any]) -> Any:
    """The mean of like figures, however nested; what all agree on stays as it is.

    A figure that some of them lack (None) is the mean over the others.
    """
    first = results[0]
    if isinstance(first, dict):
        return {key: average([result[key] for result in results]) for key in first}
    if isinstance(first, (list, tuple)):
        return [average(items) for items in zip(*results, strict=True)]
    known = [result for result in results if result is not None]
    if not known or all(result == known[0] for result in known):
        return known[0] if known else None
    return float(np.mean(known))


def summary(headers: Sequence[weights.Header], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over models of the same kind, and the standard deviation of their accuracy."""
    accuracies = [result['accuracy'] for result in results]
    spread = float(np.std(accuracies, ddof=1)) if len(results) > 1 else None
    return {
        'model': ', '.join(dict.fromkeys(header.name for header in headers)),
        'seeds': len(results),
        'accuracy_std': spread,
        **average(results),
    }
