"""The paper's experiment (section 5, figures 6 to 8) on the 32-class task of JHMDB and Penn Action.

python benchmarks/paper.py --data DIR --out DIR [--seeds 3] [--epochs 30] [--figures docs/images]

Trains the paper's recogniser in the `VARIANTS` below, one run after the other on one thread, and
writes `results.json`, a table and the figures. A run that is done is not done again, one that was
interrupted goes on from its last epoch. docs/paper.md says what came out.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from action_recognition import resources
from action_recognition.datasets import jhmdb, union32
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.recognition.attention import RandomSharingAttention
from action_recognition.recognition.features import paper_features, sample_uniformly
from action_recognition.recognition.paper import PaperRecognizer
from action_recognition.skeleton import FloatArray
from action_recognition.training.action import fit
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Sampler
from action_recognition.training.augment import Augmentation

CONFIG = 'config/train/paper_union32.yaml'
FIGURES = Path(__file__).resolve().parent.parent / 'docs' / 'images'


@dataclass(frozen=True)
class Variant:
    """One line of the comparison.

    Attributes:
        name: of its folder and in `results.json`.
        title: in the table and the figures.
        official: the official split, or a random one of all clips, drawn anew for each seed.
        settings: of `PaperRecognizer`, beside those of the config.
        augmented: trained with the augmentation of the config, or on the clips as they are.
        colour: in the figures.
    """

    name: str
    title: str
    official: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    augmented: bool = True
    colour: str = '#7f7f7f'


PAPER = Variant('paper', 'attention, random sharing', colour='#1f77b4')
PLAIN = Variant('no_attention', 'no attention', settings={'attention': False}, colour='#d62728')
UNSHARED = Variant(
    'no_sharing', 'attention, no sharing', settings={'sharing': 0.0}, colour='#2ca02c'
)
RANDOM = Variant(
    'random_split', 'attention, random sharing; random split', official=False, colour='#9467bd'
)
#: Augmentation keeps a model from knowing its training clips by heart; without it, a model has
#: more to gain from test clips that look like training clips.
RAW = Variant('raw', 'attention, random sharing; no augmentation', augmented=False)
RAW_RANDOM = replace(
    RAW,
    name='raw_random_split',
    title='attention, random sharing; no augmentation, random split',
    official=False,
)
VARIANTS = (PAPER, PLAIN, UNSHARED, RANDOM, RAW, RAW_RANDOM)


class Split(NamedTuple):
    """Clips to learn from and clips to be tested on."""

    train: list[SkeletonClip]
    test: list[SkeletonClip]


# --- data -----------------------------------------------------------------------------------


def set_of(clip: SkeletonClip) -> str:
    """'jhmdb' or 'penn', from the clip's name."""
    return 'jhmdb' if '/' in clip.name else 'penn'


def random_split(official: Split, seed: int) -> Split:
    """All clips dealt anew, source videos not kept together.

    Each of the two sets keeps the sizes of its official parts, so that accuracies over all clips
    can be compared.
    """
    rng = np.random.default_rng(seed)
    clips = sorted([*official.train, *official.test], key=lambda clip: (set_of(clip), clip.name))
    new = Split([], [])
    for name in ('jhmdb', 'penn'):
        members = [clip for clip in clips if set_of(clip) == name]
        count = sum(set_of(clip) == name for clip in official.train)
        drawn = [members[k] for k in rng.permutation(len(members))]
        new.train.extend(drawn[:count])
        new.test.extend(drawn[count:])
    return new


def source_in_training(split: Split) -> np.ndarray:
    """(test clips,) bool: a training clip of the same label comes from the same source video.

    Always False for Penn Action, which does not publish its source videos.
    """
    known = {(clip.label, clip.group) for clip in split.train}
    return np.array([(clip.label, clip.group) in known for clip in split.test])


# --- training and figures of one run --------------------------------------------------------


