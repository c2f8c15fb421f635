"""Regions round people: what they hold, how they are cut, and the way back of coordinates."""

import numpy as np
import pytest

from action_recognition.pose.estimator import PADDING
from action_recognition.pose.regions import LEAST_SIDE, LEAST_TORSOS, cut, regions_round, to_image
from action_recognition.skeleton import NUM_JOINTS, Poses, torso_size

SIZE = (320, 240)


def person(low, high, seen=NUM_JOINTS):
    """Joints along the diagonal of a box, the trunk a point; the last ones may not be seen."""
    xy = np.linspace(low, high, NUM_JOINTS)
    xy[[2, 5, 8, 11]] = xy.mean(0)
    xy[seen:] = np.nan
    return xy


def poses(*people):
    xy = np.array(people)
    return Poses(xy, np.full(xy.shape[:2], 0.8), image_size=SIZE)


def ramp(width, height):
    """An image whose pixels tell where they are: blue x / 2, green y / 2, red 200."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x / 2, y / 2, np.full_like(x, 200)], -1).round().astype(np.uint8)


@pytest.mark.parametrize('margin', [0.0, 0.25, 1.0])
@pytest.mark.parametrize('box', [(100, 60, 130, 160), (20.5, 100.25, 220, 130), (-40, 30, 50, 99)])
def test_the_longer_side_is_a_fixed_part_of_the_region(margin, box):
    (x, y, side) = regions_round(poses(person(box[:2], box[2:])), margin)[0]
    extent = max(box[2] - box[0], box[3] - box[1])
    assert 0 <= side - extent * (1 + 2 * margin) < 1
    # Pixel centres: the region covers [x - 0.5, x + side - 0.5].
    assert x + (side - 1) / 2 == pytest.approx((box[0] + box[2]) / 2, abs=0.51)
    assert y + (side - 1) / 2 == pytest.approx((box[1] + box[3]) / 2, abs=0.51)


def test_a_trunk_alone_gets_room_for_legs():
    xy = np.full((NUM_JOINTS, 2), np.nan)
    xy[[1, 2, 5, 8, 11]] = [(100, 50), (90, 50), (110, 50), (93, 90), (107, 90)]
    ((_, _, side),) = regions_round(poses(xy), 0.25)
    assert side == np.ceil(1.5 * LEAST_TORSOS * torso_size(xy))
    assert side > 1.5 * 40


def test_regions_stay_within_reason():
    (speck, giant) = regions_round(
        poses(person((50, 50), (51, 51)), person((-1e6, -1e6), (1e6, 1e6))), 0.25
    )
    assert speck[2] == LEAST_SIDE
    assert giant[2] == 2 * 320


@pytest.mark.parametrize(
    'nobody',
    [
        person((0, 0), (0, 0), seen=0),
        person((-90, 20), (-40, 100)),
        person((20, 300), (60, 400)),
        person((1e4, 20), (1e4 + 50, 60)),
    ],
)
def test_nothing_to_see_has_no_side(nobody):
    regions = regions_round(poses(nobody, person((50, 50), (60, 90))), 0.1)
    assert regions[0, 2] == 0
    assert regions[1, 2] > 0


def test_no_people_have_no_regions():
    assert regions_round(Poses.empty(0, SIZE), 0.25).shape == (0, 3)
    assert cut(ramp(*SIZE), np.empty((0, 3)), 64).shape == (0, 64, 64, 3)


@pytest.mark.parametrize('side', [40, 64, 150])
@pytest.mark.parametrize('corner', [(0, 0), (-17, 30), (300, 220), (-20, -30), (111, 57)])
def test_crops_show_the_image_and_padding_beyond(corner, side):
    """Every pixel of a crop well inside the image tells the place that `to_image` says."""
    region, size = (*corner, side), 64
    (crop,) = cut(ramp(*SIZE), [region], size)
    v, u = np.mgrid[:size, :size]
    place = to_image(np.stack([u, v], -1).astype(np.float32), region, size)
    margin = max(side / size, 1)
    distance = np.minimum(place + 0.5, np.array(SIZE) - 0.5 - place).min(-1)
    inside, outside = distance > margin, distance < -margin
    assert inside.any()
    # Blue and green are half the coordinate, rounded, and the scaling rounds once more.
    np.testing.assert_allclose(crop[inside][:, :2] * 2.0, place[inside], atol=2.1)
    assert abs((crop[inside][:, :2] * 2.0 - place[inside]).mean()) < 0.2 * margin
    assert (crop[outside] == PADDING).all()
    assert (crop[inside][:, 2] == 200).all()


def test_shrinking_averages():
    """A fine checkerboard turns grey instead of a pattern of its own."""
    board = np.indices((240, 320)).sum(0) % 2 * 200
    image = np.repeat(board[..., None], 3, -1).astype(np.uint8)
    (crop,) = cut(image, [(10, 10, 200)], 40)
    np.testing.assert_allclose(crop, 100, atol=8)


def test_to_image_puts_the_corners_where_they_are():
    corners = np.array([(-0.5, -0.5), (63.5, 63.5)], np.float32)
    np.testing.assert_allclose(to_image(corners, (10, -20, 32), 64), [(9.5, -20.5), (41.5, 11.5)])
