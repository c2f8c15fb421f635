"""Limits: what lies within is read, what exceeds one is refused with a line that says so."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from action_recognition import limits
from action_recognition.behavior_rules import load_rules
from action_recognition.datasets.sources import read_image
from action_recognition.errors import UserError
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.pose_config import PoseConfig


@pytest.mark.parametrize('size', [(1, 1), (limits.MAX_SIDE, 4096), (8192, 8192)])
def test_images_of_cameras(size):
    limits.check_image_size(*size)


@pytest.mark.parametrize('size', [(limits.MAX_SIDE + 1, 1), (1, 2**32 - 1), (8192, 8193)])
def test_images_too_large(size):
    with pytest.raises(UserError, match=rf'{size[0]} x {size[1]} pixels; at most'):
        limits.check_image_size(*size)


def test_opencv_keeps_the_limit_too():
    assert int(os.environ['OPENCV_IO_MAX_IMAGE_PIXELS']) <= limits.MAX_PIXELS


def test_an_image_file_that_declares_too_much_is_not_decoded(tmp_path):
    path = tmp_path / 'a.bmp'
    data = bytearray(cv2.imencode('.bmp', np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    data[18:26] = np.array([60_000, 60_000], '<i4').tobytes()  # width and height of the header
    path.write_bytes(data)
    with pytest.raises(UserError, match=r'cannot read image .*a\.bmp'):
        read_image(path)


@pytest.mark.parametrize('load', [load_rules, PoseConfig.load, ActionConfig.load])
def test_texts_too_large(tmp_path, load):
    path = tmp_path / 'big.yaml'
    path.write_text('#' * (limits.MAX_TEXT_BYTES + 1))
    with pytest.raises(UserError, match=r'big\.yaml is larger than 1048576 bytes'):
        load(path)


def test_text_of_the_largest_size(tmp_path):
    path = tmp_path / 'a.yaml'
    path.write_text('é' * (limits.MAX_TEXT_BYTES // 2))
    assert len(limits.read_text(path)) == limits.MAX_TEXT_BYTES // 2
