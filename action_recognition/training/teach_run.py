"""`action-recognition teach` from recordings to weights and a report."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.common import confusion
from action_recognition.evaluation.estimated import JointCache
from action_recognition.training.teach import Taught, publish, teach
from action_recognition.training.teach_config import TeachConfig
from action_recognition.training.teach_data import Material, read_material
from action_recognition.training.teach_problem import Base
from action_recognition.visualization import plots

#: Fewer sources of a class teach and tell little; more than this share of its clips wrong is worth
#: a word, and so is a confusion of so many.
FEW_SOURCES, WEAK, OFTEN = 5, 0.7, 0.2


def run(
    data: Path,
    out: Path,
    config: TeachConfig,
    cache: JointCache,
    truth: Path | None = None,
    groups: Path | None = None,
    poses: bool = False,
) -> dict[str, Any]:
    """Learn from recordings; `<name>.safetensors`, `report.md`, its picture and `figures.json`.

    Args:
        data, truth, groups, poses: as of `read_material`.
        out: a folder, which must not hold anything yet.

    Returns:
        The figures.

    Raises:
        UserError: as `read_material` and `teach`; `out` exists.
    """
    if (out.is_dir() and any(out.iterdir())) or out.is_file():
        raise UserError(f'{out} exists: give another folder with --out')
    base = Base.load(config.base)  # before minutes of work
    material = read_material(data, cache, truth, groups, poses)
    if not material.clips:
        reasons = '; '.join(f'{name}: {why}' for name, why in list(material.skipped.items())[:3])
        raise UserError(f'{data} holds nothing to learn from ({reasons})')
    taught = teach(material.clips, base, config)
    found = figures_of(taught, material)
    try:
        out.mkdir(parents=True, exist_ok=True)
        publish(taught, material.clips, base, config, out / f'{config.name}.safetensors')
        (out / 'figures.json').write_text(json.dumps(found, indent=1) + '\n')
        if taught.asked:
            counts, names = _confusion(taught)
            plots.confusion_matrix(names, counts).savefig(out / 'confusion.png', dpi=plots.DPI)
        (out / 'report.md').write_text(report(taught, material, config, found))
    except OSError as error:
        raise UserError(f'cannot write {out}: {error.strerror}') from error
    return found


def figures_of(taught: Taught, material: Material) -> dict[str, Any]:
    """What was learnt from what, and how well by cross-validation (None where there is none)."""
    scored = taught.figures
    return {
        'clips': len(material.clips),
        'sources': len({clip.group for clip in material.clips}),
        'skipped': material.skipped,
        'method': taught.method,
        'cross_validated': len(taught.asked),
        'accuracy_of_methods': taught.accuracy,
        'accuracy': scored.get('accuracy'),
        'accuracy_at': scored.get('accuracy_at'),
        'per_class': scored.get('per_class'),
        'ece': scored.get('ece'),
        'temperature': taught.model.temperature,
        'not_cross_validated': list(taught.alone),
        'same_as_in_base': taught.same,
    }


def _confusion(taught: Taught) -> tuple[np.ndarray, list[str]]:
    """Counts of answers, and the names of classes that were asked about or answered."""
    truth = np.array([taught.labels.index(clip.label) for clip in taught.asked])
    said = np.array([int(answer[-1].argmax()) for answer in taught.answers])
    used = sorted({*truth.tolist(), *said.tolist()})
    place = {label: k for k, label in enumerate(used)}
    rows, columns = ([place[k] for k in part.tolist()] for part in (truth, said))
    return confusion(rows, columns, len(used)), [taught.labels[k] for k in used]


def advice(taught: Taught, clips: Sequence[SkeletonClip]) -> list[str]:
    """What to record more of, most urgent first."""
    sources: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        sources[clip.label].add(clip.group)
    scored = taught.figures.get('per_class', {})
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for clip, answer in zip(taught.asked, taught.answers, strict=True):
        said[clip.label][taught.labels[int(answer[-1].argmax())]] += 1
    found = []
    for label in taught.alone:
        count = len(sources[label])
        why = (
            'has one source only'
            if count == 1
            else f'has {count} sources, which show other classes as well and fell into one fold,'
        )
        found.append(
            f'`{label}` {why} and was not cross-validated: how well it is recognised is not '
            'known. Record it again on another occasion, by somebody else.'
        )
    for label in sorted(scored, key=lambda name: scored[name]):
        wrong = [(n, name) for name, n in said[label].items() if name != label]
        if scored[label] < WEAK and wrong:
            count, name = max(wrong)
            total = said[label].total()
            found.append(
                f'`{label}` was right in {scored[label]:.0%} of its clips, and {name!r} in '
                f'{count} of {total}: record more of it, from other sides and by other people'
                + (
                    f', and more of `{name}`.'
                    if name in sources and count >= OFTEN * total
                    else '.'
                )
            )
    for label in sorted(sources):
        if label not in taught.alone and len(sources[label]) < FEW_SOURCES:
            found.append(
                f'`{label}` has {len(sources[label])} sources: {FEW_SOURCES} or more are better.'
            )
    if BACKGROUND_LABEL not in sources:
        found.append(
            'There is no folder `background`: some clips of people who do nothing of interest '
            'before your camera make false alarms rarer.'
        )
    for label, old in taught.same.items():
        found.append(f'The base takes most clips of `{label}` for its class `{old}`.')
    return found


def report(taught: Taught, material: Material, config: TeachConfig, found: dict[str, Any]) -> str:
    """A page in Markdown."""
    counts = Counter(clip.label for clip in material.clips)
    sources = {
        label: len({clip.group for clip in material.clips if clip.label == label})
        for label in counts
    }
    per_class = found['per_class'] or {}
    lines = [
        f'# {config.name}',
        '',
        f'{len(material.clips)} clips of {found["sources"]} sources; base `{config.base}`, method '
        f'`{taught.method}`, seed {config.seed}.',
        '',
    ]
    if taught.asked:
        lines += [
            f'Cross-validated by source, {len(taught.asked)} clips: **{found["accuracy"]:.1%} '
            f'right** at the end of a clip, calibration error {found["ece"]:.3f}. Each clip was '
            'asked about by a model that had seen nothing of its source; method and temperature '
            'were chosen on the same answers, which flatters the figure a little.',
            '',
            '| method | right |',
            '|---|---|',
            *(f'| {way} | {value:.1%} |' for way, value in taught.accuracy.items()),
            '',
            '![Confusion matrix](confusion.png)',
            '',
        ]
    else:
        lines += ['No action has two sources in different folds: nothing was cross-validated.', '']
    lines += ['| class | clips | sources | right |', '|---|---|---|---|']
    for label in sorted(counts):
        right = f'{per_class[label]:.0%}' if label in per_class else '-'
        lines.append(f'| {label} | {counts[label]} | {sources[label]} | {right} |')
    lines += ['', '## What to record more of', '']
    lines += [f'- {line}' for line in advice(taught, material.clips)] or ['Nothing in particular.']
    if material.skipped:
        lines += ['', '## Skipped', '']
        lines += [f'- `{name}`: {why}' for name, why in sorted(material.skipped.items())]
    return '\n'.join(lines) + '\n'
