"""The pixels of `sensor_msgs` images as BGR arrays, whoever deserialised the message.

Reading is a view of the message where the layout allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition.datasets.image_header import LONGEST_HEADER, declared_size
from action_recognition.errors import UserError
from action_recognition.limits import check_image_size

#: (h, w, 3) pixels, blue first.
BgrImage = npt.NDArray[np.uint8]

#: Encoding of every image this package publishes.
BGR8 = 'bgr8'


class Layout(NamedTuple):
    """How the pixels of one encoding lie in memory, and the way from there to BGR."""

    dtype: type
    channels: int
    to_bgr: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def _by(code: int) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _from_range(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Grey picture of depth or of deep grey values.

    Such pixels use an unknown part of their range: percentiles 1 to 99 of the valid ones (finite
    and above zero, REP-117/118) are spread over the greys 1 to 255, the others turn black.
    """
    valid = np.isfinite(pixels) & (pixels > 0)
    if pixels.dtype.kind == 'f' and not valid.any():
        raise UserError('the depth image has no valid pixel: all are NaN, infinite or zero')
    grey = np.zeros(pixels.shape, np.uint8)
    if valid.any():
        values = pixels[valid].astype(np.float32)
        low, high = np.percentile(values, (1, 99))
        grey[valid] = np.clip(1 + 254 * (values - low) / max(high - low, 1e-6), 1, 255)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


_BGR = Layout(np.uint8, 3, lambda pixels: pixels)
_GREY = Layout(np.uint8, 1, _by(cv2.COLOR_GRAY2BGR))
_UYVY = Layout(np.uint8, 2, _by(cv2.COLOR_YUV2BGR_UYVY))
_YUYV = Layout(np.uint8, 2, _by(cv2.COLOR_YUV2BGR_YUY2))
_DEEP = Layout(np.uint16, 1, _from_range)

#: Encodings of `sensor_msgs/image_encodings.hpp` that are read without cv_bridge.
LAYOUTS: dict[str, Layout] = {
    'bgr8': _BGR,
    '8UC3': _BGR,
    'rgb8': Layout(np.uint8, 3, _by(cv2.COLOR_RGB2BGR)),
    'bgra8': Layout(np.uint8, 4, _by(cv2.COLOR_BGRA2BGR)),
    '8UC4': Layout(np.uint8, 4, _by(cv2.COLOR_BGRA2BGR)),
    'rgba8': Layout(np.uint8, 4, _by(cv2.COLOR_RGBA2BGR)),
    'mono8': _GREY,
    '8UC1': _GREY,
    'mono16': _DEEP,
    '16UC1': _DEEP,
    '32FC1': Layout(np.float32, 1, _from_range),
    'uyvy': _UYVY,
    'yuv422': _UYVY,
    'yuyv': _YUYV,
    'yuv422_yuy2': _YUYV,
}


def image_to_bgr(message: Any) -> BgrImage:
    """The picture of a `sensor_msgs/Image`, (h, w, 3) BGR.

    Padded rows (`step`) and either byte order are read. Encodings not in `LAYOUTS` are left to
    cv_bridge where the robot has it.

    Raises:
        UserError: the size is 0 or beyond `limits`, `step` or the amount of data does not fit the
            size, the encoding is not known, or a depth image has no valid pixel.
    """
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise UserError(f'the image has size {width} x {height}: nothing to see')
    check_image_size(width, height)
    layout = LAYOUTS.get(message.encoding)
    if layout is None:
        return _by_cv_bridge(message)
    dtype = np.dtype(layout.dtype)
    row = width * layout.channels * dtype.itemsize
    if step < row:
        raise UserError(
            f'the image has step {step}, but {width} pixels of {message.encoding} '
            f'need {row} bytes: correct the driver that fills it'
        )
    if len(message.data) < step * height:
        raise UserError(
            f'the image has {len(message.data)} bytes, but {height} rows of step {step} '
            f'need {step * height}'
        )
    if layout.channels == 2 and width % 2:
        raise UserError(f'an image in {message.encoding} must have an even width, not {width}')
    rows = np.frombuffer(message.data, np.uint8, step * height).reshape(height, step)[:, :row]
    pixels = np.ascontiguousarray(rows).view(
        dtype.newbyteorder('>' if message.is_bigendian else '<')
    )
    pixels = pixels.astype(dtype, copy=False)
    shape = (height, width) if layout.channels == 1 else (height, width, layout.channels)
    return layout.to_bgr(pixels.reshape(shape))


def _by_cv_bridge(message: Any) -> BgrImage:
    known = ', '.join(LAYOUTS)
    try:
        from cv_bridge import CvBridge
    except Exception as error:  # a cv_bridge of another numpy fails in ways of its own
        raise UserError(
            f'image encoding {message.encoding!r} is not one of {known}; '
            'others need cv_bridge, which is not installed'
        ) from error
    try:
        return CvBridge().imgmsg_to_cv2(message, BGR8)
    except Exception as error:
        reason = ' '.join(str(error).split())
        raise UserError(
            f'image encoding {message.encoding!r} is not one of {known}, '
            f'and cv_bridge cannot convert it: {reason[:200]}'
        ) from error


def compressed_to_bgr(message: Any) -> BgrImage:
    """The picture of a `sensor_msgs/CompressedImage` in JPEG or PNG, (h, w, 3) BGR.

    The size is read from the header of the data before anything is decoded: a few bytes can
    declare gigabytes of pixels.

    Raises:
        UserError: the size is beyond `limits`, the data are not JPEG or PNG, or are damaged.
    """
    data = np.frombuffer(message.data, np.uint8)
    size = declared_size(data[:LONGEST_HEADER].tobytes())
    if size is not None:
        check_image_size(*size)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(data, flags) if size is not None else None
    except cv2.error:
        picture = None
    if picture is None:
        raise UserError(
            f'the compressed image ({message.format or "no format"}, {len(data)} bytes) cannot '
            'be decoded: send jpeg or png'
        )
    return picture
