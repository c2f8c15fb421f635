"""Frames from an image, a directory of images, a video, a camera, a stream or a bag.

Read one at a time, so memory stays flat:

    with open_source('clip.mp4') as source:
        for frame in source:
            ...
"""

from __future__ import annotations

import os
import re
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# FFmpeg's own complaints would surround the one clear line of a UserError. OpenCV reads this when
# it opens its first video.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition.closing import Closing
from action_recognition.datasets.clips import natural_key
from action_recognition.errors import UserError

Image = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
BAG_SUFFIXES = ('.db3', '.mcap')
#: Rate assumed where the source does not say.
DEFAULT_FPS = 30.0
#: A stream that says nothing for this long is given up.
STREAM_TIMEOUT_MS = 10_000

#: Containers that store their number of frames; of the others OpenCV estimates it from the
#: duration, which may be that of the sound.
_COUNTED_SUFFIXES = ('.avi', '.m4v', '.mov', '.mp4')
_HIGHEST_FPS = 1000.0

_DEVICE = re.compile(r'(?:/dev/video)?(\d+)')
_URL = re.compile(r'[a-zA-Z][a-zA-Z0-9+.-]*://')


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        image: (H, W, 3) uint8, blue green red.
        stamp: nanoseconds from the first frame: by the container's timestamps for a video, by
            the frame rate where there are none, by a monotonic clock for a live source.
        index: number of the frame, from 0.
    """

    image: Image
    stamp: int
    index: int


class Source(Closing):
    """An open source of frames, read one by one; a context manager.

    Attributes:
        name: what to call it in messages, without the password of a URL.
        fps: nominal frames per second.
        size: (width, height) of the first image in pixels.
        length: how many frames it declares, None where unknown.
        live: True when frames come at their own pace and cannot be read again.
        start: stamp of the first frame in ns where the recording has a clock of its own (a bag).
        frame_id: ROS frame of the images where the recording names one (a bag), else ''.
    """

    live = False
    start: int | None = None
    frame_id = ''

    def __init__(self, name: str, fps: float, size: tuple[int, int], length: int | None) -> None:
        self.name = name
        self.fps = fps
        self.size = size
        self.length = length

    @abstractmethod
    def read(self) -> Frame | None:
        """The next frame, or None at the end.

        Raises:
            UserError: a frame cannot be read. The next call goes on with the one after it.
        """

    @property
    def truncated(self) -> bool:
        """True once the source has ended before the length it declares."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Release the device or file: there are no more frames. Safe to call twice."""

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame


class ImageSource(Source):
    """Image files, one after the other at `fps`."""

    def __init__(self, name: str, paths: Sequence[Path], fps: float) -> None:
        self._paths = paths
        self._index = 0
        height, width = read_image(paths[0]).shape[:2]
        super().__init__(name, fps, (width, height), len(paths))

    def read(self) -> Frame | None:
        if self._index >= len(self._paths):
            return None
        index = self._index
        self._index += 1
        return Frame(read_image(self._paths[index]), round(index * 1e9 / self.fps), index)

    def close(self) -> None:
        self._index = len(self._paths)


class VideoSource(Source):
    """A video of known length, from a file or a URL."""

    def __init__(self, name: str, capture: cv2.VideoCapture) -> None:
        fps = _rate(capture)
        self._capture = capture
        self._period = round(1e9 / fps)
        self._origin: float | None = None
        self._count = 0
        self._stamp = 0
        self._ended = False
        # One frame ahead, so that the end is known as soon as the last frame is out.
        self._pending = self._decode()
        if self._pending is None:
            capture.release()
            raise UserError(f'{name} holds no frame that can be decoded; convert it to MP4 again')
        declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        height, width = self._pending.image.shape[:2]
        super().__init__(name, fps, (width, height), int(declared) if declared > 0 else None)

    def read(self) -> Frame | None:
        frame = self._pending
        if frame is not None:
            self._pending = self._decode()
        return frame

    def _decode(self) -> Frame | None:
        ok, image = self._capture.read()
        if not ok:
            self._ended = True
            return None
        position = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        if self._origin is None:
            self._origin = position
        else:
            stamp = round((position - self._origin) * 1e6)
            self._stamp = stamp if stamp > self._stamp else self._stamp + self._period
        self._count += 1
        return Frame(np.asarray(image, np.uint8), self._stamp, self._count - 1)

    @property
    def truncated(self) -> bool:
        """True once the video has ended well before the number of frames it declares."""
        if not self._ended or self.length is None:
            return False
        counted = self.name.lower().endswith(_COUNTED_SUFFIXES)
        return self.length - self._count > (1 if counted else max(1, 0.1 * self.length))

    def close(self) -> None:
        self._capture.release()
        self._pending = None


class LiveSource(Source):
    """A camera or a network stream. Frames that are not read in time are lost in the driver."""

    live = True

    def __init__(self, name: str, capture: cv2.VideoCapture, advice: str) -> None:
        self._capture = capture
        self._advice = advice
        self._index = 0
        self._began = 0
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        # Cameras know their true format only once they have given an image.
        ok, image = capture.read()
        if not ok:
            capture.release()
            raise UserError(f'{name} gives no image: {advice}')
        height, width = image.shape[:2]
        super().__init__(name, _rate(capture), (width, height), None)

    def read(self) -> Frame | None:
        if not self._capture.isOpened():
            return None
        ok, image = self._capture.read()
        if not ok:
            raise UserError(f'{self.name} has stopped giving frames: {self._advice}')
        now = time.monotonic_ns()
        if self._index == 0:
            self._began = now
        self._index += 1
        return Frame(np.asarray(image, np.uint8), now - self._began, self._index - 1)

    def close(self) -> None:
        self._capture.release()


