"""Images to learn from: joints move with them, and who is hidden has none."""

from dataclasses import replace

import cv2
import numpy as np
from pose_recipes import COLOURS, person

from action_recognition.datasets.people import Person
from action_recognition.skeleton import FLIP
from action_recognition.training.pose_data import Augmentation, PoseDataset, paste


def geometry_only():
    return Augmentation(
        size_range=(0.5, 0.7), rotation=30, composite=0, occluder=0, degrade=0, upside_down=0.3
    )


def test_joints_move_with_the_image(monkeypatch):
    monkeypatch.setattr('action_recognition.training.pose_data.degrade', lambda image, *_: image)
    dataset = PoseDataset([person()] * 20, 192, geometry_only(), seed=5)
    checked = 0
    for i in range(len(dataset)):
        image, xy, labelled = dataset[i]
        assert labelled.tolist() == [True, False]
        seen = np.flatnonzero(np.isfinite(xy[0]).all(-1))
        x, y = np.clip(np.round(xy[0, seen]).astype(int), 0, 191).T
        found = image[y, x].astype(int)
        # A mirrored image shows the dot of the right wrist where the left wrist is labelled.
        ways = [np.array(COLOURS)[seen], np.array(COLOURS)[list(FLIP)][seen]]
        assert min(np.abs(found - colours).max() for colours in ways) < 30
        checked += len(seen)
    assert checked > 150


def test_same_seed_gives_the_same_item_and_another_seed_another():
    people = [person()] * 4
    one, same, other = (PoseDataset(people, 64, Augmentation(), seed) for seed in (1, 1, 2))
    for a, b in zip(one[2], same[2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[2][0], other[2][0])


def test_pasted_person_hides_what_is_under_it():
    rng = np.random.default_rng(0)
    under, over = np.full((100, 100, 3), 10, np.uint8), np.full((100, 100, 3), 200, np.uint8)
    under_xy = np.stack([np.linspace(5, 95, 14), np.full(14, 50)], 1).astype(np.float32)
    over_xy = np.stack([np.full(14, 50), np.linspace(20, 80, 14)], 1).astype(np.float32)
    image, (left, moved) = paste(under, under_xy, over, over_xy, rng)
    for x, y in left[np.isfinite(left[:, 0])]:
        assert (image[int(y), int(x)] == 10).all()
    hidden = under_xy[np.isnan(left[:, 0])]
    assert len(hidden) > 0
    for x, y in hidden:
        assert (image[int(y), int(x)] == 200).all()
    for x, y in moved[np.isfinite(moved[:, 0])]:
        assert (image[int(y), int(x)] == 200).all()


def beside_a_wall(missing=0):
    """A bright person on the left of a dark wall; the last joints perhaps unlabelled."""
    image = np.full((120, 300, 3), 40, np.uint8)
    image[:, :130] = 220
    xy = np.stack([np.linspace(15, 100, 14), np.linspace(10, 110, 14)], 1).astype(np.float32)
    xy[14 - missing :] = np.nan
    return Person(cv2.imencode('.png', image)[1].tobytes(), xy)


def test_empty_images_have_no_labels(monkeypatch):
    monkeypatch.setattr('action_recognition.training.pose_data.degrade', lambda image, *_: image)
    people = [beside_a_wall(), beside_a_wall(missing=2)]
    always = PoseDataset(people, 64, replace(Augmentation(), empty=1.0), seed=1)
    image, xy, labelled = always[0]
    assert not labelled.any()
    assert np.isnan(xy).all()
    assert image.shape == (64, 64, 3)
    assert (image == 40).any()
    assert always[1][2][0]  # nothing to be seen beside: the person
    never = PoseDataset(people, 64, Augmentation(), seed=1)
    assert never[0][2][0]
