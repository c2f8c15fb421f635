"""Figures of a recogniser on continuous recordings, where actions begin and end unannounced.

Segments are pooled over all streams, and so are frames. An action is any class but the
background; a frame that is not to be scored (target -1) counts in no figure, and labels
published in it end there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from action_recognition.classes import background
from action_recognition.datasets import precog
from action_recognition.datasets.streams import UNSCORED, SkeletonStream, precog_streams, segments
from action_recognition.errors import UserError
from action_recognition.evaluation.action import FRACTIONS, Network
from action_recognition.evaluation.common import (
    calibration_bins,
    confusion,
    expected_calibration_error,
    observed,
    project,
    summary,
)
from action_recognition.recognition.base import softmax
from action_recognition.recognition.features import FeatureState, online_step
from action_recognition.recognition.labels import LabelConfig, LabelFilter
from action_recognition.recognition.models import PaperRecognizer, load_recognizer
from action_recognition.recognition.torch_runtime import torch_runtime
from action_recognition.skeleton import NUM_JOINTS, FloatArray, IntArray
from action_recognition.visualization import plots

NO_ACTION = -1
#: Least overlap (intersection over union) of a published and a true segment, in percent.
OVERLAPS = (10, 25, 50)

Segment = tuple[int, int, int]


class Labelled(Protocol):
    """What the figures need of a recording: `SkeletonStream` has it, and more."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def stamps(self) -> IntArray:
        """(T,) nanoseconds, strictly increasing."""

    @property
    def targets(self) -> IntArray:
        """(T,) indices of `classes`, -1 where a frame is not to be scored."""

    def __len__(self) -> int: ...


def stream_logits(model: Network, streams: Sequence[SkeletonStream]) -> list[FloatArray]:
    """What a model says after each frame of each stream, stepped through from start to end.

    Returns:
        One (T, classes) array of logits per stream.

    Raises:
        UserError: the model is not a streaming one.
    """
    if isinstance(model, PaperRecognizer):
        raise UserError('continuous recordings need a streaming model (the online one)')
    order = sorted(range(len(streams)), key=lambda row: -len(streams[row]))
    lengths = np.array([len(streams[row]) for row in order])
    xy = np.full((len(order), lengths[0], NUM_JOINTS, 2), np.nan, np.float32)
    score = np.zeros(xy.shape[:3], np.float32)
    elapsed = np.zeros(xy.shape[:2], np.float32)
    for k, row in enumerate(order):
        stream = streams[row]
        xy[k, : len(stream)], score[k, : len(stream)] = stream.xy, stream.score
        elapsed[k, 1 : len(stream)] = np.diff(stream.stamps) / 1e9
    out = np.empty((len(order), lengths[0], model.num_classes), np.float32)
    memory, runtime = FeatureState.initial(len(order)), torch_runtime(model)
    runtime.add(len(order))
    for t in range(lengths[0]):
        going = np.arange(int((lengths > t).sum()))  # longest first, so those that ended are last
        if len(going) < len(memory.frames):
            memory = memory[going]
        features, memory = online_step(xy[going, t], score[going, t], elapsed[going, t], memory)
        out[going, t] = runtime.step(features, going)
    logits_of = {row: out[k, : lengths[k]] for k, row in enumerate(order)}
    return [logits_of[row] for row in range(len(streams))]


def published(stream: SkeletonStream, probabilities: FloatArray, config: LabelConfig) -> IntArray:
    """(T,) the confirmed action at each frame, -1 where there is none or nothing is scored."""
    label_filter = LabelFilter(config, background(stream.classes))
    said = np.full(len(stream), NO_ACTION, np.int64)
    visible = (stream.score > 0).sum(1).tolist()
    for t, stamp in enumerate(stream.stamps.tolist()):
        answer = label_filter.update(probabilities[t], stamp, visible[t])
        if answer.state == 'confirmed':
            said[t] = answer.class_id
    return np.where(stream.targets == UNSCORED, NO_ACTION, said)


def true_actions(stream: Labelled) -> list[Segment]:
    """The actions of a stream as (start, stop, class)."""
    none = background(stream.classes)
    return [segment for segment in segments(stream.targets) if segment[2] != none]


# --- single figures -------------------------------------------------------------------------


