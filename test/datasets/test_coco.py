"""COCO's layout, in small."""

import json

import cv2
import numpy as np
import pytest

from action_recognition.datasets.coco import load_coco
from action_recognition.datasets.people import coco_people
from action_recognition.errors import UserError
from action_recognition.skeleton import Joint

#: Our joints and the rows of COCO's table.
ROWS = {Joint.NOSE: 0, Joint.LEFT_SHOULDER: 5, Joint.RIGHT_WRIST: 10, Joint.LEFT_ANKLE: 15}


def person(left, image=7, **changes):
    keypoints = np.zeros((17, 3), int)
    keypoints[:, 0] = left + np.arange(17)
    keypoints[:, 1] = 20 + 2 * np.arange(17)
    keypoints[:, 2] = 2
    return {
        'image_id': image,
        'iscrowd': 0,
        'num_keypoints': 17,
        'keypoints': keypoints.ravel().tolist(),
        'bbox': [left, 20, 16, 32],
        **changes,
    }


def write(root, annotations):
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    (root / 'val2017').mkdir(exist_ok=True)
    for number in (7, 3):
        cv2.imwrite(str(root / 'val2017' / f'{number:012}.jpg'), np.zeros((90, 120, 3), np.uint8))
    content = {
        'images': [{'id': n, 'file_name': f'{n:012}.jpg'} for n in (7, 3)],
        'annotations': annotations,
    }
    path = root / 'annotations' / 'person_keypoints_val2017.json'
    path.write_text(json.dumps(content))
    return root


def test_people_by_image_without_crowds_and_people_without_joints(tmp_path):
    annotations = [
        person(10),
        person(50),
        person(30, iscrowd=1, keypoints={}),
        person(30, num_keypoints=0),
        person(5, image=3),
    ]
    first, second = load_coco(write(tmp_path, annotations))
    assert (first.path.name, second.path.name) == ('000000000003.jpg', '000000000007.jpg')
    assert (first.xy.shape, second.xy.shape) == ((1, 14, 2), (2, 14, 2))
    for joint, row in ROWS.items():
        np.testing.assert_array_equal(second.xy[1, joint], (50 + row, 20 + 2 * row))
    np.testing.assert_array_equal(second.xy[1, Joint.NECK], (55.5, 31))
    np.testing.assert_array_equal(second.boxes, [[10, 20, 26, 52], [50, 20, 66, 52]])


def test_joint_that_is_not_labelled_is_nan_and_so_is_the_neck_between(tmp_path):
    entry = person(10)
    entry['keypoints'][3 * 5 + 2] = 0  # left shoulder
    ((photograph,)) = load_coco(write(tmp_path, [entry]))
    missing = np.isnan(photograph.xy[0, :, 0])
    assert set(np.flatnonzero(missing)) == {Joint.LEFT_SHOULDER, Joint.NECK}


def test_people_are_cut_out_with_their_joints(tmp_path):
    few = person(80)
    few['keypoints'][2::3] = [2, 2, 2, *[0] * 14]
    people = coco_people(write(tmp_path, [person(50), few]))
    assert len(people) == 1  # too few joints measure badly
    # A quarter of the box of 16 x 32 pixels on every side: from (46, 12).
    assert people[0].image().shape == (48, 24, 3)
    np.testing.assert_array_equal(people[0].xy[Joint.NOSE], (50 - 46, 20 - 12))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'damaged'),
        ('{}', 'damaged'),
        ('{"images": [], "annotations": [{"iscrowd": 0, "num_keypoints": 1}]}', 'damaged'),
    ],
)
def test_damaged_annotations_are_one_clear_error(tmp_path, content, message):
    root = write(tmp_path, [])
    (root / 'annotations' / 'person_keypoints_val2017.json').write_text(content)
    with pytest.raises(UserError, match=message):
        load_coco(root)


def test_joints_of_another_length_are_an_error(tmp_path):
    with pytest.raises(UserError, match='damaged'):
        load_coco(write(tmp_path, [person(10, keypoints=[1, 2, 3])]))


def test_missing_annotations_and_images_are_errors_that_name_the_layout(tmp_path):
    with pytest.raises(UserError, match='expected the COCO folder'):
        load_coco(tmp_path)
    root = write(tmp_path / 'set', [person(10)])
    (root / 'val2017' / '000000000007.jpg').unlink()
    with pytest.raises(UserError, match=r'000000000007\.jpg'):
        load_coco(root)


def test_damaged_image_is_an_error(tmp_path):
    root = write(tmp_path, [person(10)])
    (root / 'val2017' / '000000000007.jpg').write_bytes(b'nothing')
    with pytest.raises(UserError, match='not an image'):
        coco_people(root)
