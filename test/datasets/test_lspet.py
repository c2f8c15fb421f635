"""LSP-extended: hand-checked values of the real files, and a tree written here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from action_recognition.datasets.lspet import load_lspet
from action_recognition.errors import UserError
from action_recognition.skeleton import Joint

#: Rows of `joints.mat`, in the data set's own words; the head is its top.
ROWS = (
    'right_ankle',
    'right_knee',
    'right_hip',
    'left_hip',
    'left_knee',
    'left_ankle',
    'right_wrist',
    'right_elbow',
    'right_shoulder',
    'left_shoulder',
    'left_elbow',
    'left_wrist',
    'neck',
    'head_top',
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Row j of image i at x = 10 j + i, y = 5 j; the left knee of the second is not labelled."""
    joints = np.zeros((14, 3, 2), np.float32)
    joints[:, 0] = 10 * np.arange(14)[:, None] + np.arange(2)
    joints[:, 1] = 5 * np.arange(14)[:, None]
    joints[:, 2] = 1
    joints[ROWS.index('left_knee'), :, 1] = 0
    savemat(tmp_path / 'joints.mat', {'joints': joints})
    (tmp_path / 'images').mkdir()
    for name in ('im00001.jpg', 'im00002.jpg'):
        cv2.imwrite(str(tmp_path / 'images' / name), np.zeros((80, 160, 3), np.uint8))
    return tmp_path


def test_written_tree(tree):
    people = load_lspet(tree)
    assert [path.name for path in people.paths] == ['im00001.jpg', 'im00002.jpg']
    assert (len(people), people.xy.shape, people.labelled.shape) == (2, (2, 14, 2), (2, 14))
    for joint in Joint:
        row = ROWS.index('head_top' if joint is Joint.NOSE else joint.name.lower())
        assert people.xy[0, joint].tolist() == [10 * row, 5 * row]
    assert people.labelled[0].all()
    assert np.flatnonzero(~people.labelled[1]).tolist() == [Joint.LEFT_KNEE]
    assert np.isnan(people.xy[1, Joint.LEFT_KNEE]).all()
    assert people.xy[1, Joint.NECK].tolist() == [121, 60]


def test_folder_that_is_not_lspet(tmp_path, tree):
    with pytest.raises(UserError, match=r'joints\.mat does not exist; expected the LSP-extended'):
        load_lspet(tmp_path / 'nowhere')
    (tree / 'images' / 'im00002.jpg').unlink()
    with pytest.raises(UserError, match=r'holds 1 images im\*\.jpg, but joints\.mat describes 2'):
        load_lspet(tree)
    (tree / 'images' / 'im00001.jpg').unlink()
    with pytest.raises(UserError, match=r'images holds no im\*\.jpg; expected the LSP-extended'):
        load_lspet(tree)


def test_wrong_shape_is_named(tree):
    savemat(tree / 'joints.mat', {'joints': np.zeros((3, 14, 2))})
    with pytest.raises(UserError, match=r'joints must have shape \(14, 3, images\)'):
        load_lspet(tree)


def test_hand_checked_values(data_root):
    """im03334.jpg: every joint annotated but the left ankle."""
    people = load_lspet(data_root / 'lspet')
    assert len(people) == 9000
    assert people.labelled.mean() == pytest.approx(0.8795, abs=1e-4)
    assert people.paths[3333].name == 'im03334.jpg'
    xy = people.xy[3333]
    expected = {
        Joint.NOSE: (111.2625, 26.8318),
        Joint.NECK: (108.2078, 47.7193),
        Joint.RIGHT_WRIST: (52.205, 20.227),
        Joint.LEFT_WRIST: (156.5875, 25.8411),
        Joint.RIGHT_ANKLE: (89.8796, 140.3784),
        Joint.LEFT_KNEE: (122.9584, 133.2508),
    }
    for joint, place in expected.items():
        np.testing.assert_allclose(xy[joint], place, atol=1e-3)
    assert np.flatnonzero(~people.labelled[3333]).tolist() == [Joint.LEFT_ANKLE]
