"""Images: every encoding against values worked out by hand, and everything that can be wrong."""

from __future__ import annotations

import array
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from action_recognition.datasets.image_header import declared_size
from action_recognition.errors import UserError
from action_recognition.nodes.images import (
    Picture,
    bgr_to_image,
    bgr_to_jpeg,
    compressed_to_bgr,
    image_to_bgr,
    shrink,
    to_bgr,
)

BLUE, GREEN, RED, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def message(encoding, pixels, *, width, height, padding=0, bigendian=False):
    """An image of these bytes a pixel row, each row padded with rubbish."""
    rows = np.asarray(pixels, np.uint8).reshape(height, -1)
    rubbish = np.full((height, padding), 99, np.uint8)
    data = array.array('B', np.hstack([rows, rubbish]).tobytes())
    return Image(
        width=width,
        height=height,
        encoding=encoding,
        step=rows.shape[1] + padding,
        is_bigendian=bigendian,
        data=data,
    )


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [
        ('bgr8', [*BLUE, *RED]),
        ('8UC3', [*BLUE, *RED]),
        ('rgb8', [0, 0, 255, 255, 0, 0]),
        ('bgra8', [255, 0, 0, 9, 0, 0, 255, 8]),
        ('8UC4', [255, 0, 0, 9, 0, 0, 255, 8]),
        ('rgba8', [0, 0, 255, 9, 255, 0, 0, 8]),
    ],
)
def test_colour(encoding, pixels, padding):
    image = message(encoding, pixels * 2, width=2, height=2, padding=padding)
    np.testing.assert_array_equal(image_to_bgr(image), [[BLUE, RED], [BLUE, RED]])


@pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
def test_grey(encoding):
    image = message(encoding, [0, 7, 200, 255], width=2, height=2, padding=3)
    np.testing.assert_array_equal(image_to_bgr(image)[..., 1], [[0, 7], [200, 255]])


@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [
        # BT.601: luma 41, U 240, V 110 is pure blue; 235, 128, 128 is white.
        ('uyvy', [240, 41, 110, 41]),
        ('yuv422', [240, 41, 110, 41]),
        ('yuyv', [41, 240, 41, 110]),
        ('yuv422_yuy2', [41, 240, 41, 110]),
    ],
)
def test_yuv(encoding, pixels):
    image = message(encoding, pixels, width=2, height=1, padding=1)
    np.testing.assert_allclose(image_to_bgr(image)[0], [BLUE, BLUE], atol=3)


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
@pytest.mark.parametrize('bigendian', [False, True])
def test_deep_grey_spreads_the_range_it_uses(encoding, bigendian):
    values = np.array([[0, 1000, 2000], [3000, 4000, 5000]], '>u2' if bigendian else '<u2')
    image = message(
        encoding, values.view(np.uint8), width=3, height=2, padding=1, bigendian=bigendian
    )
    # Percentiles 1 and 99 of 1000..5000 are 1040 and 4960; 0 means no return and stays black.
    expected = [[0, 1, 1 + 254 * 960 / 3920], [1 + 254 * 1960 / 3920, 1 + 254 * 2960 / 3920, 255]]
    np.testing.assert_allclose(image_to_bgr(image)[..., 0], expected, atol=1)


@pytest.mark.parametrize('bigendian', [False, True])
def test_depth_ignores_nan_and_infinity(bigendian):
    values = np.array([[np.nan, 1.0, 2.0], [3.0, np.inf, -1.0]], '>f4' if bigendian else '<f4')
    image = message('32FC1', values.view(np.uint8), width=3, height=2, bigendian=bigendian)
    grey = image_to_bgr(image)[..., 2]
    assert grey[0, 0] == grey[1, 1] == grey[1, 2] == 0
    assert 0 < grey[0, 1] < grey[0, 2] < grey[1, 0] == 255


def test_depth_of_one_value_and_black_infrared():
    flat = np.full((2, 2), 1.5, np.float32).view(np.uint8)
    assert image_to_bgr(message('32FC1', flat, width=2, height=2)).min() == 1
    assert not image_to_bgr(message('mono16', np.zeros(8), width=2, height=2)).any()


def bad(encoding='bgr8', width=2, height=2, step=6, size=12):
    return Image(
        width=width, height=height, encoding=encoding, step=step, data=array.array('B', bytes(size))
    )


@pytest.mark.parametrize(
    ('image', 'reason'),
    [
        (bad(width=0, step=0, size=0), 'size 0 x 2'),
        (bad(height=0, size=0), 'size 2 x 0'),
        (bad(step=5), 'step 5, but 2 pixels of bgr8 need 6 bytes'),
        (bad(step=0), 'step 0'),
        (bad(size=11), '11 bytes, but 2 rows of step 6 need 12'),
        (bad(height=2**14, step=6, size=12), '16384 rows of step 6 need 98304'),
        (bad(width=2**31, height=2**31, step=2**32 - 1), '2147483648 x 2147483648 pixels; at most'),
        (bad(width=2**14, height=2**13, step=2**14 * 3), '16384 x 8192 pixels; at most 67108864'),
        (bad(width=2**14 + 1, height=1, step=2**16), '16385 x 1 pixels; at most .* 16384 a side'),
        (bad('mono16', step=3), 'step 3'),
        (bad('uyvy', width=3), 'even width'),
        (message('32FC1', np.full(4, np.nan, np.float32).view(np.uint8), width=2, height=2), 'NaN'),
    ],
)
def test_bad_image(image, reason):
    with pytest.raises(UserError, match=reason):
        image_to_bgr(image)


