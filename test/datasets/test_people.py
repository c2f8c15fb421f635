"""People for the pose network, read from the real sets."""

import cv2
import numpy as np
import pytest

from action_recognition.datasets.jhmdb import load_jhmdb, reliable
from action_recognition.datasets.lspet import load_lspet
from action_recognition.datasets.people import (
    LSPET_VALIDATION,
    MIN_JOINTS,
    Person,
    beside,
    jhmdb_people,
    lspet_people,
)
from action_recognition.errors import UserError
from action_recognition.skeleton import FACE_FRACTION, Joint


def test_damaged_image_is_a_clear_error():
    with pytest.raises(UserError, match='damaged'):
        Person(b'not an image', np.zeros((14, 2), np.float32)).image()


def image_of_a_person(low, high, missing=0, width=300):
    """A bright person between two columns of a dark image; the last joints perhaps unlabelled."""
    image = np.full((120, width, 3), 40, np.uint8)
    image[:, max(low - 15, 0) : high + 15] = 220  # hands and feet are farther out than joints
    xy = np.stack([np.linspace(low, high, 14), np.linspace(10, 70, 14)], 1).astype(np.float32)
    xy[14 - missing :] = np.nan
    return Person(cv2.imencode('.png', image)[1].tobytes(), xy)


def test_what_is_beside_a_person_shows_nothing_of_the_person():
    left, right = beside(image_of_a_person(100, 160))
    assert left.shape == (120, 82, 3)  # the joints' longer side is 60: 18 pixels on each side
    assert right.shape == (120, 122, 3)
    assert (left == 40).all() and (right == 40).all()
    assert len(beside(image_of_a_person(10, 90))) == 1  # no room on the left
    assert beside(image_of_a_person(10, 90, width=120)) == []
    assert len(beside(image_of_a_person(100, 160, missing=1))) == 2
    assert beside(image_of_a_person(100, 160, missing=2)) == []  # they may be anywhere


def test_lspet_parts_do_not_overlap_and_leave_nothing(data_root):
    train = lspet_people(data_root / 'lspet', 'train')
    validation = lspet_people(data_root / 'lspet', 'validation')
    assert (len(train), len(validation)) == (8000, LSPET_VALIDATION)
    assert not {p.jpeg for p in train[-50:]} & {p.jpeg for p in validation[:50]}


def test_lspet_head_top_is_moved_to_the_face(data_root):
    raw = load_lspet(data_root / 'lspet')
    people = lspet_people(data_root / 'lspet', 'validation')
    first = len(raw.paths) - LSPET_VALIDATION
    i = next(
        i for i in range(len(people)) if raw.labelled[first + i, [Joint.NOSE, Joint.NECK]].all()
    )
    top, neck = raw.xy[first + i, [Joint.NOSE, Joint.NECK]]
    want = neck + FACE_FRACTION * (top - neck)
    np.testing.assert_allclose(people[i].xy[Joint.NOSE], want, atol=1e-3)


def test_jhmdb_test_people_are_reliable_and_inside_their_crops(data_root):
    root = data_root / 'jhmdb'
    people = jhmdb_people(root, 'test', every=15, crop=True)
    trusted = reliable(root)
    clips = [c for c in load_jhmdb(root, 1, 'test', 'truth') if c.name in trusted]
    assert len(people) <= sum(-(-len(c) // 15) for c in clips)
    assert len(people) > 0.8 * len(clips)
    inside = 0
    for person in people[::10]:
        height, width = person.image().shape[:2]
        seen = person.xy[np.isfinite(person.xy).all(-1)]
        assert len(seen) >= MIN_JOINTS
        inside += np.mean((seen > -5).all(-1) & (seen < (width + 5, height + 5)).all(-1))
    assert inside / len(people[::10]) > 0.95
