"""`sensor_msgs` images to BGR arrays and back.

Writing fills `array.array`, which rclpy takes as it is (assigning an array or bytes makes it
check every element).
"""

from __future__ import annotations

import array
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from action_recognition.datasets.pixels import BGR8, BgrImage, compressed_to_bgr, image_to_bgr


class Picture(NamedTuple):
    """An image on its way: the header it keeps through all stages, and its pixels."""

    header: Header
    image: BgrImage


def to_bgr(message: Image | CompressedImage | Picture) -> BgrImage:
    """The pixels of an image however it came.

    Raises:
        UserError: as `image_to_bgr` and `compressed_to_bgr`.
    """
    if isinstance(message, Picture):
        return message.image
    return image_to_bgr(message) if isinstance(message, Image) else compressed_to_bgr(message)


def bgr_to_image(picture: BgrImage, header: Header) -> Image:
    """A `bgr8` message of an (h, w, 3) picture under this header, unchanged."""
    height, width, channels = picture.shape
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=BGR8,
        step=width * channels,
        data=_bytes(picture),
    )


def bgr_to_jpeg(picture: BgrImage, header: Header, quality: int) -> CompressedImage:
    """A JPEG message of an (h, w, 3) picture; quality from 1 to 100."""
    _, data = cv2.imencode('.jpg', picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return CompressedImage(header=header, format='bgr8; jpeg compressed bgr8', data=_bytes(data))


def _bytes(values: npt.NDArray[np.uint8]) -> array.array:
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(values).data.cast('B'))
    return data


def shrink(picture: BgrImage, longest: int) -> BgrImage:
    """The picture with its longer side at most this many pixels (0: as it is), never enlarged."""
    height, width = picture.shape[:2]
    if longest == 0 or max(height, width) <= longest:
        return picture
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
