"""Accuracy, earliness, calibration and steadiness of a recogniser on labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from action_recognition import weights
from action_recognition.datasets import jhmdb
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.common import (
    calibration_bins,
    common_classes,
    confusion,
    expected_calibration_error,
    joined,
    observed,
    project,
    summary,
)
from action_recognition.evaluation.estimated import JointCache, detected, pose_trained_on_fraction
from action_recognition.evaluation.sets import SETS, load_set
from action_recognition.recognition.base import softmax
from action_recognition.recognition.features import (
    ONLINE_FEATURES,
    online_features,
    paper_features,
    sample_uniformly,
)
from action_recognition.recognition.labels import LabelConfig, LabelFilter
from action_recognition.recognition.models import Network, PaperRecognizer, load_recognizer
from action_recognition.skeleton import FloatArray
from action_recognition.visualization import plots

FRACTIONS = tuple(round(0.1 * k, 1) for k in range(1, 11))


@torch.inference_mode()
def clip_logits(
    model: Network,
    clips: Sequence[SkeletonClip],
    asked: Sequence[float] = FRACTIONS,
    batch: int = 64,
) -> list[FloatArray]:
    """What a model says after each frame of each clip, having seen the frames up to it.

    The online model answers at every frame. The paper's model would work through its 60 steps
    for each answer, so it is asked only when these fractions of a clip have passed, about the
    beginning of the clip sampled to 60 frames; an answer stands until the next, and the first
    one also for the frames before it.

    Returns:
        One (T, classes) array of logits per clip.
    """
    device = model.device
    if isinstance(model, PaperRecognizer):
        beginnings = [
            clip_beginning(clip, observed(len(clip), fraction))
            for clip in clips
            for fraction in asked
        ]
        parts = torch.from_numpy(np.stack(beginnings)).to(device).split(4 * batch)
        answers = torch.cat([model(part) for part in parts]).cpu().numpy()
        out = []
        for clip, answer in zip(clips, answers.reshape(len(clips), len(asked), -1), strict=True):
            frames = [observed(len(clip), fraction) for fraction in asked]
            latest = np.searchsorted(frames, np.arange(len(clip)), side='right') - 1
            out.append(answer[np.maximum(latest, 0)])
        return out
    order = np.argsort([len(clip) for clip in clips], kind='stable')
    logits: dict[int, FloatArray] = {}
    for rows in np.array_split(order, max(1, -(-len(order) // batch))):
        steps = max(len(clips[row]) for row in rows)
        x = np.zeros((len(rows), steps, ONLINE_FEATURES), np.float32)
        for k, row in enumerate(rows):
            clip = clips[row]
            x[k, : len(clip)] = online_features(clip.xy, clip.score, clip.stamps)
        answer = model(torch.from_numpy(x).to(device)).cpu().numpy()
        logits |= {row: answer[k, : len(clips[row])] for k, row in enumerate(rows)}
    return [logits[row] for row in range(len(clips))]


def clip_beginning(clip: SkeletonClip, last: int) -> FloatArray:
    """(60, 34) features of the frames of a clip up to and with frame `last`."""
    rows = sample_uniformly(last + 1)
    return paper_features(clip.xy[rows], clip.score[rows])


def flips(clip: SkeletonClip, probabilities: FloatArray, config: LabelConfig) -> int:
    """How often the published label of a clip changes from one action to another."""
    label_filter = LabelFilter(config)
    published = []
    for t, stamp in enumerate(clip.stamps):
        visible = int((clip.score[t] > 0).sum())
        answer = label_filter.update(probabilities[t], int(stamp), visible)
        if answer.state == 'confirmed':
            published.append(answer.class_id)
    return int(np.count_nonzero(np.diff(published)))


def figures(
    clips: Sequence[SkeletonClip],
    probabilities: Sequence[FloatArray],
    labels: Sequence[str],
    config: LabelConfig | None = None,
) -> dict[str, Any]:
    """The figures of `evaluate action`.

    `accuracy` and `ece` are of the answer at the end of the clip; `ece_streaming` is over all
    `FRACTIONS` of the clips together, as a robot sees the confidence; `flips_per_clip` counts
    changes of the published label and `raw_flips_per_clip` of the most probable class. A clip in
    which nobody was found counts as wrong.
    """
    index = {label: k for k, label in enumerate(labels)}
    truth = np.array([index[clip.label] for clip in clips])
    at = np.stack(
        [[p[observed(len(p), fraction)] for p in probabilities] for fraction in FRACTIONS]
    )
    correct = (at.argmax(-1) == truth) & np.array([detected(clip) for clip in clips])
    confidence = at.max(-1)
    config = config or LabelConfig()
    return {
        'accuracy': float(correct[-1].mean()),
        'accuracy_at': {str(f): float(c.mean()) for f, c in zip(FRACTIONS, correct, strict=True)},
        'per_class': {
            label: float(correct[-1][truth == k].mean())
            for label, k in index.items()
            if (truth == k).any()
        },
        'ece': expected_calibration_error(confidence[-1], correct[-1]),
        'ece_streaming': expected_calibration_error(confidence.ravel(), correct.ravel()),
        'flips_per_clip': float(
            np.mean([flips(c, p, config) for c, p in zip(clips, probabilities, strict=True)])
        ),
        'raw_flips_per_clip': float(
            np.mean([np.count_nonzero(np.diff(p.argmax(-1))) for p in probabilities])
        ),
        'n': len(clips),
    }


class Contest(NamedTuple):
    """Models, and the clips they are asked about.

    Attributes:
        entrants: header and network of each model.
        classes: that compete.
        clips: labelled with them.
    """

    entrants: list[tuple[weights.Header, Network]]
    classes: tuple[str, ...]
    clips: list[SkeletonClip]

    def answers(
        self, entrant: int, clips: Sequence[SkeletonClip], asked: Sequence[float] = FRACTIONS
    ) -> list[FloatArray]:
        """(T, classes) probabilities of one model for each clip; `asked` as in `clip_logits`."""
        header, network = self.entrants[entrant]
        return [
            project(softmax(logits, network.temperature), header.labels, self.classes)
            for logits in clip_logits(network, clips, asked)
        ]


def enter(
    set_name: str,
    data: Path,
    models: Sequence[str],
    split: int = 1,
    joints: str | None = None,
    cache: JointCache | None = None,
) -> Contest:
    """Models and the official test part of a set, under labels that both know.

    Args:
        models: names or paths of weights.
        data, split, joints, cache: as in `load_set`.

    Raises:
        UserError: weights or data are missing or do not fit, the models cannot be compared, or
            one was trained on another split of JHMDB, so that it knows some of the test clips.
    """
    entrants = load_entrants(models, SETS[set_name], None if set_name == 'penn' else split)
    return contest(entrants, SETS[set_name], load_set(set_name, data, 'test', split, joints, cache))


def load_entrants(
    models: Sequence[str], labels: Sequence[str], split: int | None = None
) -> list[tuple[weights.Header, Network]]:
    """Header and network of each model.

    Args:
        models: names or paths of weights.
        labels: that they must know.
        split: of JHMDB whose test clips they will be asked about, None for no clips of it.

    Raises:
        UserError: as `enter`.
    """
    entrants = [load_recognizer(model) for model in models]
    for header, _ in entrants:
        trained_on = header.training.get('split', split)
        if split is not None and trained_on != split:
            raise UserError(
                f'{header.name} was trained on split {trained_on}: '
                f'of split {split} it knows test clips'
            )
        project(
            np.zeros(len(header.labels), np.float32),
            header.labels,
            tuple(joined(labels, header.labels).values()),
        )
    return entrants


def contest(
    entrants: list[tuple[weights.Header, Network]],
    labels: Sequence[str],
    clips: Sequence[SkeletonClip],
) -> Contest:
    """Models and clips, labelled by some of `labels`, under labels that both know.

    Raises:
        UserError: the models cannot be compared.
    """
    names = common_classes(labels, [header for header, _ in entrants])
    clips = [replace(clip, label=names[clip.label]) for clip in clips]
    return Contest(entrants, tuple(dict.fromkeys(names.values())), clips)


def run(
    set_name: str,
    data: Path,
    models: Sequence[str],
    split: int = 1,
    joints: str | None = None,
    report: Path | None = None,
    cache: JointCache | None = None,
) -> dict[str, Any]:
    """Score trained recognisers on the official test part of a set, among its own classes.

    Args:
        models: names or paths of weights; several are the seeds of one training, whose mean is
            given.
        data, split, joints, cache: as in `load_set`.
        report: an existing folder for pictures of the figures.

    Returns:
        `figures` and what was scored; of estimated joints also `pose_trained_on_fraction`.

    Raises:
        UserError: as `enter`.
    """
    found = enter(set_name, data, models, split, joints, cache)
    about: dict[str, Any] = {}
    if joints == 'estimated':
        root = data / 'jhmdb'
        names = {clip.name for clip in found.clips} & {*jhmdb.clip_names(root, split, 'test')}
        about['pose_trained_on_fraction'] = pose_trained_on_fraction(root, sorted(names))
    return {
        'set': set_name,
        'split': split,
        'joints': joints or ('truth' if set_name in ('penn', 'jhmdb14') else 'best'),
        'classes': len(found.classes),
        **about,
        **judge(found, report),
    }


def judge(contest: Contest, report: Path | None = None) -> dict[str, Any]:
    """The mean figures of the models of a contest; pictures of them go to the folder `report`."""
    headers = [header for header, _ in contest.entrants]
    answers = [contest.answers(k, contest.clips) for k in range(len(headers))]
    results = [figures(contest.clips, answer, contest.classes) for answer in answers]
    found = summary(headers, results)
    if report:
        everything = [p for answer in answers for p in answer]
        draw(report, contest, everything, found['accuracy_at'])
    return found


def draw(
    folder: Path,
    contest: Contest,
    probabilities: Sequence[FloatArray],
    accuracy_at: dict[str, float],
) -> None:
    """Pictures of the answers of all models of a contest, one after another."""
    index = {label: k for k, label in enumerate(contest.classes)}
    clips = [*contest.clips] * len(contest.entrants)
    truth = np.array([index[clip.label] for clip in clips])
    last = np.stack([p[-1] for p in probabilities])
    every = np.stack([[p[observed(len(p), f)] for f in FRACTIONS] for p in probabilities])
    right = every.argmax(-1) == truth[:, None]
    plots.write_report(
        folder,
        contest.classes,
        confusion(truth, last.argmax(-1), len(index)),
        {
            'at the end of the clip': calibration_bins(every[:, -1].max(-1), right[:, -1]),
            'at 10, 20 … 100 % of it': calibration_bins(every.max(-1).ravel(), right.ravel()),
        },
        accuracy_at,
    )
