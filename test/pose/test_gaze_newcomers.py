"""Newcomers: found by the whole image after an answer, and followed by crops from then on."""

from __future__ import annotations

import numpy as np
import pytest
from gaze_recipes import (
    FRAME,
    HEIGHT,
    WIDTH,
    World,
    found_people,
    gaze_at,
    known,
    ramp,
    standing,
    started,
)

from action_recognition.skeleton import Poses
from action_recognition.tracking.tracker import Tracker


def test_a_newcomer_is_found_by_the_whole_image_and_then_followed():
    one, two = standing((80, 80), (220, 80))
    world, ids = World(one), []
    gaze, tracker = gaze_at(world, full_every=5), Tracker()
    for i in range(9):
        world.people = np.array([one] if i < 3 else [one, two])
        people = tracker.update(gaze.look(ramp(), i * FRAME, tracker.predict(i * FRAME)))
        ids.append(people.track_id.tolist())
    assert world.glances == ['full', 1, 1, 1, 1, 1, 'full', 2, 2, 2]
    # Seen after the answer to the 6th image, in a crop from the 7th on, confirmed in the 8th.
    assert ids == [[1]] * 8 + [[1, 2]]


def test_nobody_is_found_twice_by_crops_and_the_whole_image():
    people = standing((80, 80), (220, 80))
    world = World(*people)
    gaze = started(world, people[0], full_every=2)
    found = gaze.look(ramp(), 2, known(people[0]))
    np.testing.assert_allclose(found_people(found), people[:1], atol=0.7)
    assert (gaze.last.full, len(gaze.last.regions), gaze.last.around) == (False, 1, True)
    assert gaze.look_around()
    assert world.glances == [1, 'full']
    assert not gaze.look_around()  # once
    found = gaze.look(ramp(), 3, known(people[0]))
    assert world.glances == [1, 'full', 2]
    np.testing.assert_allclose(found_people(found), people, atol=0.7)


@pytest.mark.parametrize('early', [True, False])
def test_looking_around_gives_the_same_now_or_with_the_next_image(early):
    people = standing((80, 80), (220, 80))
    world = World(*people)
    gaze = started(world, people[0], full_every=2)
    gaze.look(ramp(), 2, known(people[0]))
    if early:
        assert gaze.look_around()
    found = gaze.look(ramp(), 3, known(people[0]))
    assert world.glances == [1, 'full', 2]
    np.testing.assert_allclose(found_people(found), people, atol=0.7)


@pytest.mark.parametrize('anew', ['clock', 'size', 'reset'])
def test_newcomers_are_forgotten_when_the_gaze_begins_anew(anew):
    people = standing((80, 80), (220, 80))
    world = World(*people)
    gaze = started(world, people[0], full_every=2)
    gaze.look(ramp(), 2, known(people[0]))
    image, size, stamp = ramp(), (WIDTH, HEIGHT), 3
    if anew == 'clock':
        stamp = 1
    elif anew == 'size':
        image, size = ramp(400, 240), (400, 240)
    else:
        gaze.reset()
        assert not gaze.look_around()
    gaze.look(image, stamp, known(people[0], size=size))
    assert world.glances == [1, 1, 'full']


def test_newcomers_take_crops_after_those_who_are_known():
    people = standing((60, 80), (160, 80), (260, 80))
    world = World(*people)
    gaze = started(world, people[0], full_every=2, max_crops=2)
    gaze.look(ramp(), 2, known(people[0]))
    found = gaze.look(ramp(), 3, known(people[0]))
    # Two newcomers, one crop left: the whole image is seen at once.
    assert world.glances == [1, 'full', 2, 'full']
    np.testing.assert_allclose(found_people(found), people, atol=0.7)


def test_nobody_waits_for_the_rest_of_the_image_when_nobody_is_known():
    world = World(*standing((80, 80)))
    gaze = started(world, *standing((80, 80)), full_every=2)
    gaze.look(ramp(), 2, known(*standing((80, 80))))
    world.people = np.array(standing((220, 80)))
    gaze.look_around()
    found = gaze.look(ramp(), 3, Poses.empty(3, (WIDTH, HEIGHT)))
    assert gaze.last.full
    assert len(found) == 1


def test_a_crop_of_a_newcomer_who_was_none_does_not_call_for_the_whole_image():
    here, ghost = standing((80, 80), (220, 80))
    world = World(here)
    gaze = started(world, here)
    gaze.look(ramp(), 2, known(here, ghost, ids=[1, -1]))
    gaze.look(ramp(), 3, known(here))
    assert world.glances == [2, 1]
