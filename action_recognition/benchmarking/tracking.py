"""Our tracker beside those of others, on scenes whose people are known: `benchmark tracking`."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from action_recognition.benchmarking.tracking_peers import Peer
from action_recognition.benchmarking.tracking_scenes import LABELS, Scene, scenes
from action_recognition.datasets.streams import IMAGE_SIZE, UNSCORED
from action_recognition.datasets.union32 import CANONICAL
from action_recognition.errors import UserError
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import IntArray
from action_recognition.stages.recognition import DEFAULT_RECOGNIZER

log = logging.getLogger(__name__)

Row = dict[str, Any]

PERFECT = 'perfect ids'
#: Counts of a scene: ours -> motmetrics.
COUNTS = {
    'id_hits': 'idtp',
    'id_false': 'idfp',
    'id_missed': 'idfn',
    'switches': 'num_switches',
    'fragmentations': 'num_fragmentations',
    'misses': 'num_misses',
    'false_positives': 'num_false_positives',
    'people': 'num_objects',
}


def run(
    root: Path, seeds: int, each: int, peers: Sequence[Peer], model: str = DEFAULT_RECOGNIZER
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
    recognizer = StreamingRecognizer.from_weights(model)
    if not set(LABELS) <= set(map(_canonical, recognizer.labels)):
        raise UserError(f'{model} does not know the classes of the 32-class task')
    sets = {seed: scenes(root, 'test', seed, each) for seed in range(seeds)}
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


def search(root: Path, peers: Sequence[Peer], trials: int, each: int, seed: int = 0) -> list[Row]:
    """Settings of each peer that reach the best IDF1 on scenes of the training part.

    Every peer with a `space` gets as many trials on the same scenes: the first with its present
    settings, the others with settings drawn at random. Draws that do not go together are drawn
    again.

    Returns:
        For each peer with a `space` a row of `tracker`, `idf1`, `settings`, `trials`,
        `present_idf1` (of the first trial) and `idf1_of_trials`.
    """
    tuning = scenes(root, 'train', seed, each)
    return [search_peer(peer, tuning, trials, seed) for peer in peers if peer.space]


def search_peer(peer: Peer, tuning: Sequence[Scene], trials: int, seed: int) -> Row:
    """The best of so many trials of one peer; see `search`."""
    rng = np.random.default_rng(seed)
    tried: list[Row] = []
    drawn: dict[str, Any] = {}
    while len(tried) < trials:
        try:
            given = [track(peer, scene, **drawn)[0] for scene in tuning]
            idf1 = quick_idf1(tuning, given)
            tried.append({'idf1': idf1, 'settings': {**peer.settings, **drawn}})
        except ValueError:
            if not drawn:  # the present settings must do
                raise
        drawn = {name: draw(rng) for name, draw in peer.space.items()}
    best = max(tried, key=lambda row: row['idf1'])
    log.info('%s: IDF1 %.3f of %d trials', peer.name, best['idf1'], trials)
    return {
        'tracker': peer.name,
        **best,
        'trials': len(tried),
        'present_idf1': tried[0]['idf1'],
        'idf1_of_trials': [row['idf1'] for row in tried],
    }


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
        `idf1`, `mota` and the counts of `COUNTS`.
    """
    return _sum(identity_counts(given_scenes, given))


def identity_counts(
    given_scenes: Sequence[Scene], given: Sequence[list[IntArray]]
) -> list[dict[str, int]]:
    """The `COUNTS` of each scene, by motmetrics; see `identity_figures`."""
    import motmetrics

    host = motmetrics.metrics.create()
    rows = []
    for scene, ids_of_images in zip(given_scenes, given, strict=True):
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        for person, ids, visible in zip(scene.person, ids_of_images, scene.visible, strict=True):
            known = np.flatnonzero(ids >= 0)
            truth = np.flatnonzero(visible)
            same = truth[:, None] == person[known][None]
            accumulator.update(truth, ids[known], np.where(same, 0.0, np.nan))
        table = host.compute(accumulator, metrics=list(COUNTS.values()), name=scene.name)
        rows.append({ours: int(table[theirs].iloc[0]) for ours, theirs in COUNTS.items()})
    return rows