class MissingSource(Source):
    """A camera or stream that is not there yet, and of which every read says why.

    Args:
        reason: why it could not be opened.
    """

    live = True

    def __init__(self, name: str, reason: Exception) -> None:
        super().__init__(name, DEFAULT_FPS, (0, 0), None)
        self._reason = reason

    def read(self) -> Frame | None:
        raise self._reason

    def close(self) -> None:
        """Nothing is open."""


def open_source(spec: str | Path, fps: float = DEFAULT_FPS) -> Source:
    """Open whatever `spec` names.

    Args:
        spec: an image file, a directory of images (natural order), a video file, a camera
            (`0`, `/dev/video0`), a URL (`rtsp://`, `http://`), or a rosbag2 recording, with the
            topic where it holds several of images (`BAG:TOPIC`).
        fps: rate given to images, which have no time of their own.

    Raises:
        ValueError: `fps` is not positive.
        UserError: there is no such source, or it gives no image.
    """
    if not fps > 0:
        raise ValueError(f'fps must be positive, not {fps}')
    text = str(spec).strip()
    if device := _DEVICE.fullmatch(text):
        return _open_camera(int(device[1]))
    if _URL.match(text):
        return _open_url(text)
    bag, _ = split_bag(text)
    if is_bag(bag):
        return _open_bag(text)
    path = Path(text).expanduser()
    if not text or not path.exists():
        raise UserError(
            f'source {text!r} does not exist; give an image, a directory of images, a video, '
            'a camera (0 or /dev/video0) or a URL'
        )
    if not os.access(path, os.R_OK):
        raise UserError(f'no permission to read {path}')
    if path.is_dir():
        return ImageSource(str(path), _images_in(path), fps)
    if path.stat().st_size == 0 and path.is_file():
        raise UserError(f'{path} is empty (0 bytes); copy it again')
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(str(path), [path], fps)
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise UserError(
            f'{path} cannot be opened as a video: it is damaged, cut short, or in a format this '
            'OpenCV does not know; convert it to MP4'
        )
    return VideoSource(str(path), capture)


def may_come(spec: str) -> bool:
    """Whether a source that is not there may come by itself: a camera or a URL, but no file."""
    return bool(_DEVICE.fullmatch(spec) or _URL.match(spec)) and not spec.startswith('file:')


def without_password(url: str) -> str:
    """What to call the source of a URL, or of anything else."""
    return re.sub(r'//[^/@]*@', '//', url)


def is_bag(path: Path) -> bool:
    """Whether this is a rosbag2 recording, be it one that was killed before it was finished."""
    return path.suffix in BAG_SUFFIXES or any(
        file.name == 'metadata.yaml' or file.suffix in BAG_SUFFIXES for file in path.glob('*')
    )


def split_bag(spec: str) -> tuple[Path, str | None]:
    """The path and, where `BAG:TOPIC` names one, the topic."""
    head, separator, topic = spec.rpartition(':')
    if separator and topic.startswith('/'):
        return Path(head).expanduser(), topic
    return Path(spec).expanduser(), None


def read_image(path: Path) -> Image:
    """An image file as (H, W, 3) uint8, blue green red.

    Raises:
        UserError: the file is missing or cannot be decoded.
    """
    if not path.is_file():
        raise UserError(f'image {path} does not exist')
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error as error:  # larger than OpenCV's limit of pixels
        raise UserError(f'cannot read image {path}: {" ".join(str(error).split())}') from error
    if image is None:
        raise UserError(f'cannot read image {path}: it is empty, damaged or not an image')
    return np.asarray(image, np.uint8)


def _images_in(folder: Path) -> list[Path]:
    paths = sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')
        ),
        key=natural_key,
    )
    if not paths:
        raise UserError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    return paths


def _open_camera(index: int) -> Source:
    device = Path(f'/dev/video{index}')
    if not device.exists():
        present = sorted(Path('/dev').glob('video*'), key=natural_key)
        raise UserError(
            f'camera {device} does not exist (found: {", ".join(map(str, present)) or "none"}); '
            'plug one in, or give a video, a directory of images or a URL'
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise UserError(f'no permission for {device}: add your user to the group `video`')
    capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        raise UserError(f'camera {device} cannot be opened: another program may be using it')
    return LiveSource(str(device), capture, 'check its cable, and that no other program uses it')


def _open_url(url: str) -> Source:
    name = without_password(url)
    timeouts = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_TIMEOUT_MS),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_TIMEOUT_MS),
    ]
    capture = cv2.VideoCapture(url, cv2.CAP_ANY, timeouts)
    if not capture.isOpened():
        raise UserError(f'{name} cannot be opened: check the address, the network and the login')
    if capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return VideoSource(name, capture)
    return LiveSource(name, capture, 'check the network and the sender')


def _open_bag(spec: str) -> Source:
    try:
        from action_recognition.datasets.bags import BagImages
    except ImportError as error:
        raise UserError(f'reading bags needs `pip install rosbags` ({error})') from error
    return BagImages(spec)


def _rate(capture: cv2.VideoCapture) -> float:
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0 < fps <= _HIGHEST_FPS else DEFAULT_FPS
