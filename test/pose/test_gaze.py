"""When the whole image is looked at, when a gaze begins anew, and its settings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from gaze_recipes import FRAME, World, gaze_at, known, ramp, standing, started

from action_recognition.errors import UserError
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.tracking.tracker import Tracker, TrackerConfig


def test_mode_full_is_the_estimator():
    person = standing((100, 100))
    gaze = gaze_at(World(*person), mode='full')
    for stamp in range(3):
        found = gaze.look(ramp(), stamp, known(*person))
        expected = gaze.estimator.estimate(ramp(), stamp)
        np.testing.assert_array_equal(found.xy, expected.xy)
        np.testing.assert_array_equal(found.score, expected.score)
        assert gaze.last.full
        assert len(gaze.last.regions) == 0


@pytest.mark.parametrize(
    ('full_every', 'seen', 'expected'),
    [
        (1, '####', 'Faaa'),
        (3, '########', 'F..a..a.'),
        (100, '########', 'F.......'),
        (100, '    ####', 'FFFFF...'),  # nobody: look everywhere
        (100, '###  ###', 'F...F...'),  # lost in the 4th: look everywhere in the 5th, once
        (100, '### # ##', 'F...F.F.'),
    ],
)
def test_when_the_whole_image_is_seen(full_every, seen, expected):
    """# the person is there; F the whole image was seen, a: after the answer."""
    world = World()
    gaze = gaze_at(world, full_every=full_every)
    tracker = Tracker(TrackerConfig(confirmations=1))
    person = np.array(standing((150, 80)))
    looks = ''
    for i, mark in enumerate(seen):
        world.people = person if mark == '#' else person[:0]
        tracker.update(gaze.look(ramp(), i * FRAME, tracker.predict(i * FRAME)))
        looks += 'F' if gaze.last.full else 'a' if gaze.last.around else '.'
    assert looks == expected


@pytest.mark.parametrize('stamp', [0, 5])
def test_a_clock_that_jumps_back_begins_anew(stamp):
    people = standing((150, 80))
    world = World(*people)
    gaze = started(world, *people)
    gaze.look(ramp(), 10, known(*people))
    assert not gaze.last.full
    gaze.look(ramp(), stamp, known(*people))
    assert gaze.last.full


def test_another_size_of_the_image_begins_anew():
    people = standing((150, 80))
    world = World(*people)
    gaze = started(world, *people)
    found = gaze.look(ramp(400, 240), 2, known(*people))
    assert world.glances == ['full']
    assert found.image_size == (400, 240)
    gaze.look(ramp(400, 240), 3, known(*people, size=(400, 240)))
    assert world.glances == ['full', 1]


def test_the_whole_image_is_seen_while_everybody_known_is_expected_outside_it():
    here, left = standing((150, 80), (-300, 80))
    world = World(here)
    gaze = started(world, here)
    for stamp in (2, 3):
        assert len(gaze.look(ramp(), stamp, known(left))) == 1
        assert gaze.last.full
    gaze.look(ramp(), 4, known(here, left))
    assert world.glances == ['full', 'full', 1]


def test_the_same_images_are_looked_at_in_the_same_way():
    rng = np.random.default_rng(5)
    walks = np.cumsum(rng.normal(0, 6, (30, 3, 1, 2)), 0) + np.array(
        standing((60, 80), (150, 80), (240, 80))
    )
    there = rng.random((30, 3)) < 0.8

    def play():
        world, out = World(), []
        gaze, tracker = gaze_at(world, full_every=7), Tracker()
        for i in range(30):
            world.people = walks[i, there[i]]
            found = gaze.look(ramp(), i * FRAME, tracker.predict(i * FRAME))
            out.append(tracker.update(found))
        return world.glances, out

    (glances, one), (again, two) = play(), play()
    assert glances == again
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)
        np.testing.assert_array_equal(a.track_id, b.track_id)


@pytest.mark.parametrize(
    'values',
    [
        {'mode': 'squint'},
        {'crop_size': 100},
        {'crop_size': 16},
        {'full_every': 0},
        {'max_crops': 0},
        {'margin': -0.1},
        {'margin': 3.0},
    ],
)
def test_values_out_of_range(values):
    with pytest.raises(UserError, match=f'look.{next(iter(values))}'):
        LookConfig(**values)


def test_warm_up_prepares_for_every_number_of_crops_there_can_be():
    prepared = []
    estimator = SimpleNamespace(people=None, prepare=prepared.append)
    Gaze(estimator, LookConfig(mode='full')).warm_up()
    assert prepared == []
    Gaze(estimator, LookConfig(max_crops=3, crop_size=64)).warm_up()
    assert prepared == [(n, 64, 64, 3) for n in (1, 2, 3)]
    Gaze(SimpleNamespace(people=None)).warm_up()  # which cannot prepare, and need not
