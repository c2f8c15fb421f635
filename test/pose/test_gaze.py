"""Where the network looks, with a network that draws the maps of people it is told of."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from action_recognition.errors import UserError
from action_recognition.pose.estimator import EstimatorConfig, NetworkEstimator
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.targets import encode
from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.tracking.tracker import Tracker, TrackerConfig

WIDTH, HEIGHT = 320, 240
FRAME = 40_000_000
#: A standing person 100 px tall, neck at (0, 0).
STANDING = np.array(
    [
        (0, -15), (0, 0), (-12, 2), (-16, 20), (-17, 37), (12, 2), (16, 20), (17, 37),
        (-8, 38), (-9, 60), (-9, 82), (8, 38), (9, 60), (9, 82),
    ],
    float,
)  # fmt: skip


def ramp(width=WIDTH, height=HEIGHT):
    """An image whose pixels tell where they are: blue x / 2, green y / 2, red 200."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x / 2, y / 2, np.full_like(x, 200)], -1).round().astype(np.uint8)


class World:
    """Stands in for a runtime: draws the maps of `people`, wherever in a ramp an input was cut.

    Scale and place of an input are fitted to its pixels, so nothing here knows how it was cut.

    Attributes:
        people: (n, 14, 2) joints in pixels of the ramp.
        sizes: a person is drawn if this many pixels tall in the input.
        shapes: of all inputs so far.
    """

    name, device = 'oracle float32', 'cpu'

    def __init__(self, *people, sizes=(20, 400)):
        self.people = np.array(people).reshape(-1, NUM_JOINTS, 2)
        self.sizes = sizes
        self.shapes = []

    def __call__(self, images):
        self.shapes.append(images.shape)
        maps = [self._draw(image) for image in images]
        return StageOutput(*(torch.cat(part) for part in zip(*maps, strict=True)))

    def _draw(self, image):
        v, u = np.nonzero((image[..., 2] == 200) & (image[..., 0] != 114))
        (scale_x, left), (scale_y, top) = (
            np.polyfit(2.0 * image[v, u, channel], place, 1) for channel, place in ((0, u), (1, v))
        )
        xy = self.people * (scale_x, scale_y) + (left, top)
        tall = np.nanmax(xy[..., 1], axis=1, initial=0) - np.nanmin(xy[..., 1], 1, initial=1e9)
        xy = xy[(tall >= self.sizes[0]) & (tall <= self.sizes[1])]
        people = torch.from_numpy(xy)[None].float()
        there = torch.ones(people.shape[:2], dtype=torch.bool)
        if not len(xy):
            people, there = torch.full((1, 1, NUM_JOINTS, 2), torch.nan), ~torch.ones(1, 1).bool()
        targets = encode(people, there, (image.shape[0] // 8, image.shape[1] // 8))
        return targets.joints, targets.limbs

    @property
    def glances(self):
        """What every call was for: 'full', or how many crops."""
        return [shape[0] if shape[1] == shape[2] else 'full' for shape in self.shapes]


def standing(*necks, size=1.0):
    return [STANDING * size + np.array(neck) for neck in necks]


def known(*people, ids=None, score=0.8, size=(WIDTH, HEIGHT)):
    xy = np.array(people).reshape(-1, NUM_JOINTS, 2)
    ids = range(1, len(xy) + 1) if ids is None else ids
    return Poses(xy, np.full(xy.shape[:2], score), np.array(list(ids)), 0, size)


def gaze_at(world, **look):
    look = {'mode': 'crops', 'full_every': 100, 'crop_size': 128} | look
    return Gaze(NetworkEstimator(world, EstimatorConfig(224), 'test'), LookConfig(**look))


def started(world, *people, **look):
    """A gaze that has seen the whole image and then crops of these people."""
    gaze = gaze_at(world, **look)
    gaze.look(ramp(), 0, Poses.empty(0, (WIDTH, HEIGHT)))
    gaze.look(ramp(), 1, known(*people))
    world.shapes.clear()
    return gaze


def found_people(poses):
    """The people found, from left to right."""
    return poses.xy[np.argsort(np.nanmean(poses.xy[..., 0], 1))]


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


def test_joints_made_up_beyond_the_border_are_dropped():
    (person,) = standing((150, 200))
    world = World(person)
    found = started(world, person).look(ramp(), 2, known(person))
    beyond = person[:, 1] > HEIGHT - 0.5
    assert beyond.any()
    np.testing.assert_array_equal(found.seen[0], ~beyond)


def test_a_crop_of_a_newcomer_who_was_none_does_not_call_for_the_whole_image():
    here, ghost = standing((80, 80), (220, 80))
    world = World(here)
    gaze = started(world, here)
    gaze.look(ramp(), 2, known(here, ghost, ids=[1, -1]))
    gaze.look(ramp(), 3, known(here))
    assert world.glances == [2, 1]


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
