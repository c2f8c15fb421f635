"""`benchmark peers`: every recogniser trained and scored on the same clips."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_recognition.benchmarking import speed
from action_recognition.benchmarking.ddnet import DdNet
from action_recognition.benchmarking.lstm import WindowLstm
from action_recognition.benchmarking.network_peer import Build, NetworkPeer, Recipe
from action_recognition.benchmarking.ours import Ours, TrainedPeer
from action_recognition.benchmarking.peer import Entrant, Peer
from action_recognition.benchmarking.results import Results, Row, average
from action_recognition.benchmarking.stgcn import StGcn
from action_recognition.benchmarking.svm import SvmPeer
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.action import FRACTIONS
from action_recognition.evaluation.common import expected_calibration_error, observed
from action_recognition.evaluation.sets import SETS, load_set, relabel
from action_recognition.training.action_config import ActionConfig

#: Networks over windows, and for how many epochs each is trained without and with augmentation.
NETWORKS: dict[str, tuple[Build, int, int]] = {
    'ddnet': (DdNet, 200, 400),
    'ddnet32': (partial(DdNet, filters=32), 200, 400),
    'lstm': (WindowLstm, 200, 300),
    'stgcn': (StGcn, 60, 120),
}
#: Ways of training a network, by the end of its name: as usual, with the augmentation of our
#: model, and with random beginnings of clips as well.
WAYS = ('', '+aug', '+early')
OURS = ('paper', 'online')
PEERS = ('svm', *(name + way for name in NETWORKS for way in WAYS), *OURS)
DEFAULT_PEERS = (
    'svm',
    'lstm',
    'lstm+aug',
    'ddnet',
    'ddnet+aug',
    'ddnet+early',
    'stgcn+aug',
    'paper',
    'online',
)
#: Turns of the clock for each trained peer.
ROUNDS = 10


def create_peer(name: str, configs: Mapping[str, ActionConfig], epochs: int | None = None) -> Peer:
    """An untrained peer.

    Args:
        name: one of `PEERS`.
        configs: of our models, by kind; peers with '+aug' and '+early' take the augmentation of
            'online'.
        epochs: instead of the peer's own number; it means nothing to the SVM.

    Raises:
        UserError: the name is not known, its config is not given, or it cannot be had.
    """
    if name == 'svm':
        return SvmPeer()
    kind, plus, way = name.partition('+')
    if name not in PEERS:
        raise UserError(f'unknown peer {name!r}; known: {", ".join(PEERS)}')
    needed = name if name in OURS else 'online'
    if (name in OURS or plus) and needed not in configs:
        raise UserError(f'the peer {name} needs a config of the model {needed!r} (--config)')
    if name in OURS:
        return TrainedPeer(configs[name], epochs)
    build, usual, augmented = NETWORKS[kind]
    recipe = Recipe(epochs or usual)
    if plus:
        recipe = Recipe(
            epochs or augmented,
            augmentation=configs['online'].augmentation,
            beginnings=way == 'early',
            label_smoothing=0.1,
        )
    return NetworkPeer(name, build, recipe)


def score(peer: Peer, test: Sequence[SkeletonClip]) -> Row:
    """`accuracy`, `accuracy_at` and `ece` (at the end of the clips) of a trained peer.

    It is handed the beginnings of the clips and nothing else, so that it cannot look ahead.
    """
    clips = relabel(test, peer.labels)
    truth = np.array([peer.labels.index(clip.label) for clip in clips])
    at = np.stack(
        [
            peer.probabilities([beginning(clip, fraction) for clip in clips])
            for fraction in FRACTIONS
        ]
    )
    correct = at.argmax(-1) == truth
    return {
        'accuracy': float(correct[-1].mean()),
        'accuracy_at': {str(f): float(c.mean()) for f, c in zip(FRACTIONS, correct, strict=True)},
        'ece': expected_calibration_error(at[-1].max(-1), correct[-1]),
        'n': len(clips),
        'classes': len(peer.labels),
    }


def beginning(clip: SkeletonClip, fraction: float) -> SkeletonClip:
    """The first frames of a clip, at least one."""
    stop = observed(len(clip), fraction) + 1
    return replace(clip, xy=clip.xy[:stop], score=clip.score[:stop], stamps=clip.stamps[:stop])


def run(
    set_name: str,
    data: Path,
    splits: Sequence[int],
    seeds: int,
    peers: Sequence[Peer],
    out: Path,
    threads: int,
) -> dict[str, Any]:
    """Train, score and time all peers; what `<out>/results.json` holds already is not repeated.

    Args:
        data: the folder that holds the sets.
        splits: of JHMDB; figures are averaged over them.
        seeds: how many, from 0.
        threads: of the CPU, for training and for the clock alike.

    Returns:
        The settings, and under `rows` the averaged figures of each peer in order; `ratio` is the
        time of a peer over that of the last of ours, None without one.

    Raises:
        UserError: the data or the results cannot be read.
    """
    torch.set_num_threads(threads)
    results = Results(out / 'results.json')
    found: dict[str, list[tuple[int, Row]]] = {peer.name: [] for peer in peers}
    for split in splits:
        train = load_set(set_name, data, 'train', split)
        test = load_set(set_name, data, 'test', split)
        for peer in peers:
            for seed in range(seeds if peer.trains else 1):
                place = {'set': set_name, 'split': split}
                work = partial(_assess, peer, train, test, SETS[set_name], seed)
                figures = measure(results, place, peer, seed, f'{set_name}-{split}', work)
                found[peer.name].append((seed, figures))
    rows = averages(found)
    add_ratios(rows, peers)
    return {
        'set': set_name,
        'splits': list(splits),
        'seeds': seeds,
        'device': 'cpu',
        'threads': threads,
        'rows': rows,
    }


def _assess(
    peer: Peer,
    train: Sequence[SkeletonClip],
    test: Sequence[SkeletonClip],
    labels: Sequence[str],
    seed: int,
    folder: Path,
) -> Row:
    peer.fit(train, labels, seed, folder)
    times = speed.milliseconds({peer.name: peer.step()}, 1, ROUNDS)[peer.name]
    return {**score(peer, test), **speed.summary(times), 'parameters': peer.parameters}


def measure(
    results: Results,
    place: Mapping[str, Any],
    peer: Entrant,
    seed: int,
    folder: str,
    work: Callable[[Path], Row],
) -> Row:
    """What `results` holds of a peer already, or what `work` finds, which is stored.

    Args:
        place: what it is scored on, in the key of its results.
        folder: name of the folder, beside the results, for its checkpoints.
        work: trains and scores it, with a folder of its own for checkpoints.
    """
    key = {**place, 'peer': peer.name, 'seed': seed, 'recipe': peer.recipe}
    figures = results.find(key)
    if figures is None:
        # Another recipe must not go on from this one's checkpoints.
        digest = hashlib.sha256(json.dumps(peer.recipe).encode()).hexdigest()[:8]
        figures = work(results.path.parent / folder / f'{peer.name}-{digest}' / str(seed))
        results.add(key, figures)
    return figures


def averages(found: Mapping[str, Sequence[tuple[int, Row]]]) -> list[dict[str, Any]]:
    """The averaged figures of each peer, from its (seed, figures)."""
    return [{'peer': name, **average(rows)} for name, rows in found.items()]


def add_ratios(rows: Sequence[dict[str, Any]], peers: Sequence[Entrant]) -> None:
    """Add to rows that have `ms_median`: `fps`, and `ratio` as `run` says."""
    ours = [peer.name for peer in peers if isinstance(peer, Ours)]
    reference = next((row['ms_median'] for row in rows if ours and row['peer'] == ours[-1]), None)
    for row in rows:
        row['fps'] = 1e3 / row['ms_median']
        row['ratio'] = row['ms_median'] / reference if reference else None