def average_precision(score: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Area below the precision-recall curve, as a sum over the distinct scores.

    Args:
        score: (n,) higher where the class is more probable.
        positive: (n,) True where the frame is of the class; at least one is.
    """
    score, positive = np.asarray(score), np.asarray(positive, bool)
    order = np.argsort(-score, kind='stable')
    last = np.append(np.diff(score[order]) != 0, True)  # equal scores are taken together
    hits = np.cumsum(positive[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return float((precision * np.diff(hits, prepend=0)).sum() / hits[-1])


def segmental_f1(
    truth: Sequence[Sequence[Segment]], said: Sequence[Sequence[Segment]], overlap: float
) -> float:
    """F1 of published segments against true ones (Lea et al., CVPR 2017), in [0, 1].

    A published segment is right if the true segment of its class that overlaps it most (in
    frames, intersection over union) does so by `overlap` at least and has not been found before.

    Args:
        truth, said: the segments of each stream.
    """
    right = wrong = missed = 0
    for true, found in zip(truth, said, strict=True):
        taken: set[int] = set()
        for start, stop, label in found:
            best, best_overlap = -1, 0.0
            for k, (begin, end, name) in enumerate(true):
                common = min(stop, end) - max(start, begin)
                share = common / (max(stop, end) - min(start, begin))
                if name == label and share > best_overlap:
                    best, best_overlap = k, share
            if best >= 0 and best_overlap >= overlap and best not in taken:
                taken.add(best)
                right += 1
            else:
                wrong += 1
        missed += len(true) - len(taken)
    return 2 * right / max(2 * right + wrong + missed, 1)


def detection_times(stream: Labelled, said: IntArray) -> list[float | None]:
    """Seconds from the begin of each action until it is published, None where it never is.

    Args:
        said: (T,) of `published`.
    """
    times: list[float | None] = []
    for start, stop, label in true_actions(stream):
        found = np.flatnonzero(said[start:stop] == label)
        delay = (stream.stamps[start + found[:1]] - stream.stamps[start]) / 1e9
        times.append(float(delay[0]) if len(found) else None)
    return times


def false_alarms(stream: Labelled, said: IntArray) -> int:
    """Published segments that begin in the background and end before any action begins."""
    quiet = stream.targets == background(stream.classes)
    action = ~quiet & (stream.targets != UNSCORED)
    return sum(
        bool(quiet[start] and not action[start:stop].any()) for start, stop, _ in segments(said)
    )


def extra_changes(stream: Labelled, said: IntArray) -> int:
    """Changes of the published label, beyond the one that each true segment calls for."""
    changes = 0
    for start, stop, _ in segments(stream.targets):
        before = said[max(start - 1, 0)]
        count = int(np.count_nonzero(np.diff(said[start:stop], prepend=before)))
        changes += max(count - 1, 0)
    return changes


def durations(stream: Labelled) -> npt.NDArray[np.float64]:
    """(T,) seconds from each frame to the next; the last one lasts as long as the median."""
    steps = np.diff(stream.stamps) / 1e9
    return np.append(steps, np.median(steps) if len(steps) else 0.0)


def segment_scores(
    streams: Sequence[Labelled], probabilities: Sequence[FloatArray], fraction: float = 1.0
) -> tuple[IntArray, FloatArray]:
    """What was said of each true action in the mean over its first frames.

    Args:
        fraction: of the action that was seen.

    Returns:
        (n,) classes and (n, classes) mean probabilities, those of the background 0.
    """
    truth, scores = [], []
    for stream, p in zip(streams, probabilities, strict=True):
        for start, stop, label in true_actions(stream):
            truth.append(label)
            scores.append(p[start : start + observed(stop - start, fraction) + 1].mean(0))
    mean = np.array(scores, np.float32).reshape(len(truth), len(streams[0].classes))
    none = background(streams[0].classes)
    if none is not None:
        mean[:, none] = 0
    return np.array(truth, np.int64), mean


def segment_hits(
    streams: Sequence[Labelled], probabilities: Sequence[FloatArray], fraction: float = 1.0
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Whether each true action gets its label: of `segment_scores`, the most probable one.

    One of somebody who was not seen meanwhile gets none.

    Returns:
        (n,) classes and (n,) hits.
    """
    truth, scores = segment_scores(streams, probabilities, fraction)
    return truth, (scores.argmax(1) == truth) & scores.any(1)


# --- all figures ----------------------------------------------------------------------------


def figures(
    streams: Sequence[SkeletonStream],
    probabilities: Sequence[FloatArray],
    config: LabelConfig | None = None,
) -> dict[str, Any]:
    """The figures of `evaluate action` on continuous recordings.

    - `accuracy`, `per_class`: each true action gets one label, the action with the most mean
      probability from its begin to its end; `accuracy_at` from its begin to a fraction of it.
    - `frame_accuracy`, `ece`: of the most probable class of each frame, background included.
    - `map`: mean over actions of the average precision over frames (De Geest et al., ECCV 2016).
    - `f1_at_10`, `_25`, `_50`: `segmental_f1` of published labels.
    - `time_to_detect_s`: median of `detection_times`; `missed_fraction` of the actions have none.
    - `false_alarms_per_min`: `false_alarms` per minute of background (None without any).
    - `flips_per_min`: `extra_changes` of the published label.

    Args:
        streams: at least one with an action; all of the same classes.
        probabilities: (T, classes) of each stream.
        config: when labels are published.
    """
    config = config or LabelConfig()
    said = [published(s, q, config) for s, q in zip(streams, probabilities, strict=True)]
    return answer_figures(streams, probabilities, said)


def answer_figures(
    streams: Sequence[Labelled],
    probabilities: Sequence[FloatArray],
    said: Sequence[IntArray],
    answered: Sequence[npt.NDArray[np.bool_]] | None = None,
) -> dict[str, Any]:
    """`figures` of answers that were published already.

    Figures of actions are None where there is no action.

    Args:
        said: (T,) of each stream, the confirmed action at each frame, -1 where there is none.
        answered: (T,) of each stream, False where the person was not seen, so that there was no
            confidence that `ece` could count; None: they always were.
    """
    classes, none = streams[0].classes, background(streams[0].classes)
    target = np.concatenate([stream.targets for stream in streams])
    scored = target != UNSCORED
    sure = scored if answered is None else scored & np.concatenate(answered)
    p = np.concatenate(probabilities)
    correct = p.argmax(1) == target
    ece = expected_calibration_error(p[sure].max(1), correct[sure]) if sure.any() else None
    target, p, correct = target[scored], p[scored], correct[scored]
    pairs = list(zip(streams, said, strict=True))
    truth_segments = [true_actions(stream) for stream in streams]
    said_segments = [segments(labels) for labels in said]
    times = [time for stream, labels in pairs for time in detection_times(stream, labels)]
    caught = [time for time in times if time is not None]
    minutes = sum(durations(s)[s.targets != UNSCORED].sum() for s in streams) / 60
    quiet = sum(durations(s)[s.targets == none].sum() for s in streams) / 60
    truth, right = segment_hits(streams, probabilities)
    at = {f: segment_hits(streams, probabilities, f)[1] for f in FRACTIONS}
    actions = np.unique(truth)
    return {
        'accuracy': _mean(right),
        'accuracy_at': {str(f): _mean(hit) for f, hit in at.items()},
        'per_class': {classes[k]: float(right[truth == k].mean()) for k in actions},
        'frame_accuracy': _mean(correct),
        'ece': ece,
        'map': _mean([average_precision(p[:, k], target == k) for k in actions]),
        **{
            f'f1_at_{percent}': segmental_f1(truth_segments, said_segments, percent / 100)
            if len(truth)
            else None
            for percent in OVERLAPS
        },
        'time_to_detect_s': float(np.median(caught)) if caught else None,
        'missed_fraction': 1 - len(caught) / len(times) if times else None,
        'false_alarms_per_min': sum(false_alarms(*pair) for pair in pairs) / quiet
        if quiet
        else None,
        'flips_per_min': sum(extra_changes(*pair) for pair in pairs) / minutes if minutes else None,
        'n': len(truth),
        'streams': len(streams),
        'frames': len(target),
        'background_minutes': float(quiet),
    }


def _mean(values: Sequence[float] | npt.NDArray[Any]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def run(data: Path, models: Sequence[str], report: Path | None = None) -> dict[str, Any]:
    """Score trained streaming recognisers on the even people of PRECOG.

    Args:
        data: the folder that holds the sets, as `precog2016`.
        models: names or paths of weights; several are the seeds of one training, whose mean is
            given.
        report: an existing folder for pictures of the figures.

    Raises:
        UserError: weights or data are missing or do not fit.
    """
    entrants = [load_recognizer(model) for model in models]
    streams = precog_streams(data / 'precog2016', 'test')
    answers = [
        [
            project(softmax(logits, network.temperature), header.labels, precog.LABELS)
            for logits in stream_logits(network, streams)
        ]
        for header, network in entrants
    ]
    found = summary([header for header, _ in entrants], [figures(streams, p) for p in answers])
    if report:
        _draw(report, streams, answers, found['accuracy_at'])
    return {'set': 'precog', 'split': 'even people', 'classes': len(precog.LABELS), **found}


def _draw(
    folder: Path,
    streams: Sequence[SkeletonStream],
    answers: Sequence[Sequence[FloatArray]],
    accuracy_at: dict[str, float],
) -> None:
    """Pictures of the answers of all models at every frame."""
    labels = streams[0].classes
    target = np.concatenate([stream.targets for stream in streams] * len(answers))
    p = np.concatenate([q for answer in answers for q in answer])
    guess = p.argmax(1)
    plots.write_report(
        folder,
        labels,
        confusion(target, guess, len(labels)),
        {'frames': calibration_bins(p.max(1), guess == target)},
        accuracy_at,
    )
