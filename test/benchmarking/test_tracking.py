"""Figures of identity against a plain second count, and our tracker beside a naive one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_up_people import streams
from scipy.optimize import linear_sum_assignment

from action_recognition.benchmarking import tracking, tracking_peers
from action_recognition.benchmarking.tracking_scenes import LABELS, Scene, compose
from action_recognition.errors import UserError
from action_recognition.skeleton import Poses

PEERS = {peer.name: peer for peer in tracking_peers.PEERS}


@pytest.fixture(scope='module')
def made() -> list[Scene]:
    plan = [('crossing', 30), ('meeting', 10), ('exits', 10), ('crowd', 10)]
    return [
        compose(streams(3), kind, rate, np.random.default_rng(seed))
        for seed, (kind, rate) in enumerate(plan)
    ]


def plain_idf1(scenes: list[Scene], given: list) -> float:
    """2 IDTP over all true and given identities, by the definition of Ristani et al. 2016."""
    hits = truth = answers = 0
    for scene, ids_of_images in zip(scenes, given, strict=True):
        common: Counter = Counter()
        for person, ids, visible in zip(scene.person, ids_of_images, scene.visible, strict=True):
            truth += int(visible.sum())
            answers += int((ids >= 0).sum())
            common.update((p, i) for p, i in zip(person, ids, strict=True) if p >= 0 and i >= 0)
        people, ids = (sorted({key[k] for key in common}) for k in (0, 1))
        table = np.array([[common[p, i] for i in ids] for p in people])
        hits += table[linear_sum_assignment(-table)].sum()
    return 2 * hits / (truth + answers)


@pytest.mark.parametrize('name', ['ours', 'nearest centroid'])
def test_the_quick_idf1_is_that_of_the_definition(name: str, made: list[Scene]) -> None:
    given = [tracking.track(PEERS[name], scene)[0] for scene in made]
    assert tracking.quick_idf1(made, given) == pytest.approx(plain_idf1(made, given), abs=1e-12)


def test_every_tracker_gets_as_many_trials(made: list[Scene]) -> None:
    calls = []

    class Picky(tracking_peers.NearestCentroid):
        def __init__(self, rate: int, height: int, reach: float, lost: float) -> None:
            calls.append(reach)
            if reach > 0.5:
                raise ValueError('too far')
            super().__init__(rate, height, reach, lost)

    peer = tracking_peers.Peer(
        'picky', '', Picky, {'reach': 0.001, 'lost': 1.0}, {'reach': lambda rng: rng.uniform(0, 1)}
    )
    scene = made[1:2]
    best = tracking.search_peer(peer, scene, trials=5, seed=3)
    valid = [reach for reach in calls if reach <= 0.5]
    idf1 = [plain_idf1(scene, [tracking.track(peer, scene[0], reach=r)[0]]) for r in valid]
    assert len(valid) == best['trials'] == 5 < len(calls)
    assert valid[0] == 0.001 and best['present_idf1'] == pytest.approx(idf1[0])
    assert best['idf1_of_trials'] == pytest.approx(idf1)
    assert best['idf1'] == pytest.approx(max(idf1)) and best['idf1'] > idf1[0]
    assert best['settings'] == {'reach': valid[int(np.argmax(idf1))], 'lost': 1.0}


@pytest.mark.parametrize('name', ['ours', 'nearest centroid'])
def test_identity_figures_agree_with_the_definition(name: str, made: list[Scene]) -> None:
    pytest.importorskip('motmetrics')
    given = [tracking.track(PEERS[name], scene)[0] for scene in made]
    figures = tracking.identity_figures(made, given)
    assert figures['idf1'] == pytest.approx(plain_idf1(made, given), abs=1e-9)
    found = sum(
        int(((ids >= 0) & (person >= 0)).sum())
        for scene, images in zip(made, given, strict=True)
        for person, ids in zip(scene.person, images, strict=True)
    )
    assert figures['misses'] == figures['people'] - found


def test_perfect_ids_make_one_identity_for_each_person(made: list[Scene]) -> None:
    pytest.importorskip('motmetrics')
    figures = tracking.identity_figures(made, [scene.person for scene in made])
    assert figures['switches'] == figures['false_positives'] == figures['id_false'] == 0
    assert figures['idf1'] > 0.9  # all that lacks are the people who were missed


def test_ours_keeps_identities_better_than_the_nearest_centroid(made: list[Scene]) -> None:
    ours, naive = (
        plain_idf1(made, [tracking.track(PEERS[name], scene)[0] for scene in made])
        for name in ('ours', 'nearest centroid')
    )
    assert ours >= naive + 0.1


@pytest.mark.parametrize('name', [name for name, peer in PEERS.items() if peer.package])
def test_peers_answer_for_every_person(name: str, made: list[Scene]) -> None:
    pytest.importorskip(PEERS[name].package)
    ids = tracking.track(PEERS[name], made[1])[0]
    for poses, answer in zip(made[1].found, ids, strict=True):
        assert answer.shape == (len(poses),)
        given = answer[answer >= 0].tolist()
        assert len(set(given)) == len(given)
    assert max(answer.max(initial=-1) for answer in ids) >= 0


def test_the_settings_of_ours_are_those_of_the_node() -> None:
    assert PEERS['ours'].settings == {}


class Oracle:
    """Answers with the action of the person whose id is 1 + its number, but never of person 0."""

    def __init__(self, scene: Scene) -> None:
        self.targets = {p.stamp: row for p, row in zip(scene.found, scene.targets, strict=True)}

    def reset(self) -> None:
        pass

    def update(self, poses: Poses) -> list:
        class Answer:
            state = 'confirmed'

            def __init__(self, track_id: int, target: int) -> None:
                self.track_id, self.label = track_id, LABELS[target] if track_id > 1 else 'unknown'

        targets = self.targets[poses.stamp]
        return [Answer(i, targets[i - 1]) for i in poses.track_id.tolist() if i > 0]


def test_labels_are_counted_for_the_people_found(made: list[Scene]) -> None:
    scene = made[0]
    ids = [np.where(person >= 0, person + 1, -1) for person in scene.person]
    figures = tracking.label_figures([scene], [ids], Oracle(scene))
    people = np.concatenate(scene.person)
    assert figures['label_accuracy'] == pytest.approx((people > 0).sum() / (people >= 0).sum())
    assert 0.5 < figures['action_accuracy'] < 0.8  # all but those of one of three people


def test_names_of_trackers() -> None:
    assert [peer.name for peer in tracking_peers.choose('ours; nearest centroid')] == [
        'ours', 'nearest centroid',
    ]  # fmt: skip
    with pytest.raises(UserError, match='no tracker'):
        tracking_peers.choose('deep sort')


def test_real_recordings_make_one_of_each_scene(data_root: Path) -> None:
    from action_recognition.benchmarking.tracking_scenes import KINDS, RATES, scenes

    pytest.importorskip('motmetrics')
    made = scenes(data_root, 'test', 0, 1)
    assert [(scene.kind, scene.rate) for scene in made] == [(k, r) for k in KINDS for r in RATES]
    assert all((scene.visible.any(0)).all() for scene in made)
