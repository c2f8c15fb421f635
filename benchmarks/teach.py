"""What a few recordings teach: six actions that the base has never seen.

    python benchmarks/teach.py --data DIR --out runs/teach
    python benchmarks/teach.py --data DIR --statistics online_union32

The base is trained as `online_union32`, without the clips of these six actions of JHMDB, for fewer
epochs and with one seed. Then 1, 2, 5 and 10 clips of each, drawn from the training part of split 1
one a source where that is possible, teach what the test part asks. Beside it are the same network
from scratch and the SVM of `benchmark peers`, on the same clips.

With --statistics it writes what `teach --keep` needs of published weights instead: the means of
their features over their training clips, as `<name>.rehearsal`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_recognition import resources, weights
from action_recognition.benchmarking.svm import SvmPeer
from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets import jhmdb
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.union32 import load_union32
from action_recognition.evaluation.action import clip_logits
from action_recognition.evaluation.sets import relabel
from action_recognition.recognition.base import softmax
from action_recognition.recognition.labels import LabelConfig
from action_recognition.training import teach_head as heads
from action_recognition.training import teach_rehearsal as rehearsals
from action_recognition.training import teach_whole
from action_recognition.training.action import compact, fit
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Sampler
from action_recognition.training.background import Background
from action_recognition.training.tasks import ClipTask
from action_recognition.training.teach import teach
from action_recognition.training.teach_config import AUGMENTATION, TeachConfig
from action_recognition.training.teach_problem import Base

#: Everyday gestures that somebody would show a robot. Their joints are annotated, and no class of
#: Penn Action shows the same movement.
NEW = ('clap', 'pick', 'pour', 'push', 'sit', 'wave')
CONFIG = 'config/train/online_union32.yaml'
EPOCHS = 40
METHODS = ('head', 'whole')
COUNTS, DRAWS = (1, 2, 5, 10), 5
#: Trainings from scratch of each draw, which differ by chance alone.
SCRATCH = 3


def train_base(data: Path, out: Path) -> Path:
    """The base and its statistics; goes on where it was stopped."""
    path = out / 'base.safetensors'
    if path.is_file() and path.with_suffix(rehearsals.SUFFIX).is_file():
        return path
    config = replace(ActionConfig.load(resources.find(CONFIG)), name='base', epochs=EPOCHS)
    torch.set_num_threads(config.threads)
    task = ClipTask(config, data)
    clips = [clip for clip in task.clips if clip.label not in NEW]
    labels = tuple(label for label in task.labels if label not in NEW)
    source = Background(clips, task.recordings)
    sampler = Sampler(config, clips, labels, task.others, source)
    start = time.perf_counter()
    model = fit(config, config.seeds[0], sampler, labels, (), out / 'base', resume=True)
    print(f'base: {len(clips)} clips, {len(labels)} classes, {time.perf_counter() - start:.0f} s')
    header = weights.Header(
        'action',
        'base',
        {'model': config.model, **config.settings},
        labels,
        {'without': NEW, 'epochs': EPOCHS, 'split': config.split},
        licence=task.licence,
    )
    weights.save(path, compact(model), header)
    write_statistics(path, clips)
    return path


def write_statistics(path: Path, clips: Sequence[SkeletonClip]) -> Path:
    """Of the features of weights over the clips that taught them."""
    base = Base.load(str(path))
    labels = tuple(label for label in base.header.labels if label != BACKGROUND_LABEL)
    rng = np.random.default_rng(0)
    samples = heads.samples_of(base.model, clips, labels, AUGMENTATION, 2, rng)
    target = path.with_suffix(rehearsals.SUFFIX)
    rehearsals.save(target, rehearsals.measure(samples, labels, weights.digest(path)))
    return target


def draw(clips: Sequence[SkeletonClip], count: int, seed: int) -> list[SkeletonClip]:
    """So many clips of each class, of as many sources as there are."""
    rng = np.random.default_rng(seed)
    chosen: list[SkeletonClip] = []
    for label in NEW:
        order = [clip for clip in clips if clip.label == label]
        order = [order[k] for k in rng.permutation(len(order))]
        taken: defaultdict[str, int] = defaultdict(int)
        rank = {}
        for clip in order:  # the first of every source, then the second ones
            rank[clip.name] = taken[clip.group]
            taken[clip.group] += 1
        chosen += sorted(order, key=lambda clip: rank[clip.name])[:count]
    return chosen


def from_scratch(clips: Sequence[SkeletonClip], seed: int, out: Path) -> Any:
    """The network of the base without its weights, as one of the teachers of `whole`."""
    repeated = [*clips] * math.ceil(teach_whole.BATCH / len(clips))
    steps = math.ceil(len(repeated) / teach_whole.BATCH)
    config = replace(
        ActionConfig.load(resources.find(CONFIG)),
        batch=teach_whole.BATCH,
        epochs=math.ceil(teach_whole.STEPS / steps),
        strings=0.0,
        background=0.0,
        teacher_share=0.0,
        ema=teach_whole.DECAY,
        precision='float32',
    )
    return fit(config, seed, Sampler(config, repeated, NEW, {}), NEW, (), out, resume=False)


def right(
    model: Any, labels: Sequence[str], clips: Sequence[SkeletonClip], among: Sequence[str] = ()
) -> float:
    """The share of clips of which the last answer is right, among all labels or some of them."""
    columns = [k for k, label in enumerate(labels) if not among or label in among]
    answers = clip_logits(model, clips)
    said = [labels[columns[int(a[-1][columns].argmax())]] for a in answers]
    return float(np.mean([name == clip.label for name, clip in zip(said, clips, strict=True)]))


def right_together(
    models: Sequence[Any], labels: Sequence[str], clips: Sequence[SkeletonClip]
) -> float:
    """The share of clips of which the last answers of several models are right on average."""
    answers = [[softmax(a[-1], 1.0) for a in clip_logits(model, clips)] for model in models]
    said = np.mean(answers, 0).argmax(1)
    return float(np.mean([labels[k] == c.label for k, c in zip(said, clips, strict=True)]))


def unknown(model: Any, labels: Sequence[str], clips: Sequence[SkeletonClip]) -> float:
    """The share of clips of which the last answer would be published as unknown."""
    below, found = LabelConfig().unknown_below, []
    for logits in clip_logits(model, clips):
        p = softmax(logits[-1], model.temperature)
        found.append(labels[int(p.argmax())] == BACKGROUND_LABEL or p.max() < below)
    return float(np.mean(found))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Mean figures by clips a class."""
    path = Path(args.base) if args.base else train_base(args.data, args.out)
    base = Base.load(str(path))
    root = args.data / 'jhmdb'
    pool, test = (
        [clip for clip in jhmdb.load_jhmdb(root, 1, part, 'truth') if clip.label in NEW]
        for part in ('train', 'test')
    )
    fine = [label for label in base.header.labels if label != BACKGROUND_LABEL]
    old = [clip for clip in load_union32(args.data, 'test') if clip.label not in NEW]
    coarse = [*fine, 'tennis_stroke']
    old = [clip for clip in relabel(old, coarse) if clip.label in fine][:: args.every]
    result: dict[str, Any] = {
        'classes': NEW,
        'test_clips': len(test),
        'old_clips': len(old),
        'old_accuracy_of_base': right(base.model, base.header.labels, old),
    }
    for count in args.counts:
        rows: defaultdict[str, list[float]] = defaultdict(list)
        for seed in range(args.draws):
            clips = draw(pool, count, seed)
            for method in args.methods:
                start = time.perf_counter()
                config = TeachConfig(seed=seed, method=method, validate=method == 'head')
                taught = teach(clips, base, config)
                rows[f'{method}_s'].append(time.perf_counter() - start)
                rows[method].append(right(taught.model, taught.labels, test))
                closed = right(taught.model, taught.labels, test, NEW)
                rows[f'{method}_closed'].append(closed)
                rows[f'{method}_unknown_new'].append(unknown(taught.model, taught.labels, test))
                rows[f'{method}_unknown_old'].append(unknown(taught.model, taught.labels, old))
                if taught.asked:
                    rows[f'{method}_cross_validated'].append(taught.figures['accuracy'])
            kept = teach(clips, base, TeachConfig(seed=seed, method='head', keep=True))
            rows['keep_new'].append(right(kept.model, kept.labels, test))
            rows['keep_old'].append(right(kept.model, kept.labels, old))
            start = time.perf_counter()
            networks = [
                from_scratch(clips, SCRATCH * seed + k, args.out / 'scratch')
                for k in range(SCRATCH)
            ]
            rows['scratch_s'].append((time.perf_counter() - start) / SCRATCH)
            rows['scratch'].append(float(np.mean([right(m, NEW, test) for m in networks])))
            rows['scratch_together'].append(right_together(networks, NEW, test))
            if count > 1:
                svm = SvmPeer()
                svm.fit(clips, NEW, seed, args.out)
                answers = svm.probabilities(test).argmax(1)
                rows['svm'].append(
                    float(np.mean([NEW[k] == c.label for k, c in zip(answers, test, strict=True)]))
                )
            print(
                count, seed, {key: round(values[-1], 3) for key, values in rows.items()}, flush=True
            )
        result[str(count)] = {
            key: {'mean': float(np.mean(values)), 'std': float(np.std(values))}
            for key, values in rows.items()
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--data', type=Path, required=True, help='folder that holds the sets')
    parser.add_argument('--out', type=Path, default=Path('runs/teach'))
    parser.add_argument('--base', help='weights trained earlier (default: train them)')
    parser.add_argument('--counts', type=int, nargs='+', default=COUNTS, help='clips a class')
    parser.add_argument('--methods', nargs='+', default=METHODS, choices=METHODS)
    parser.add_argument('--draws', type=int, default=DRAWS)
    parser.add_argument('--every', type=int, default=3, help='take every n-th clip of old classes')
    parser.add_argument('--statistics', metavar='NAME', help='of published weights, and no more')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.statistics:
        path = weights.find(args.statistics)
        header = weights.read_header(path, 'action')
        config = ActionConfig.load(resources.find(f'config/train/{header.name}.yaml'))
        print(write_statistics(path, ClipTask(config, args.data).clips))
        return
    found = measure(args)
    (args.out / 'teach.json').write_text(json.dumps(found, indent=1) + '\n')
    print(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
