"""Crops round people: joints come back where they are, and everybody is found once."""

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

from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.tracking.tracker import Tracker, TrackerConfig


@pytest.mark.parametrize('crop_size', [96, 128, 224])
@pytest.mark.parametrize(
    ('neck', 'size'),
    [((150, 80), 1.0), ((40.3, 60.7), 0.4), ((170.6, 100.2), 1.5), ((25, 30), 1.0)],
)
def test_joints_come_back_in_pixels_of_the_image(neck, size, crop_size):
    (person,) = standing(neck, size=size)
    world = World(person)
    gaze = started(world, person, crop_size=crop_size)
    found = gaze.look(ramp(), 2, known(person + np.array([4, -3])))
    assert world.shapes == [(1, crop_size, crop_size, 3)]
    assert (len(found), found.stamp, found.image_size) == (1, 2, (WIDTH, HEIGHT))
    np.testing.assert_allclose(found.xy[0], person, atol=0.7)
    assert abs(np.mean(found.xy[0] - person)) < 0.3
    np.testing.assert_array_equal(found.track_id, [-1])


def test_joints_made_up_beyond_the_border_are_dropped():
    (person,) = standing((150, 200))
    world = World(person)
    found = started(world, person).look(ramp(), 2, known(person))
    beyond = person[:, 1] > HEIGHT - 0.5
    assert beyond.any()
    np.testing.assert_array_equal(found.seen[0], ~beyond)


def test_far_people_are_brought_to_the_size_that_the_network_knows():
    far = standing((150, 80), size=0.3)
    world = World(*far, sizes=(60, 110))
    gaze = gaze_at(world)
    assert len(gaze.look(ramp(), 0, Poses.empty(0, (WIDTH, HEIGHT)))) == 0
    np.testing.assert_allclose(gaze.look(ramp(), 1, known(*far)).xy[0], far[0], atol=0.5)


def test_all_crops_are_one_batch_and_everybody_is_found_once():
    people = standing((60, 80), (150, 80), (250, 90))
    world = World(*people)
    gaze = started(world, *people)
    found = gaze.look(ramp(), 2, known(*people))
    assert world.glances == [3]
    np.testing.assert_allclose(found_people(found), people, atol=0.7)


def test_most_crops_of_an_image():
    small = standing((40, 60), (110, 60), (180, 60), size=0.6)
    large = standing((270, 60), size=1.0)
    world = World(*small, *large)
    gaze = started(world, *small, *large, max_crops=2)
    everybody = [*small, *large]
    found = gaze.look(ramp(), 2, known(*everybody, ids=[-1, 7, -1, -1]))
    assert world.glances == [2, 'full']
    np.testing.assert_allclose(found_people(found), everybody, atol=1.0)
    # Those who are tracked first, then the large ones.
    centres = gaze.last.regions[:, 0] + gaze.last.regions[:, 2] / 2
    np.testing.assert_allclose(centres, [110, 270], atol=2)


def test_a_crop_answers_for_the_person_expected_there():
    """Neighbours who are in each other's crops, one of whom is gone."""
    one, two = standing((120, 80), (150, 80))
    world = World(one, two)
    gaze = started(world, one, two)
    world.people = np.array([two])
    found = gaze.look(ramp(), 2, known(one, two))
    assert world.glances == [2]
    assert len(found) == 1
    np.testing.assert_allclose(found.xy[0], two, atol=0.7)
    gaze.look(ramp(), 3, known(one, two))
    assert gaze.last.full


@pytest.mark.parametrize('step', [(0, 0), (8, 0), (-8, 3)])
def test_neighbours_keep_apart(step):
    people = np.array(standing((110, 80), (145, 80), (180, 80)))
    world = World(*people)
    gaze = started(world, *people)
    world.people = people + np.array(step)
    found = gaze.look(ramp(), 2, known(*people))
    np.testing.assert_allclose(found_people(found), world.people, atol=0.7)


def test_other_people_in_a_crop_are_left_to_the_whole_image():
    one, stranger = standing((120, 80), (165, 80))
    world = World(one, stranger)
    gaze = started(world, one)
    assert len(gaze.look(ramp(), 2, known(one))) == 1


def test_a_crop_outweighs_the_whole_image():
    """A ghost: person-like only at the scale of the whole image."""
    here, ghost = standing((80, 80)), standing((220, 80), size=1.3)
    world = World(*here, *ghost)
    gaze = gaze_at(world, full_every=1, margin=0.5, crop_size=96)
    assert len(gaze.look(ramp(), 0, Poses.empty(0, (WIDTH, HEIGHT)))) == 2
    world.sizes = (60, 400)  # a person fills half of a crop
    world.people = np.array(ghost)
    assert len(gaze.look(ramp(), 1, known(*ghost))) == 0
    assert len(gaze.look(ramp(), 2, Poses.empty(2, (WIDTH, HEIGHT)))) == 1


def test_who_has_left_the_image_costs_nothing():
    here, left = standing((150, 80), (-300, 80))
    world = World(here)
    gaze = started(world, here)
    found = gaze.look(ramp(), 2, known(here, left))
    assert world.glances == [1]
    assert len(found) == 1


def test_legs_that_were_covered_for_long_are_found_again():
    """A crop round the trunk alone would not show them."""
    (person,) = standing((150, 80))
    behind_a_table = np.where(
        np.isin(np.arange(NUM_JOINTS), [9, 10, 12, 13])[:, None], np.nan, person
    )
    world = World(person)
    gaze, tracker = gaze_at(world), Tracker(TrackerConfig(max_lost=0.2))
    seen = []
    for i in range(20):
        world.people = np.array([behind_a_table if 2 <= i < 12 else person])
        people = tracker.update(gaze.look(ramp(), i * FRAME, tracker.predict(i * FRAME)))
        seen.append(people.seen.sum(1).tolist())
    assert world.glances == ['full'] + [1] * 19
    assert seen[2:12] == [[10]] * 10
    assert seen[-4:] == [[14]] * 4
