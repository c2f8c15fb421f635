"""`benchmark peers --set precog`: recognisers trained and scored on continuous recordings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from action_recognition.benchmarking import speed
from action_recognition.benchmarking.compare import ROUNDS, add_ratios, averages, measure
from action_recognition.benchmarking.peer import StreamPeer
from action_recognition.benchmarking.results import Results, Row
from action_recognition.datasets.streams import SkeletonStream, precog_streams, segments
from action_recognition.errors import UserError
from action_recognition.evaluation import online
from action_recognition.recognition.labels import LabelConfig
from action_recognition.skeleton import FloatArray
from action_recognition.training.action_config import CONTINUOUS, ActionConfig
from action_recognition.training.tasks import StreamTask

#: Thresholds of published labels that are tried on the people held out.
ENTER = (0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
EXIT = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
#: Overlap at which they are compared, and figures that depend on them.
TUNED_FOR = 0.5
OF_LABELS = (
    *(f'f1_at_{percent}' for percent in online.OVERLAPS),
    'time_to_detect_s',
    'missed_fraction',
    'false_alarms_per_min',
    'flips_per_min',
)


def best_labels(
    streams: Sequence[SkeletonStream], probabilities: Sequence[FloatArray]
) -> LabelConfig:
    """The thresholds with the best F1@50 of published labels; of equal ones the highest."""
    truth = [online.true_actions(stream) for stream in streams]

    def f1(config: LabelConfig) -> float:
        said = [
            segments(online.published(stream, p, config))
            for stream, p in zip(streams, probabilities, strict=True)
        ]
        return online.segmental_f1(truth, said, TUNED_FOR)

    tried = [LabelConfig(enter=e, exit=x) for e in ENTER for x in EXIT if x <= e]
    return max(tried, key=lambda config: (f1(config), config.enter, config.exit))


def assess(
    peer: StreamPeer,
    task: StreamTask,
    test: Sequence[SkeletonStream] | None,
    seed: int,
    folder: Path,
) -> Row:
    """Train and score a peer.

    Args:
        test: streams to score after training with all people of the training part; None to score
            the people held out.

    Returns:
        `online.figures` with the default thresholds of labels, alike for all peers, and
        `parameters`. Under `tuned`, what depends on these thresholds with the `enter` and `exit`
        that are best for this peer on the people held out; None for published weights.
    """
    held_out = peer.fit(task, seed, folder, refit=test is not None)
    streams = task.validation if test is None else test
    answers = peer.probabilities(streams)
    tuned = None
    if held_out is not None:
        labels = best_labels(task.validation, held_out)
        found = online.figures(streams, answers, labels)
        tuned = {'enter': labels.enter, 'exit': labels.exit, **{k: found[k] for k in OF_LABELS}}
    return {**online.figures(streams, answers), 'tuned': tuned, 'parameters': peer.parameters}


def run(
    config: ActionConfig,
    data: Path,
    seeds: int,
    peers: Sequence[StreamPeer],
    out: Path,
    threads: int,
    validation: bool = False,
) -> dict[str, Any]:
    """Train and score all peers; what `<out>/results.json` holds already is not repeated.

    The clock is run anew in each call, for all peers in turns.

    Args:
        config: of our model; it says which people are held out of training.
        data: the folder that holds `precog2016`.
        seeds: how many, from 0.
        threads: of the CPU, for training and for the clock alike.
        validation: score the people held out, by models that never saw them, instead of the test
            part by models trained with all people of the training part.

    Returns:
        The settings, and under `rows` the averaged figures of each peer in order; `ratio` is the
        time of a peer over that of the last of ours, None without one.

    Raises:
        UserError: the data or the results cannot be read, the config is not of this set, or
            published weights would be asked about people whom they may have seen.
    """
    if config.set != CONTINUOUS:
        raise UserError(f'--set {CONTINUOUS} needs a config of that set, not of {config.set}')
    published = [peer.name for peer in peers if not peer.trains]
    if validation and published:
        raise UserError(f'{published[0]} may know the people of the validation part')
    torch.set_num_threads(threads)
    results = Results(out / 'results.json')
    task = StreamTask(config, data)
    test = None if validation else precog_streams(task.folder, 'test')
    place = {'set': CONTINUOUS, 'part': 'validation' if validation else 'test'}
    key = {**place, 'held_out': task.held_out}
    # Both parts share the models that were trained without the people held out.
    folder = '-'.join([CONTINUOUS, 'without', *map(str, task.held_out)])
    found: dict[str, list[tuple[int, Row]]] = {peer.name: [] for peer in peers}
    for peer in peers:
        for seed in range(seeds if peer.trains else 1):
            work = partial(assess, peer, task, test, seed)
            found[peer.name].append((seed, measure(results, key, peer, seed, folder, work)))
    rows = averages(found)
    times = speed.milliseconds({peer.name: peer.step() for peer in peers}, 1, ROUNDS)
    for row in rows:
        row.update(speed.summary(times[row['peer']]))
    add_ratios(rows, peers)
    return {
        **place,
        'people': sorted({stream.group for stream in test or task.validation}),
        'seeds': seeds,
        'device': 'cpu',
        'threads': threads,
        'rows': rows,
    }
