"""What each part of our streaming recogniser and of its training is worth: one change at a time.

python benchmarks/ablations.py --data DIR --out DIR [--seeds 3] [--epochs 40] [--only NAME,...]

Trains the recipe of `config/train/online_union32.yaml` on the 14 classes of JHMDB with annotated
joints (split 1), and the same with each of the `VARIANTS`. Test clips are not touched: each seed
learns from three quarters of the training clips and is scored on the rest, a different quarter for
each seed and the same one for all variants. Prints two tables and writes `ablations.json`. A run
that is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from action_recognition import resources
from action_recognition.datasets.clips import SkeletonClip, train_validation
from action_recognition.datasets.streams import segments, string_together
from action_recognition.evaluation.action import clip_logits, figures
from action_recognition.evaluation.common import observed
from action_recognition.evaluation.online import stream_logits
from action_recognition.evaluation.robustness import SETTLED
from action_recognition.evaluation.sets import SETS, load_set
from action_recognition.recognition.attention import AttentionState
from action_recognition.recognition.base import softmax
from action_recognition.recognition.batch_renorm import BatchRenorm, set_progress
from action_recognition.recognition.features import BLOCKS
from action_recognition.recognition.online import OnlineRecognizer, OnlineState
from action_recognition.training import loop
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Batch, Sampler
from action_recognition.training.action_loss import loss_of
from action_recognition.training.augment import Augmentation

CONFIG = 'config/train/online_union32.yaml'
#: What the recipe is told here in place of the config's own.
HERE: dict[str, Any] = {
    'set': 'jhmdb14',
    'labels': 'set',
    'batch': 32,
    'teacher_share': 0.0,
    'background': 0.0,
    'precision': 'float32',  # in batches this small bfloat16 gains no time
}
#: Share of the training clips that a seed is scored on.
VALIDATION = 0.25
#: Streams that a model is stepped through, and the seconds of each.
STREAMS, SECONDS = 16, 60
#: Of a clip seen, at which the answer is scored.
PERCENTS = (10, 20, 40, 60)


# --- models with a part less ----------------------------------------------------------------


class SomeFeatures(OnlineRecognizer):
    """A recogniser that is given all features and sees some blocks of them only."""

    def __init__(self, num_classes: int, without: Sequence[str], **settings: Any) -> None:
        """Args: without, names of `BLOCKS`; 'elapsed', the first of them, always stays."""
        bounds = pairwise(accumulate(BLOCKS.values(), initial=0))
        columns = [
            column
            for name, (start, stop) in zip(BLOCKS, bounds, strict=True)
            if name not in without
            for column in range(start, stop)
        ]
        super().__init__(num_classes, inputs=len(columns), **settings)
        self.columns: Tensor
        self.register_buffer('columns', torch.tensor(columns))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x[..., self.columns], mask)

    def step(self, features: Tensor, state: OnlineState) -> tuple[Tensor, OnlineState]:
        return super().step(features[:, self.columns], state)


class NoAttention(nn.Module):
    """Adds nothing to the newest features; in the place of `StreamingAttention`."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing: Tensor
        self.register_buffer('nothing', torch.zeros(0))  # is where the model is

    def initial(self, people: int) -> AttentionState:
        return AttentionState(*self.nothing.new_zeros(3, people, 0))

    def forward(self, h: Tensor, elapsed: Tensor) -> Tensor:
        return h[..., :0]

    def step(
        self, h: Tensor, elapsed: Tensor, state: AttentionState
    ) -> tuple[Tensor, AttentionState]:
        return h[..., :0], state


class NoNorm(nn.Module):
    """Leaves features as they are; in the place of `BatchRenorm`."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x


def remove_attention(model: OnlineRecognizer) -> None:
    """The head sees the newest features only."""
    model.add_module('attention', NoAttention())
    model.dense = nn.Linear(model.units, model.dense.out_features)


def remove_norms(model: OnlineRecognizer) -> None:
    """Nothing is normalised, the input neither."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchRenorm):
                parent.add_module(name, NoNorm())


def unlock_dropout(model: OnlineRecognizer) -> None:
    """Dropout draws anew in every frame."""
    model.add_module('dropout', nn.Dropout(model.dropout.share))