def batches(clips: Sequence[SkeletonClip], size: int = 256) -> Iterator[Tensor]:
    """(n, 60, 34) features of the clips in order, whole and without augmentation."""
    for start in range(0, len(clips), size):
        part = clips[start : start + size]
        rows = [sample_uniformly(len(clip)) for clip in part]
        features = [paper_features(c.xy[r], c.score[r]) for c, r in zip(part, rows, strict=True)]
        yield torch.from_numpy(np.stack(features))


@torch.inference_mode()
def score(model: PaperRecognizer, clips: Sequence[SkeletonClip]) -> tuple[FloatArray, FloatArray]:
    """(clips,) whether the answer is right, as 0 or 1; and (clips,) cross entropy in nats."""
    target = torch.tensor([union32.LABELS.index(clip.label) for clip in clips])
    logits = torch.cat([model(x) for x in batches(clips)])
    loss = functional.cross_entropy(logits, target, reduction='none')
    return (logits.argmax(1) == target).float().numpy(), loss.numpy()


@torch.inference_mode()
def attention_weights(
    model: PaperRecognizer, clips: Sequence[SkeletonClip]
) -> tuple[FloatArray, float]:
    """What the attention of a model weighs in inference.

    Returns:
        (60, 128) weights of time steps and dimensions, the mean over the clips; and over how many
        of the 60 steps a dimension spreads them: exp(entropy), mean over clips and dimensions.

    Raises:
        ValueError: the model has no attention.
    """
    attention = model.attention
    if not isinstance(attention, RandomSharingAttention):
        raise ValueError('the model has no attention')
    total, spread = torch.zeros(()), 0.0
    for x in batches(clips):
        weights = attention.weights(model.recurrent(model.input_norm(x)))
        total = total + weights.sum(0)
        spread += float(torch.special.entr(weights).sum(1).exp().mean(1).sum())
    return (total / len(clips)).numpy(), spread / len(clips)


def by_set(values: FloatArray, clips: Sequence[SkeletonClip]) -> dict[str, float]:
    """Means over all clips and over those of each set."""
    names = np.array([set_of(clip) for clip in clips])
    means = {name: float(values[names == name].mean()) for name in ('jhmdb', 'penn')}
    return {'all': float(values.mean()), **means}


def run(
    variant: Variant,
    seed: int,
    config: ActionConfig,
    official: Split,
    others: dict[str, SkeletonClip],
    out: Path,
) -> dict[str, Any]:
    """Train one model, unless that was done, and return what is in its `result.json`.

    Args:
        others: clips by name with the teacher's joints.
        out: folder of the run.
    """
    path = out / 'result.json'
    if path.is_file():
        return json.loads(path.read_text())
    split = official if variant.official else random_split(official, seed)
    config = replace(config, settings={**config.settings, **variant.settings})
    if not variant.augmented:
        config = replace(config, augmentation=Augmentation(), teacher_share=0.0)
    sampler = Sampler(config, split.train, union32.LABELS, others)
    model = fit(config, seed, sampler, union32.LABELS, split.test, out, resume=True)
    assert isinstance(model, PaperRecognizer)
    result: dict[str, Any] = {'variant': variant.name, 'seed': seed, 'epochs': config.epochs}
    for part, clips in split._asdict().items():  # the test part last: `right` is used below
        right, loss = score(model, clips)
        result[f'{part}_accuracy'] = by_set(right, clips)
        result[f'{part}_loss'] = by_set(loss, clips)
    known = source_in_training(split)
    jhmdb_clips = np.array([set_of(clip) == 'jhmdb' for clip in split.test])
    for name, rows in (('known', known), ('new', jhmdb_clips & ~known)):
        found = float(right[rows].mean()) if rows.any() else None
        result[f'jhmdb_source_{name}'] = {'clips': int(rows.sum()), 'accuracy': found}
    if isinstance(model.attention, RandomSharingAttention):
        weights, result['attention_steps'] = attention_weights(model, split.test)
        np.save(out / 'attention.npy', weights)
    with (out / 'curves.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    result['curves'] = {
        to: [value if np.isfinite(value := float(row[of])) else None for row in rows]
        for of, to in (
            ('accuracy', 'train_accuracy'),
            ('loss', 'train_loss'),
            ('val_accuracy', 'test_accuracy'),
            ('val_loss', 'test_loss'),
        )
    }
    path.write_text(json.dumps(result, indent=1))
    return result