def test_unknown_encoding_without_cv_bridge(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    with pytest.raises(UserError, match=r"'bayer_rggb8' is not one of bgr8, .*cv_bridge"):
        image_to_bgr(bad('bayer_rggb8'))


def test_unknown_encoding_with_cv_bridge(monkeypatch):
    class CvBridge:
        def imgmsg_to_cv2(self, image, encoding):
            if image.encoding != 'bayer_rggb8':
                raise TypeError('Unrecognized\nimage encoding')
            assert encoding == 'bgr8'
            return np.full((2, 2, 3), 5, np.uint8)

    monkeypatch.setitem(sys.modules, 'cv_bridge', type(sys)('cv_bridge'))
    sys.modules['cv_bridge'].CvBridge = CvBridge
    assert (image_to_bgr(bad('bayer_rggb8')) == 5).all()
    with pytest.raises(UserError, match='cannot convert it: Unrecognized image encoding'):
        image_to_bgr(bad('nonsense'))


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_compressed(suffix):
    picture = np.full((8, 16, 3), (200, 100, 50), np.uint8)
    data = array.array('B', cv2.imencode(suffix, picture)[1].tobytes())
    np.testing.assert_allclose(compressed_to_bgr(CompressedImage(data=data)), picture, atol=3)


@pytest.mark.parametrize('data', [b'', b'\xff\xd8\xff rubbish', bytes(1000)])
def test_bad_compressed(data):
    image = CompressedImage(format='jpeg', data=array.array('B', data))
    with pytest.raises(UserError, match=rf'\(jpeg, {len(data)} bytes\) cannot be decoded'):
        compressed_to_bgr(image)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize(('width', 'height'), [(1, 1), (37, 5), (640, 480), (1, 4000)])
def test_declared_size_is_that_of_the_decoder(suffix, width, height):
    data = cv2.imencode(suffix, np.zeros((height, width, 3), np.uint8))[1].tobytes()
    assert declared_size(data) == (width, height)
    # Bytes before the size may be missing, tables of the camera may come first.
    assert declared_size(data[:15]) is None
    if suffix == '.jpg':
        comment = b'\xff\xfe' + (1002).to_bytes(2, 'big') + bytes(1000)
        assert declared_size(data[:2] + comment + b'\xff\xff' + data[2:]) == (width, height)


def bomb(suffix, width, height):
    """A small picture that declares itself larger."""
    data = bytearray(cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    if suffix == '.png':
        data[16:24] = struct.pack('>II', width, height)
        data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
    else:
        at = data.index(b'\xff\xc0')
        data[at + 5 : at + 9] = struct.pack('>HH', height, width)
    return bytes(data)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_a_decompression_bomb_is_not_decoded(monkeypatch, suffix):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was decoded'))
    message = CompressedImage(data=array.array('B', bomb(suffix, 60_000, 60_000)))
    with pytest.raises(UserError, match='60000 x 60000 pixels; at most'):
        compressed_to_bgr(message)


def test_other_formats_are_not_decoded():
    data = cv2.imencode('.bmp', np.zeros((8, 8, 3), np.uint8))[1]
    message = CompressedImage(format='bmp', data=array.array('B', data.tobytes()))
    with pytest.raises(UserError, match=r'\(bmp, .* bytes\) cannot be decoded: send jpeg or png'):
        compressed_to_bgr(message)


def test_writing_keeps_pixels_and_header():
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (7, 5, 3), np.uint8)
    header = Header(frame_id='eye')
    header.stamp.sec, header.stamp.nanosec = 12, 34
    image = bgr_to_image(picture[:, ::-1], header)  # not contiguous
    assert (image.width, image.height, image.step, image.encoding) == (5, 7, 15, 'bgr8')
    assert image.header == header
    np.testing.assert_array_equal(to_bgr(image), picture[:, ::-1])
    np.testing.assert_array_equal(to_bgr(Picture(header, picture)), picture)

    smooth = cv2.resize(picture, (50, 70))
    jpeg = bgr_to_jpeg(smooth, header, 95)
    assert jpeg.header == header
    assert 'jpeg' in jpeg.format
    assert np.abs(to_bgr(jpeg).astype(int) - smooth).mean() < 10


@pytest.mark.parametrize(
    ('size', 'longest', 'expected'),
    [
        ((640, 480), 0, (640, 480)),
        ((640, 480), 640, (640, 480)),
        ((640, 480), 320, (320, 240)),
        ((480, 640), 320, (240, 320)),
        ((1000, 1), 10, (10, 1)),
    ],
)
def test_shrink(size, longest, expected):
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    assert shrink(picture, longest).shape == (expected[1], expected[0], 3)
