"""Composed scenes: who is in them, what is found of them, and that a seed says it all."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_people import streams

from action_recognition.benchmarking.tracking_scenes import KINDS, SECONDS, Noise, Scene, compose
from action_recognition.datasets.streams import IMAGE_SIZE

CLEAN = Noise((0, 0), 0, 0, 0, 0, 0, 0)


def scene(kind: str, rate: int = 10, seed: int = 0, people: int = 3, **options) -> Scene:
    return compose(streams(people), kind, rate, np.random.default_rng(seed), **options)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('rate', [10, 30])
def test_images_come_at_the_rate_and_hold_nobody_twice(kind: str, rate: int) -> None:
    made = scene(kind, rate)
    assert len(made) == SECONDS * rate
    stamps = [poses.stamp for poses in made.found]
    np.testing.assert_allclose(np.diff(stamps), 1e9 / rate, atol=1)
    for poses, person, visible in zip(made.found, made.person, made.visible, strict=True):
        assert poses.image_size == IMAGE_SIZE
        assert len(poses) == len(person)
        assert (poses.track_id == -1).all()
        real = person[person >= 0]
        assert len(set(real.tolist())) == len(real)
        assert visible[real].all()  # who is hidden or outside is not found


@pytest.mark.parametrize('kind', KINDS)
def test_without_noise_whoever_is_visible_is_found(kind: str) -> None:
    made = scene(kind, noise=CLEAN)
    for person, visible in zip(made.person, made.visible, strict=True):
        assert sorted(person.tolist()) == np.flatnonzero(visible).tolist()


def test_people_cross_hide_each_other_leave_and_return() -> None:
    crossings = hidden = returns = 0
    for seed in range(4):
        made = scene('crossing', seed=seed, noise=CLEAN)
        middles = [
            dict(zip(person.tolist(), np.nanmean(poses.xy[..., 0], 1), strict=True))
            for poses, person in zip(made.found, made.person, strict=True)
        ]
        both = [middle[1] - middle[2] for middle in middles if {1, 2} <= set(middle)]
        crossings += int((np.diff(np.sign(both)) != 0).sum())
        hidden += int((~made.visible).sum())
        away = ~scene('exits', seed=seed).visible
        returns += int(((np.diff(away.astype(int), axis=0)) == -1).sum())
    assert crossings >= 4
    assert hidden > 20
    assert returns >= 4


def test_a_seed_gives_one_scene() -> None:
    one, same, other = scene('crowd'), scene('crowd'), scene('crowd', seed=1)
    for a, b in zip(one.found, same.found, strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)
        np.testing.assert_array_equal(a.score, b.score)
    assert any(len(a) != len(b) for a, b in zip(one.found, other.found, strict=True))


def test_noise_is_as_asked_for() -> None:
    ghosts = scene('crossing', 30, noise=Noise((0, 0), 0, 0, 0, 0, 1, 0))
    assert all((person == -1).sum() == 1 for person in ghosts.person)
    nobody = scene('crossing', noise=Noise((0, 0), 0, 1, 0, 0, 0, 0))
    assert sum(map(len, nobody.found)) == 0
    blind = scene('crossing', noise=Noise((0, 0), 0.5, 0, 0, 0, 0, 0))
    clean = scene('crossing', noise=CLEAN)
    share = [
        np.mean([poses.seen.mean() for poses in made.found if len(poses)])
        for made in (blind, clean)
    ]
    assert share[0] == pytest.approx(0.5 * share[1], abs=0.05)


def test_targets_are_those_of_the_streams() -> None:
    made = scene('crossing')
    for p, stream in enumerate(streams(3)):
        rows = np.searchsorted(stream.stamps, [poses.stamp + 1e6 for poses in made.found]) - 1
        np.testing.assert_array_equal(made.targets[:, p], stream.targets[rows])


@pytest.mark.parametrize(('kind', 'rate'), [('parade', 10), ('crowd', 7)])
def test_wrong_kind_or_rate(kind: str, rate: int) -> None:
    with pytest.raises(ValueError, match='kind must be one of'):
        scene(kind, rate)
