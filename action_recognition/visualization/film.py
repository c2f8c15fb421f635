"""Annotated frames as a video file that plays anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from action_recognition.closing import Closing
from action_recognition.errors import UserError
from action_recognition.skeleton import Poses
from action_recognition.visualization.overlay import Caption, Image, draw_people

#: The first also plays in web browsers, but not every OpenCV can write it.
CODECS = ('avc1', 'mp4v')
#: Longer side of the video in pixels: lettering on less is hard to read.
SHORTEST, LONGEST = 640, 1280


def film_size(size: tuple[int, int]) -> tuple[int, int]:
    """Size of the video for images of this (width, height): the same shape, even sides."""
    longer = max(size)
    scale = min(max(longer, SHORTEST), LONGEST) / longer
    width, height = (max(2, 2 * round(side * scale / 2)) for side in size)
    return width, height


def fit(image: Image, poses: Poses, size: tuple[int, int]) -> tuple[Image, Poses]:
    """Image and people at the size (width, height) of the video.

    The people may come from the image at another size, which `poses.image_size` gives.
    """
    if image.shape[1::-1] != size:
        shrinks = image.shape[1] > size[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
    if len(poses) == 0:
        return image, poses
    # Pixel centres: the centre of the first pixel is (0, 0) before and after scaling.
    scale = np.divide(size, poses.image_size)
    xy = ((poses.xy + 0.5) * scale - 0.5).astype(np.float32)
    return image, replace(poses, xy=xy, image_size=size)


class Film(Closing):
    """Writes images to an mp4 of constant rate, each at the place its stamp gives it.

    A pause repeats the image before it, and images that come faster than `fps` are left out.

    Args:
        path: the file, overwritten.
        fps: images per second.
        size: (width, height) in pixels, even.

    Attributes:
        codec: of the file, one of `CODECS`.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._fps = fps
        self._count = 0
        self._first: int | None = None
        self._image: Image | None = None
        with _silence():  # a codec that this OpenCV lacks is not worth its lines of complaint
            for self.codec in CODECS:
                fourcc = cv2.VideoWriter.fourcc(*self.codec)
                self._writer = cv2.VideoWriter(str(path), fourcc, fps, size)
                if self._writer.isOpened():
                    return
        raise UserError(
            f'cannot write the video {path}: check the directory and its free space, '
            'and that this OpenCV writes MP4'
        )

    def add(self, image: Image, stamp: int) -> None:
        """Show this image from its stamp (ns) on."""
        if self._first is None:
            self._first = stamp
        place = round((stamp - self._first) * 1e-9 * self._fps)
        while self._image is not None and self._count < place:
            self._write(self._image)
        if self._count == place:
            self._write(image)
        self._image = image

    def _write(self, image: Image) -> None:
        self._writer.write(image)
        self._count += 1

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()


class AnnotatedFilm(Film):
    """A film of images with people and what they do drawn on them.

    Args:
        path: the file, overwritten.
        fps: images per second.
        image_size: (width, height) of the images; the film may be larger or smaller.
    """

    def __init__(self, path: Path, fps: float, image_size: tuple[int, int]) -> None:
        self.size = film_size(image_size)
        super().__init__(path, fps, self.size)

    def draw(self, image: Image, poses: Poses, captions: Mapping[int, Caption], stamp: int) -> None:
        """Show this image from its stamp (ns) on."""
        self.add(draw_people(*fit(image, poses, self.size), captions), stamp)


@contextmanager
def _silence() -> Iterator[None]:
    logging = getattr(cv2.utils, 'logging', None)  # OpenCV 4.5 of Ubuntu 22.04 may lack it
    if logging is None:
        yield
        return
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    yield
    logging.setLogLevel(level)
