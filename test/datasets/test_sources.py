"""Sources of frames: images, directories, videos, cameras, URLs, and all that is wrong."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from action_recognition.datasets import sources
from action_recognition.datasets.sources import (
    LiveSource,
    MissingSource,
    VideoSource,
    may_come,
    open_source,
    without_password,
)
from action_recognition.errors import UserError


class FakeCapture:
    """A capture of `len(positions)` images; frame i is at `positions[i]` milliseconds."""

    def __init__(self, positions, fps=25.0, declared=-1.0):
        self.positions = list(positions)
        self.values = {
            cv2.CAP_PROP_FPS: fps,
            cv2.CAP_PROP_FRAME_COUNT: declared,
            cv2.CAP_PROP_POS_MSEC: 0.0,
        }
        self.opened = True

    def read(self):
        if not self.positions:
            return False, None
        self.values[cv2.CAP_PROP_POS_MSEC] = self.positions.pop(0)
        return True, np.zeros((48, 64, 3), np.uint8)

    def get(self, name):
        return self.values[name]

    def set(self, name, value):
        self.values[name] = value

    def isOpened(self):
        return self.opened

    def release(self):
        self.opened = False


def stamps(source) -> list[int]:
    return [frame.stamp for frame in source]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for index in (1, 2, 10):
        image = np.full((48, 64, 3), index, np.uint8)
        cv2.imwrite(str(tmp_path / f'frame{index}.png'), image)
    (tmp_path / 'notes.txt').touch()
    (tmp_path / '._frame1.png').touch()
    return tmp_path


def test_image(images):
    with open_source(images / 'frame2.png') as source:
        assert (source.size, source.length, source.live) == ((64, 48), 1, False)
        (frame,) = source
    assert frame.image.shape == (48, 64, 3)
    assert frame.image.dtype == np.uint8
    assert (frame.image == 2).all()
    assert (frame.stamp, frame.index) == (0, 0)


def test_grey_image_is_given_three_channels(tmp_path):
    cv2.imwrite(str(tmp_path / 'grey.png'), np.full((5, 7), 1000, np.uint16))
    with open_source(str(tmp_path / 'grey.png')) as source:
        (frame,) = source
    assert frame.image.shape == (5, 7, 3)
    assert frame.image.dtype == np.uint8


def test_directory_in_natural_order(images):
    with open_source(str(images), fps=10) as source:
        frames = list(source)
        assert source.length == 3
        assert source.fps == 10
        assert not source.truncated
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 10]
    assert [frame.stamp for frame in frames] == [0, 100_000_000, 200_000_000]
    assert [frame.index for frame in frames] == [0, 1, 2]


def test_images_go_on_after_a_damaged_one(images):
    (images / 'frame2.png').write_bytes(b'no image')
    with open_source(images) as source:
        assert source.read().index == 0
        with pytest.raises(UserError, match=r'cannot read image .*frame2\.png'):
            source.read()
        assert source.read().index == 2
        assert source.read() is None


@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [('.mp4', 'mp4v'), ('.mov', 'mp4v'), ('.avi', 'MJPG'), ('.mkv', 'MJPG'), ('.webm', 'VP80')],
)
def test_video(tmp_path, write_video, suffix, codec):
    path = write_video(tmp_path / f'a{suffix}', count=12, fps=12.5, codec=codec)
    with open_source(str(path)) as source:
        assert (source.name, source.size, source.length) == (str(path), (64, 48), 12)
        assert source.fps == pytest.approx(12.5)
        assert not source.live
        frames = list(source)
        assert not source.truncated
        assert source.read() is None
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.stamp for frame in frames] == [80_000_000 * index for index in range(12)]
    for index, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3)
        np.testing.assert_allclose(frame.image[:16], 12 * index, atol=6)


def test_closed_source_gives_nothing(tmp_path, images, write_video):
    for path in (images, write_video(tmp_path / 'videos' / 'a.mp4')):
        source = open_source(path)
        source.close()
        source.close()
        assert source.read() is None
        assert not source.truncated


@pytest.mark.parametrize(('suffix', 'codec'), [('.avi', 'MJPG'), ('.mkv', 'MJPG')])
def test_truncated_video_is_reported(tmp_path, write_video, suffix, codec):
    path = write_video(tmp_path / f'a{suffix}', count=20, codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(path) as source:
        assert source.length == 20
        assert not source.truncated
        assert 0 < len(list(source)) < 18
        assert source.truncated


def test_container_times_are_used_from_the_first_frame_on():
    source = VideoSource('a.mp4', FakeCapture([1000, 1040, 1100, 1110]))
    assert stamps(source) == [0, 40_000_000, 100_000_000, 110_000_000]


@pytest.mark.parametrize('positions', [[0, 0, 0, 0], [7, 7, 7, 7], [5, 4, 3, 2]])
def test_container_without_times_falls_back_to_the_rate(positions):
    source = VideoSource('a.mp4', FakeCapture(positions, fps=25))
    assert stamps(source) == [0, 40_000_000, 80_000_000, 120_000_000]


def test_time_that_steps_back_still_increases():
    source = VideoSource('a.mp4', FakeCapture([0, 40, 20, 120], fps=25))
    assert stamps(source) == [0, 40_000_000, 80_000_000, 120_000_000]


@pytest.mark.parametrize('fps', [0, -1, 90_000, float('nan')])
def test_senseless_rate_is_taken_as_30(fps):
    source = VideoSource('a.mp4', FakeCapture([0, 0], fps=fps))
    assert source.fps == 30
    assert stamps(source) == [0, 33_333_333]


@pytest.mark.parametrize(
    ('name', 'declared', 'given', 'truncated'),
    [
        ('a.mp4', 100, 100, False),
        ('a.mp4', 100, 99, False),  # an edit list may drop a frame
        ('a.mp4', 100, 98, True),
        ('a.webm', 100, 95, False),  # estimated from the duration
        ('a.webm', 100, 80, True),
        ('a.mp4', -1, 5, False),
    ],
)
def test_truncation_against_the_declared_length(name, declared, given, truncated):
    source = VideoSource(name, FakeCapture(range(given), declared=declared))
    assert source.length == (declared if declared > 0 else None)
    assert len(list(source)) == given
    assert source.truncated is truncated


def test_live_source_stamps_with_a_monotonic_clock(monkeypatch):
    clock = iter([5_000, 9_000, 17_000])
    monkeypatch.setattr(sources.time, 'monotonic_ns', lambda: next(clock))
    capture = FakeCapture([0] * 4)
    with LiveSource('/dev/video9', capture, 'check its cable') as source:
        assert source.live
        assert (source.size, source.length) == ((64, 48), None)
        frames = [source.read() for _ in range(3)]
        assert [(frame.index, frame.stamp) for frame in frames] == [(0, 0), (1, 4000), (2, 12_000)]
        with pytest.raises(UserError, match='/dev/video9 has stopped giving frames: check its'):
            source.read()
    assert source.read() is None


def test_camera_that_gives_nothing():
    with pytest.raises(UserError, match='/dev/video9 gives no image: check its cable'):
        LiveSource('/dev/video9', FakeCapture([]), 'check its cable')


@pytest.mark.parametrize('spec', ['97', '/dev/video97'])
def test_missing_camera(spec):
    with pytest.raises(UserError, match=r'camera /dev/video97 does not exist \(found: .*\); plug'):
        open_source(spec)


def test_video_over_http(tmp_path, write_video):
    write_video(tmp_path / 'a.mp4', count=5)
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with open_source(f'http://127.0.0.1:{server.server_port}/a.mp4') as source:
            assert not source.live
            assert stamps(source) == [80_000_000 * index for index in range(5)]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_unreachable_url_keeps_its_password():
    with pytest.raises(UserError, match=r'rtsp://127\.0\.0\.1:9/x cannot be opened') as caught:
        open_source('rtsp://robot:secret@127.0.0.1:9/x')
    assert 'secret' not in str(caught.value)


@pytest.mark.parametrize('spec', ['0', '/dev/video7', 'rtsp://camera/x', 'http://camera/a.mp4'])
def test_a_camera_or_url_may_come(spec):
    assert may_come(spec)


@pytest.mark.parametrize(
    'spec', ['', '/no/a.mp4', '0.png', '/dev/video', 'bag:/topic', 'file:///a']
)
def test_a_file_does_not_come_by_itself(spec):
    assert not may_come(spec)


def test_a_missing_source_says_why():
    name = without_password('rtsp://robot:secret@camera/x')
    with MissingSource(name, UserError('nobody answers')) as source:
        assert (source.name, source.live) == ('rtsp://camera/x', True)
        for _ in range(2):
            with pytest.raises(UserError, match='nobody answers'):
                source.read()


def damaged_mp4(write_video, path: Path) -> None:
    write_video(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ('name', 'make', 'message'),
    [
        ('a.mp4', lambda _, path: path.touch(), r'a\.mp4 is empty \(0 bytes\)'),
        ('a.png', lambda _, path: path.touch(), r'a\.png is empty \(0 bytes\)'),
        ('a.png', lambda _, path: path.write_bytes(b'?'), r'cannot read image .*a\.png'),
        ('a.txt', lambda _, path: path.write_text('no\nvideo\n'), r'a\.txt cannot be opened'),
        ('a.mp4', lambda _, path: path.write_text('no\nvideo\n'), r'a\.mp4 cannot be opened'),
        ('a.mp4', damaged_mp4, r'a\.mp4 cannot be opened as a video: it is damaged'),
        ('folder', lambda _, path: path.mkdir(), r'folder holds no images'),
        ('missing.mp4', lambda *_: None, r"missing\.mp4' does not exist; give an image"),
    ],
)
def test_bad_source_is_one_clear_line(tmp_path, capfd, write_video, name, make, message):
    make(write_video, tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        open_source(tmp_path / name)
    assert '\n' not in str(caught.value)
    assert capfd.readouterr().err == ''


def test_video_without_a_frame():
    with pytest.raises(UserError, match=r'a\.mp4 holds no frame that can be decoded'):
        VideoSource('a.mp4', FakeCapture([]))


def test_empty_name_and_senseless_rate(images):
    with pytest.raises(UserError, match="source '' does not exist"):
        open_source('')
    for fps in (0, -5, float('nan')):
        with pytest.raises(ValueError, match='fps must be positive'):
            open_source(images, fps=fps)


@pytest.mark.parametrize(
    ('name', 'count', 'size', 'fps'),
    [
        ('pedestrians_vtest.mp4', 795, (768, 576), 10),
        ('two_people_interact.mp4', 72, (960, 540), 28.05),
        ('two_people_walk_jump.mp4', 230, (960, 540), 30),
    ],
)
def test_real_videos(data_root, name, count, size, fps):
    with open_source(data_root / 'videos' / name) as source:
        assert (source.length, source.size) == (count, size)
        assert source.fps == pytest.approx(fps, abs=0.01)
        if count < 100:
            assert len(stamps(source)) == count
            assert not source.truncated


def test_uneven_times_of_a_real_clip(data_root):
    """This encoder put 25 frames a second on a grid of 30: every fifth gap is double."""
    folder = data_root / 'jhmdb' / 'ReCompress_Videos' / 'wave'
    with open_source(folder / '20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0.mp4') as source:
        times = stamps(source)
    assert len(times) == 31
    assert times[:5] == [0, 33_333_333, 66_666_667, 133_333_333, 166_666_667]
    assert (np.diff(times) > 0).all()
