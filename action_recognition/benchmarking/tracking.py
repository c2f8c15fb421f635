"""Our tracker beside those of others, on scenes whose people are known: `benchmark tracking`."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from action_recognition.benchmarking.tracking_peers import Peer
from action_recognition.benchmarking.tracking_scenes import LABELS, Scene, scenes
from action_recognition.datasets.streams import IMAGE_SIZE, UNSCORED
from action_recognition.errors import UserError
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import IntArray

Row = dict[str, Any]

MODEL = 'online_union32'
PERFECT = 'perfect ids'
#: Figures of `identity_figures`: ours -> motmetrics.
METRICS = {
    'idf1': 'idf1',
    'mota': 'mota',
    'switches': 'num_switches',
    'fragmentations': 'num_fragmentations',
    'misses': 'num_misses',
    'false_positives': 'num_false_positives',
    'people': 'num_objects',
}


def run(
    root: Path, seeds: int, each: int, peers: Sequence[Peer], model: str = MODEL
) -> dict[str, Any]:
    """Score trackers on test scenes, and the recogniser with their ids.

    Args:
        root: the folder that holds jhmdb, Penn_Action and precog2016.
        seeds: how often scenes are drawn anew.
        each: scenes of every kind and rate for each seed.

    Returns:
        `rows`, one for each tracker and one of perfect ids; figures of each are over all scenes
        together, `idf1_std` is over seeds, `by_kind` and `by_rate` hold the IDF1 of parts.

    Raises:
        UserError: a set is missing or motmetrics is not installed.
    """
    require_motmetrics()
    sets = {seed: scenes(root, 'test', seed, each) for seed in range(seeds)}
    recognizer = StreamingRecognizer.from_weights(model)
    if recognizer.labels[: len(LABELS)] != LABELS:
        raise UserError(f'{model} does not know the classes of the 32-class task')
    rows: list[Row] = []
    for peer in [None, *peers]:
        given, seconds = [], []
        for scene in _all(sets):
            ids, took = (scene.person, []) if peer is None else track(peer, scene)
            given.append(ids)
            seconds += took
        row: Row = {'tracker': peer.name if peer else PERFECT}
        row |= _identity(sets, given)
        row |= label_figures(list(_all(sets)), given, recognizer)
        if peer:
            ms = 1e3 * np.array(seconds)
            row |= {'ms_median': float(np.median(ms)), 'ms_p95': float(np.percentile(ms, 95))}
            row['settings'] = dict(peer.settings)
        rows.append(row)
    for row in rows:
        for name in ('label_accuracy', 'action_accuracy'):
            row[f'{name}_loss'] = rows[0][name] - row[name]
    return {
        'rows': rows,
        'model': model,
        'seeds': list(sets),
        'scenes': sum(map(len, sets.values())),
        'images': sum(len(scene) for scene in _all(sets)),
    }


def search(
    root: Path, peers: Sequence[Peer], trials: int, each: int, seed: int = 0
) -> list[Row]:
    """Settings of each peer that reach the best IDF1 on scenes of the training part.

    The peer's present settings are the first trial, the others are drawn at random.

    Returns:
        For each peer with a `space` a row of `tracker`, `idf1` and `settings`.
    """
    require_motmetrics()
    tuning = scenes(root, 'train', seed, each)
    rows = []
    for peer in peers:
        if not peer.space:
            continue
        rng = np.random.default_rng(seed)
        tried = []
        for trial in range(trials):
            drawn = {name: draw(rng) for name, draw in peer.space.items()} if trial else {}
            try:
                given = [track(peer, scene, **drawn)[0] for scene in tuning]
            except ValueError:  # settings that do not go together
                continue
            idf1 = identity_figures(tuning, given)['idf1']
            tried.append({'tracker': peer.name, 'idf1': idf1, 'settings': {**peer.settings, **drawn}})
        rows.append(max(tried, key=lambda row: row['idf1']))
    return rows


def track(peer: Peer, scene: Scene, **settings: Any) -> tuple[list[IntArray], list[float]]:
    """The ids that a peer gives in each image of a scene, and the seconds that each took."""
    tracker = peer.create(scene.rate, IMAGE_SIZE[1], **settings)
    ids, seconds = [], []
    for poses in scene.found:
        began = time.perf_counter()
        ids.append(tracker.update(poses))
        seconds.append(time.perf_counter() - began)
    return ids, seconds


def require_motmetrics() -> None:
    try:
        import motmetrics  # noqa: F401
    except ImportError as error:
        raise UserError('benchmark tracking needs `pip install motmetrics norfair`') from error


def identity_figures(given_scenes: Sequence[Scene], given: Sequence[list[IntArray]]) -> Row:
    """IDF1, MOTA, switches and fragmentations of ids, over several scenes together.

    A pose counts as that of the person it was made of, whatever lies nearer; ghosts and second
    poses of a person are false positives. People who are hidden or outside need not be found.

    Args:
        given: for each scene and image the (n,) ids of the people found, -1 for none.

    Returns:
        The figures named in `METRICS`, by motmetrics.
    """
    import motmetrics

    accumulators = []
    for scene, ids_of_images in zip(given_scenes, given, strict=True):
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        for person, ids, visible in zip(scene.person, ids_of_images, scene.visible, strict=True):
            known = np.flatnonzero(ids >= 0)
            truth = np.flatnonzero(visible)
            same = truth[:, None] == person[known][None]
            accumulator.update(truth, ids[known], np.where(same, 0.0, np.nan))
        accumulators.append(accumulator)
    host = motmetrics.metrics.create()
    names = [scene.name for scene in given_scenes]
    table = host.compute_many(
        accumulators, metrics=list(METRICS.values()), names=names, generate_overall=True
    )
    overall = table.loc['OVERALL']
    return {ours: float(overall[theirs]) for ours, theirs in METRICS.items()}


def label_figures(
    given_scenes: Sequence[Scene],
    given: Sequence[list[IntArray]],
    recognizer: StreamingRecognizer,
) -> Row:
    """How often the published label of a person is right, under the ids given.

    Returns:
        `label_accuracy`: share of the scored images of people who were found in which their
        label is that of the action; a person without id has none. `action_accuracy`: share of the
        actions whose label is right in the last image in which the person was found.
    """
    right, last = [], []
    for scene, ids_of_images in zip(given_scenes, given, strict=True):
        recognizer.reset()
        actions: dict[tuple[int, int], bool] = {}
        action = np.cumsum(np.diff(scene.targets, axis=0, prepend=UNSCORED) != 0, 0)
        for t, (poses, ids) in enumerate(zip(scene.found, ids_of_images, strict=True)):
            answers = {
                estimate.track_id: estimate.label
                for estimate in recognizer.update(poses.with_ids(ids))
                if estimate.state != 'ended'
            }
            for track_id, person in zip(ids.tolist(), scene.person[t].tolist(), strict=True):
                if person < 0 or scene.targets[t, person] == UNSCORED:
                    continue
                ok = answers.get(track_id) == LABELS[scene.targets[t, person]]
                right.append(ok)
                actions[person, int(action[t, person])] = ok
        last += actions.values()
    return {'label_accuracy': float(np.mean(right)), 'action_accuracy': float(np.mean(last))}


def _all(sets: dict[int, list[Scene]]) -> list[Scene]:
    return [scene for part in sets.values() for scene in part]


def _identity(sets: dict[int, list[Scene]], given: list[list[IntArray]]) -> Row:
    """Figures over all scenes, and the IDF1 of seeds, kinds and rates."""
    parts: dict[tuple[str, Any], list[int]] = defaultdict(list)
    everything = [(seed, scene) for seed, part in sets.items() for scene in part]
    for i, (seed, scene) in enumerate(everything):
        for key in (('seed', seed), ('kind', scene.kind), ('rate', scene.rate)):
            parts[key].append(i)
    figures = identity_figures([scene for _, scene in everything], given)
    idf1: dict[str, dict[str, float]] = {'seed': {}, 'kind': {}, 'rate': {}}
    for (what, name), chosen in parts.items():
        part = identity_figures([everything[i][1] for i in chosen], [given[i] for i in chosen])
        idf1[what][str(name)] = part['idf1']
    seeds = list(idf1['seed'].values())
    figures['idf1_std'] = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None
    return figures | {f'idf1_by_{what}': values for what, values in idf1.items()}