# --- variants -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """One line of the comparison: what differs from the recipe.

    Attributes:
        name: of its files and in `ablations.json`.
        title: in the tables.
        config: entries of the training config.
        settings: of `OnlineRecognizer`, beside those of the config.
        without: blocks of features that it does not see.
        change: what is done to the fresh model.
        renorm: Batch Renormalisation moves along its schedule; if not, it stays where that
            begins, which is batch normalisation.
        draw: all random numbers but the division of the clips change with it.
    """

    name: str
    title: str
    config: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    change: Callable[[OnlineRecognizer], None] | None = None
    renorm: bool = True
    draw: int = 0

    def training(self, config: ActionConfig) -> ActionConfig:
        """The config of this variant, from that of the recipe."""
        return replace(config, **self.config, settings={**config.settings, **self.settings})

    def model(self, config: ActionConfig, classes: int) -> OnlineRecognizer:
        """A fresh model; `config` is from `training`."""
        model = SomeFeatures(classes, self.without, **config.settings)
        if self.change:
            self.change(model)
        return model


RECIPE = Variant('recipe', 'recipe')
VARIANTS = (
    RECIPE,
    Variant('again', 'recipe, other random numbers', draw=1),
    Variant('no_distances', 'features: no distances', without=('distance',)),
    Variant('no_velocities', 'features: no velocities', without=('velocity',)),
    Variant('no_directions', 'features: no directions', without=('direction',)),
    Variant(
        'positions_only',
        'features: positions only',
        without=('root', 'velocity', 'direction', 'distance'),
    ),
    Variant('no_attention', 'attention: none', change=remove_attention),
    Variant('not_shared', 'attention: never shared', settings={'sharing': 0.0}),
    Variant('always_shared', 'attention: always shared', settings={'sharing': 1.0}),
    Variant('batch_norm', 'normalisation: batch normalisation', renorm=False),
    Variant('no_norm', 'normalisation: none', change=remove_norms),
    Variant('layers_2', 'LSTM: 2 layers', settings={'layers': 2}),
    Variant('layers_3', 'LSTM: 3 layers', settings={'layers': 3}),
    Variant('units_64', 'LSTM: 64 units', settings={'units': 64}),
    Variant('end_only', 'loss: at the end of actions only', config={'final_share': 1.0}),
    Variant('no_strings', 'training: no strings of clips', config={'strings': 0.0}),
    Variant('no_mixup', 'training: no mixup', config={'mixup': 0.0}),
    Variant(
        'only_flip', 'augmentation: flip only', config={'augmentation': Augmentation(flip=0.5)}
    ),
    Variant('unlocked', 'dropout: drawn in every frame', change=unlock_dropout),
)


# --- training and figures of one run --------------------------------------------------------


def train(
    variant: Variant,
    seed: int,
    config: ActionConfig,
    clips: Sequence[SkeletonClip],
    classes: Sequence[str],
) -> OnlineRecognizer:
    """As `training.action.fit` trains, for a model that has no name; the averaged model."""
    config = variant.training(config)
    fabric = loop.launch(config.precision)
    loop.seed_everything(seed, variant.draw)
    model = variant.model(config, len(classes)).to(fabric.device)
    ema = loop.Ema(model, config.ema)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    wrapped, stepper = fabric.setup(model, optimiser)
    sampler = Sampler(config, clips, classes, {})
    total = config.epochs * len(sampler)
    model.train()
    for epoch in range(config.epochs):
        rng = loop.seed_everything(seed, variant.draw, epoch)
        for step, batch in enumerate(sampler.batches(rng)):
            progress = (epoch * len(sampler) + step) / total
            if variant.renorm:
                set_progress(model, progress)
            for group in optimiser.param_groups:
                group['lr'] = config.learning_rate * loop.cosine(progress, config.warm_up)
            batch = Batch(*(tensor.to(fabric.device) for tensor in batch))
            loss, _ = loss_of(wrapped, batch, config)
            stepper.zero_grad()
            fabric.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_gradient)
            stepper.step()
            ema.update(model)
    return ema.model


def stream_accuracy(
    model: OnlineRecognizer, clips: Sequence[SkeletonClip], classes: Sequence[str]
) -> float:
    """Share of right answers in streams of clips one after another.

    As `evaluation.robustness.long_stream`, in shorter streams: the frames of each action from
    `SETTLED` of it on count.
    """
    streams = [
        string_together(clips, np.random.default_rng(k), classes, SECONDS) for k in range(STREAMS)
    ]
    right = []
    for stream, logits in zip(streams, stream_logits(model, streams), strict=True):
        for start, stop, label in segments(stream.targets):
            settled = logits[start + observed(stop - start, SETTLED) : stop]
            right.append(settled.argmax(1) == label)
    return float(np.concatenate(right).mean())


def run(
    variant: Variant,
    seed: int,
    config: ActionConfig,
    clips: Sequence[SkeletonClip],
    classes: Sequence[str],
    path: Path,
) -> dict[str, Any]:
    """Train and score one model, unless that was done, and return what is in the file `path`."""
    if path.is_file():
        return json.loads(path.read_text())
    began = time.perf_counter(), time.process_time()
    fitting, validation = train_validation(clips, VALIDATION, seed)
    model = train(variant, seed, config, fitting, classes)
    seconds, cpu_seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    answers = [softmax(logits, 1.0) for logits in clip_logits(model, validation)]
    found = figures(validation, answers, classes)
    result = {
        'variant': variant.name,
        'seed': seed,
        'epochs': config.epochs,
        'clips': {'fitting': len(fitting), 'validation': len(validation)},
        'parameters': sum(parameter.numel() for parameter in model.parameters()),
        'training_seconds': seconds,
        'training_cpu_seconds': cpu_seconds,
        'figures': {
            'end': found['accuracy'],
            **{f'at_{percent}': found['accuracy_at'][str(percent / 100)] for percent in PERCENTS},
            'mean': float(np.mean(list(found['accuracy_at'].values()))),
            'streams': stream_accuracy(model, validation, classes),
            'ece': found['ece_streaming'],
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')  # a run that is cut short must not look done
    partial.write_text(json.dumps(result, indent=1))
    partial.replace(path)
    return result


# --- tables ---------------------------------------------------------------------------------

#: Figure of a run and its column.
COLUMNS = {
    'end': 'end',
    **{f'at_{percent}': f'{percent} %' for percent in PERCENTS},
    'mean': '10 to 100 %',
    'streams': 'streams',
    'ece': 'ECE',
}


def spread(values: Sequence[float], digits: str) -> str:
    """'mean ± sample standard deviation' in a format, or the value where there is only one."""
    deviation = f' ± {format(np.std(values, ddof=1), digits[-3:])}' if len(values) > 1 else ''
    return f'{format(np.mean(values), digits)}{deviation}'


def tables(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: the figures, and below them by how many percent points they differ.

    Args:
        results: variant -> its runs, those of the recipe among them. A difference is taken
            within each seed that both have, since seeds differ in their clips.
    """
    reference = {run['seed']: run['figures'] for run in results[RECIPE.name]}
    heads = ' | '.join(COLUMNS.values())
    figures = [f'| variant | seeds | parameters | {heads} |', '|---' * (len(COLUMNS) + 3) + '|']
    differences = [f'| minus the recipe, points | {heads} |', '|---' * (len(COLUMNS) + 1) + '|']
    for variant in VARIANTS:
        runs = results.get(variant.name)
        if not runs:
            continue
        cells = [spread([run['figures'][key] for run in runs], '.3f') for key in COLUMNS]
        head = f'{variant.title} | {len(runs)} | {runs[0]["parameters"]}'
        figures.append(f'| {head} | {" | ".join(cells)} |')
        pairs = [(run['figures'], reference.get(run['seed'])) for run in runs]
        if variant is not RECIPE and any(base for _, base in pairs):
            changes = [
                spread([100 * (mine[key] - base[key]) for mine, base in pairs if base], '+.1f')
                for key in COLUMNS
            ]
            differences.append(f'| {variant.title} | {" | ".join(changes)} |')
    return '\n'.join([*figures, '', *differences])