# --- table and figures ----------------------------------------------------------------------


def epochs_until(curve: Sequence[float], level: float) -> float:
    """The first epoch (from 1) in which a curve reaches a level; infinite if it never does."""
    return next((k for k, value in enumerate(curve, 1) if value >= level), np.inf)


def spread(values: Sequence[float]) -> str:
    """'mean ± sample standard deviation', or the value where there is only one."""
    deviation = f' ± {np.std(values, ddof=1):.3f}' if len(values) > 1 else ''
    return f'{np.mean(values):.3f}{deviation}'


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: one line per variant, mean ± standard deviation over its seeds; notes below."""
    parts = [('train', 'all'), ('test', 'all'), ('test', 'jhmdb'), ('test', 'penn')]
    lines = [
        '| model, split | seeds | train | test | test, JHMDB | test, Penn | test loss |'
        ' running train accuracy .5 / .8 in epoch |',
        '|---|---|---|---|---|---|---|---|',
    ]
    notes = []
    for variant in VARIANTS:
        runs = results[variant.name]
        cells = [spread([run[f'{a}_accuracy'][b] for run in runs]) for a, b in parts]
        cells.append(spread([run['test_loss']['all'] for run in runs]))
        reached = [
            np.mean([epochs_until(run['curves']['train_accuracy'], level) for run in runs])
            for level in (0.5, 0.8)
        ]
        cells.append(' / '.join(f'{epoch:.1f}' for epoch in reached))
        lines.append(f'| {variant.title} | {len(runs)} | {" | ".join(cells)} |')
        if not variant.official:
            for name in ('known', 'new'):
                found = [run[f'jhmdb_source_{name}'] for run in runs]
                clips = np.mean([part['clips'] for part in found])
                accuracy = spread([part['accuracy'] for part in found])
                notes.append(
                    f'{variant.title}: {accuracy} on {clips:.0f} JHMDB test clips whose source '
                    f'video is {name}'
                )
    return '\n'.join([*lines, '', *notes])


def _curves(axes: Any, runs: list[dict[str, Any]], key: str, **style: Any) -> None:
    """Mean over the seeds, and a band from the lowest to the highest."""
    curves = np.array([run['curves'][key] for run in runs], float)  # None becomes NaN
    epochs = np.arange(1, curves.shape[1] + 1)
    axes.plot(epochs, curves.mean(0), linewidth=1.5, **style)
    axes.fill_between(
        epochs, curves.min(0), curves.max(0), color=style['color'], alpha=0.2, linewidth=0
    )


def draw(results: dict[str, list[dict[str, Any]]], weights: FloatArray, folder: Path) -> None:
    """Write `paper_figure6.png`, `paper_figure7.png` and `paper_figure8.png`.

    Args:
        weights: (60, 128) of `attention_weights`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    style: Any = {'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False}
    with matplotlib.rc_context(style):
        figure = Figure((9, 3.6), layout='constrained')
        for axes, key in zip(figure.subplots(1, 2), ('accuracy', 'loss'), strict=True):
            runs = results[PAPER.name]
            _curves(axes, runs, f'train_{key}', color='#1f77b4', label='train, as it goes')
            _curves(axes, runs, f'test_{key}', color='#ff7f0e', label='test, official split')
            _curves(
                axes,
                results[RANDOM.name],
                f'test_{key}',
                color=RANDOM.colour,
                linestyle='--',
                label='test, random split',
            )
            final = [run[f'train_{key}']['all'] for run in runs]
            axes.plot(
                len(runs[0]['curves'][f'train_{key}']),
                np.mean(final),
                'o',
                color='#1f77b4',
                label='train, in inference at the end',
            )
            axes.set(xlabel='epoch', ylabel=key)
            axes.grid(alpha=0.3)
        figure.axes[0].set_ylim(0, 1)
        figure.axes[0].legend(loc='lower right')
        figure.axes[1].set_ylim(0)
        figure.savefig(folder / 'paper_figure6.png', dpi=120)

        figure = Figure((9, 3.6), layout='constrained')
        for axes, part in zip(figure.subplots(1, 2, sharey=True), ('train', 'test'), strict=True):
            for variant in (PAPER, PLAIN, UNSHARED):
                _curves(
                    axes,
                    results[variant.name],
                    f'{part}_accuracy',
                    color=variant.colour,
                    label=variant.title,
                )
            axes.set(xlabel='epoch', ylabel=f'{part} accuracy', ylim=(0, 1))
            axes.tick_params(labelleft=True)
            axes.grid(alpha=0.3)
        figure.axes[0].legend(loc='lower right')
        figure.savefig(folder / 'paper_figure7.png', dpi=120)

        _draw_weights(Figure((9, 5), layout='constrained'), weights, folder)


def _draw_weights(figure: Any, weights: FloatArray, folder: Path) -> None:
    relative = weights * len(weights)
    order = np.argsort(relative.argmax(0), kind='stable')
    grid = figure.subplot_mosaic('aa;bc', height_ratios=(1, 1))
    peak = relative.max(0)
    grid['a'].bar(np.arange(len(peak)), peak, width=0.8, color=PAPER.colour)
    grid['a'].axhline(1, color='black', linewidth=0.8, linestyle=':')
    grid['a'].set(xlabel='dimension', ylabel='largest weight,\ntimes 60', xlim=(-1, len(peak)))
    low, middle, high = np.percentile(relative, (10, 50, 90), axis=1)
    steps = np.arange(1, len(relative) + 1)
    grid['b'].fill_between(
        steps, low, high, color=PAPER.colour, alpha=0.25, linewidth=0, label='10 to 90 %'
    )
    grid['b'].plot(steps, middle, color=PAPER.colour, label='median dimension')
    grid['b'].plot(steps, relative.mean(1), color='black', linewidth=1, label='mean (shared)')
    grid['b'].axhline(1, color='black', linewidth=0.8, linestyle=':')
    grid['b'].set(xlabel='time step', ylabel='weight, times 60')
    grid['b'].legend()
    image = grid['c'].imshow(
        relative[:, order].T,
        aspect='auto',
        cmap='viridis',
        origin='lower',
        extent=(0.5, len(steps) + 0.5, -0.5, len(order) - 0.5),
    )
    grid['c'].set(xlabel='time step', ylabel='dimension, by its peak')
    figure.colorbar(image, ax=grid['c'], label='weight, times 60')
    figure.savefig(folder / 'paper_figure8.png', dpi=120)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True, help='holds Penn_Action and jhmdb')
    parser.add_argument('--out', type=Path, required=True, help='runs and results.json')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--epochs', type=int, default=30)
    parser.add_argument('--figures', type=Path, default=FIGURES, help='folder of the PNG files')
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(
        ActionConfig.load(resources.find(CONFIG)), epochs=args.epochs, validate_every=1
    )
    official = Split(*(union32.load_union32(args.data, part) for part in Split._fields))
    others = {
        clip.name: clip
        for part in Split._fields
        for clip in jhmdb.load_jhmdb(args.data / 'jhmdb', union32.JHMDB_SPLIT, part, 'teacher')
    }
    folder = args.out / f'{args.epochs}epochs'
    results: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in VARIANTS}
    for seed in range(args.seeds):
        for variant in VARIANTS:
            path = folder / f'{variant.name}{seed}'
            results[variant.name].append(run(variant, seed, config, official, others, path))
    (args.out / 'results.json').write_text(json.dumps(results, indent=1))
    print(table(results))
    draw(results, np.load(folder / f'{PAPER.name}0' / 'attention.npy'), args.figures)


if __name__ == '__main__':
    main()
