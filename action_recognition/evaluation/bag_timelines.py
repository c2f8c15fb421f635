"""What was true of each person of a bag and what was said of them: figures, and whether they do.

Who is who: `evaluation.bag` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from action_recognition.classes import BACKGROUND_LABEL, background
from action_recognition.datasets.streams import UNSCORED
from action_recognition.datasets.truth import ANY, UNSCORED_LABEL, Segment, class_index, targets
from action_recognition.errors import UserError
from action_recognition.evaluation.offline import Frames
from action_recognition.evaluation.online import (
    NO_ACTION,
    answer_figures,
    average_precision,
    detection_times,
    segment_hits,
)
from action_recognition.recognition.labels import ActionEstimate
from action_recognition.skeleton import FloatArray, IntArray

#: Figures that are better when they are smaller.
LOWER_IS_BETTER = (
    'ece',
    'false_alarms_per_min',
    'flips_per_min',
    'missed_fraction',
    'time_to_detect_s',
)
#: Of one bag and in the comparison.
MAIN = (
    'accuracy',
    'frame_accuracy',
    'map',
    'f1_at_10',
    'f1_at_25',
    'f1_at_50',
    'time_to_detect_s',
    'missed_fraction',
    'false_alarms_per_min',
    'flips_per_min',
    'ece',
    'tracked_fraction',
)


@dataclass(frozen=True)
class Timeline:
    """What was true of one person of a bag, and what was said of them.

    Attributes:
        bag: name of the bag.
        person: of the truth.
        classes: names; one of them stands for no action.
        stamps: (T,) ns, strictly increasing.
        targets: (T,) classes, -1 where nothing is scored.
        probabilities: (T, classes); all on no action where the person was not tracked.
        said: (T,) confirmed classes, -1 where there is none.
        tracked: (T,) whether the person was.
    """

    bag: str
    person: str
    classes: tuple[str, ...]
    stamps: IntArray
    targets: IntArray
    probabilities: FloatArray
    said: IntArray
    tracked: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.stamps)


def timelines(
    bag: str,
    frames: Frames,
    answers: Sequence[Sequence[ActionEstimate] | None],
    segments: Sequence[Segment],
    labels: Sequence[str],
    ids: Mapping[int, int] | None = None,
) -> list[Timeline]:
    """What was said of each person of the truth.

    Frames are taken in the order of their stamps.

    Args:
        answers: of each frame; None for those that were left out.
        segments: of this bag, without faults.
        labels: of the model; a class of no action is added where it has none.
        ids: from track to person of the truth; None: they are the same.
    """
    none = background(labels)
    classes = tuple(labels) if none is not None else (*labels, BACKGROUND_LABEL)
    if none is None:
        none = len(labels)
    kept = [
        (poses.stamp, said)
        for poses, said in zip(frames.poses, answers, strict=True)
        if said is not None
    ]
    stamps, order = np.unique([stamp for stamp, _ in kept], return_index=True)
    people = list(dict.fromkeys(s.person for s in segments if s.label != UNSCORED_LABEL)) or [ANY]
    found = []
    for person in people:
        p = np.zeros((len(stamps), len(classes)), np.float32)
        said = np.full(len(stamps), NO_ACTION, np.int64)
        tracked = np.zeros(len(stamps), bool)
        for row, index in enumerate(order):
            estimate = _answer(kept[index][1], person, none, ids)
            if estimate is None:
                p[row, none] = 1
                continue
            tracked[row] = True
            p[row, : len(estimate.scores)] = estimate.scores
            if estimate.state == 'confirmed':
                said[row] = estimate.class_id
        truth = targets(segments, person, stamps, classes)
        said = np.where(truth == UNSCORED, NO_ACTION, said)
        found.append(Timeline(bag, person, classes, stamps, truth, p, said, tracked))
    return found


def _answer(
    estimates: Sequence[ActionEstimate], person: str, none: int, ids: Mapping[int, int] | None
) -> ActionEstimate | None:
    present = [e for e in estimates if e.state != 'ended']
    if person != ANY:
        wanted = int(person)
        present = [
            e for e in present if (e.track_id if ids is None else ids.get(e.track_id)) == wanted
        ]
    if len(present) < 2:
        return present[0] if present else None
    return max(present, key=lambda e: (e.state == 'confirmed', _action(e, none), -e.track_id))


def _action(estimate: ActionEstimate, none: int) -> float:
    """The probability of the label if it is confirmed, else of the most probable action."""
    if estimate.state == 'confirmed':
        return estimate.confidence
    scores = estimate.scores
    return float(max(scores[:none].max(initial=0), scores[none + 1 :].max(initial=0)))


def figures(found: Sequence[Timeline]) -> dict[str, Any]:
    """The figures of `online.figures`, and `tracked_fraction`: of the frames of actions, those in
    which the person was tracked. `per_class` holds a table row of each class.
    """
    out = answer_figures(
        found, [t.probabilities for t in found], [t.said for t in found], [t.tracked for t in found]
    )
    none = background(found[0].classes)
    acting = np.concatenate(
        [t.tracked[(t.targets != UNSCORED) & (t.targets != none)] for t in found]
    )
    out['tracked_fraction'] = float(acting.mean()) if len(acting) else None
    out['per_class'] = per_class(found)
    return out


def per_class(found: Sequence[Timeline]) -> dict[str, dict[str, Any]]:
    """For each action of the truth: its number of segments, how many of them get the right label
    (`accuracy`) and are confirmed in time (`detected`), the median delay until then, and the
    average precision over frames.
    """
    classes = found[0].classes
    truth, right = segment_hits(found, [t.probabilities for t in found])
    times = [time for t in found for time in detection_times(t, t.said)]
    target = np.concatenate([t.targets for t in found])
    p = np.concatenate([t.probabilities for t in found])[target != UNSCORED]
    target = target[target != UNSCORED]
    rows = {}
    for k in np.unique(truth):
        mine = np.flatnonzero(truth == k)
        caught = [t for t in (times[i] for i in mine) if t is not None]
        rows[classes[k]] = {
            'segments': len(mine),
            'accuracy': float(right[mine].mean()),
            'detected': len(caught) / len(mine),
            'time_to_detect_s': float(np.median(caught)) if caught else None,
            'average_precision': average_precision(p[:, k], target == k),
        }
    return rows


def broken(figures: Mapping[str, Any], thresholds: Mapping[str, float]) -> list[str]:
    """The thresholds that figures do not reach, a line each.

    Figures of `LOWER_IS_BETTER` must not be above theirs, the others not below.
    """
    lines = []
    for name, bound in thresholds.items():
        value = figures.get(name)
        if value is None:
            lines.append(f'{name} could not be measured, but must reach {bound:g}')
        elif name in LOWER_IS_BETTER and value > bound:
            lines.append(f'{name} is {value:.4g}, above {bound:g}')
        elif name not in LOWER_IS_BETTER and value < bound:
            lines.append(f'{name} is {value:.4g}, below {bound:g}')
    return lines


def thresholds(pairs: Sequence[str]) -> dict[str, float]:
    """Of `METRIC=VALUE` each.

    Raises:
        UserError: there is no such figure, or the value is no number.
    """
    found = {}
    for pair in pairs:
        name, _, value = pair.partition('=')
        try:
            found[name] = float(value)
        except ValueError as error:
            raise UserError(f'{pair}: write it as METRIC=VALUE, such as f1_at_25=0.5') from error
        if name not in MAIN:
            raise UserError(f'{name} is no figure; there are {", ".join(MAIN)}')
    return found


def tabulate(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures for a terminal: those of a second model stand in a column beside the first."""
    other = figures.get('against')
    out = {key: value for key, value in figures.items() if key != 'against'}
    return out if other is None else _beside(out, other)


def _beside(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Values of like keys as pairs, those that one side lacks with a blank."""
    out: dict[str, Any] = {}
    for key, value in one.items():
        same = key if key in other else _same_action(key, other)
        if isinstance(value, Mapping):
            out[key] = _beside(value, other[same] if same is not None else {})
        else:
            out[key] = (value, other[same] if same is not None else None)
    return out


def _same_action(label: str, rows: Mapping[str, Any]) -> str | None:
    """The name under which another model knows an action."""
    index = class_index(label, tuple(rows))
    return None if index is None else tuple(rows)[index]