def _sum(rows: Sequence[dict[str, int]]) -> Row:
    """Figures of several scenes together, by the definitions of motmetrics' overall row."""
    total = {name: sum(row[name] for row in rows) for name in COUNTS}
    wrong = total['misses'] + total['false_positives'] + total['switches']
    doubled = 2 * total['id_hits']
    return total | {
        'idf1': doubled / max(doubled + total['id_false'] + total['id_missed'], 1),
        'mota': 1 - wrong / max(total['people'], 1),
    }


def quick_idf1(given_scenes: Sequence[Scene], given: Sequence[list[IntArray]]) -> float:
    """The IDF1 of `identity_figures` and nothing else, in a fraction of the time.

    2 IDTP over all true and given identities (Ristani et al., ECCVW 2016): IDTP are the poses on
    which people and ids agree if each person is given the id that makes this most.
    """
    hits = total = 0
    for scene, ids_of_images in zip(given_scenes, given, strict=True):
        ids, person = np.concatenate(ids_of_images), np.concatenate(scene.person)
        total += int(scene.visible.sum()) + int((ids >= 0).sum())
        names, number = np.unique(ids, return_inverse=True)
        both = (ids >= 0) & (person >= 0)
        together = np.zeros((scene.visible.shape[1], len(names)), np.int64)
        np.add.at(together, (person[both], number[both]), 1)
        hits += int(together[linear_sum_assignment(-together)].sum())
    return 2 * hits / max(total, 1)


def label_figures(
    given_scenes: Sequence[Scene], given: Sequence[list[IntArray]], recognizer: StreamingRecognizer
) -> Row:
    """How often the published label of a person is right, under the ids given.

    Returns:
        `label_accuracy`: share of the scored images of people who were found in which their
        label is that of the action; a person without id has none. `action_accuracy`: share of the
        actions whose label is right in the last image in which the person was found.
    """
    right: list[bool] = []
    last: list[bool] = []
    for scene, ids_of_images in zip(given_scenes, given, strict=True):
        recognizer.reset()
        actions: dict[tuple[int, int], bool] = {}
        action = np.cumsum(np.diff(scene.targets, axis=0, prepend=UNSCORED) != 0, 0)
        for t, (poses, ids) in enumerate(zip(scene.found, ids_of_images, strict=True)):
            answers = {
                estimate.track_id: _canonical(estimate.label)
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


def _canonical(label: str) -> str:
    """The class of the 32-class task of a label that may be finer."""
    return CANONICAL.get(label, label)


def _all(sets: dict[int, list[Scene]]) -> list[Scene]:
    return [scene for part in sets.values() for scene in part]


def _identity(sets: dict[int, list[Scene]], given: list[list[IntArray]]) -> Row:
    """Figures over all scenes, and the IDF1 of seeds, kinds and rates."""
    parts: dict[tuple[str, str], list[dict[str, int]]] = defaultdict(list)
    counts = identity_counts(_all(sets), given)
    seeds = [seed for seed, part in sets.items() for _ in part]
    for seed, scene, row in zip(seeds, _all(sets), counts, strict=True):
        for key in (('seed', seed), ('kind', scene.kind), ('rate', f'{scene.rate} Hz')):
            parts[key[0], str(key[1])].append(row)
    figures = _sum(counts)
    idf1: dict[str, dict[str, float]] = {'seed': {}, 'kind': {}, 'rate': {}}
    for (what, name), chosen in parts.items():
        idf1[what][name] = _sum(chosen)['idf1']
    of_seeds = list(idf1['seed'].values())
    figures['idf1_std'] = float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else None
    return figures | {f'idf1_by_{what}': values for what, values in idf1.items()}