def chosen(names: str) -> tuple[Variant, ...]:
    """The variants of a comma-separated list, and the recipe.

    Raises:
        ArgumentTypeError: there is no variant of some name.
    """
    wanted = {RECIPE.name, *names.split(',')}
    unknown = wanted - {variant.name for variant in VARIANTS}
    if unknown:
        known = ', '.join(variant.name for variant in VARIANTS)
        raise argparse.ArgumentTypeError(f'{", ".join(sorted(unknown))}; known: {known}')
    return tuple(variant for variant in VARIANTS if variant.name in wanted)


def main() -> None:
    """The command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True, help='holds jhmdb')
    parser.add_argument('--out', type=Path, required=True, help='runs and ablations.json')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--epochs', type=int, default=40)
    parser.add_argument(
        '--only', type=chosen, default=VARIANTS, help='names of variants; all by default'
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(ActionConfig.load(resources.find(CONFIG)), **HERE, epochs=args.epochs)
    clips = load_set(config.set, args.data, 'train', config.split)
    results: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in args.only}
    for seed in range(args.seeds):
        for variant in args.only:
            path = args.out / f'{args.epochs}epochs' / f'{variant.name}{seed}.json'
            result = run(variant, seed, config, clips, SETS[config.set], path)
            print(variant.name, seed, json.dumps(result['figures']), flush=True)
            results[variant.name].append(result)
    (args.out / 'ablations.json').write_text(json.dumps(results, indent=1))
    print(tables(results))


if __name__ == '__main__':
    main()
