"""Videos of some people, put together out of a real clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition.datasets.pixels import BgrImage
from action_recognition.datasets.sources import open_source
from action_recognition.errors import UserError

#: Where the man on the roof is, in the sample clip (1768x994) until he jumps: left, top, width and
#: height, in pixels, and the number of frames.
PERSON, FRAMES = (530, 50, 260, 430), 96
#: Where nobody is in its first frame: from this column on.
EMPTY_FROM = 900
#: Of the height of the image, at most, for the cutting that shows a person.
TALLEST = 0.8
#: Frames by which each person is ahead of the one beside them.
APART = 10


class Cast:
    """Cuttings of a person in motion, from which scenes are made.

    Args:
        clip: the sample clip.

    Raises:
        UserError: it cannot be read, or has too few frames.
    """

    def __init__(self, clip: str | Path) -> None:
        left, top, width, height = PERSON
        cuttings: list[BgrImage] = []
        with open_source(str(clip)) as source:
            for frame in source:
                if not cuttings:
                    self._place = frame.image[:, EMPTY_FROM:].copy()
                cuttings.append(frame.image[top : top + height, left : left + width].copy())
                if len(cuttings) == FRAMES:
                    break
        if len(cuttings) < FRAMES:
            raise UserError(f'{clip} has fewer than {FRAMES} frames')
        # Forth and back, so that nobody jumps when the scene begins again.
        self._cuttings = cuttings + cuttings[-2:0:-1]

    def __len__(self) -> int:
        """Frames after which a scene begins again."""
        return len(self._cuttings)

    def scene(self, size: tuple[int, int], people: int) -> list[BgrImage]:
        """One round of a scene of (width, height), with people side by side in rows."""
        empty = cv2.resize(self._place, size, interpolation=cv2.INTER_AREA)
        boxes = places(size, people)
        return [self._frame(empty, boxes, number) for number in range(len(self))]

    def _frame(self, empty: BgrImage, boxes: npt.NDArray[np.int64], number: int) -> BgrImage:
        image = empty.copy()
        for person, (left, top, width, height) in enumerate(boxes.tolist()):
            cutting = self._cuttings[(number + APART * person) % len(self)]
            if person % 2:
                cutting = cutting[:, ::-1]
            small = cv2.resize(cutting, (width, height), interpolation=cv2.INTER_AREA)
            image[top : top + height, left : left + width] = small
        return image


def places(size: tuple[int, int], people: int) -> npt.NDArray[np.int64]:
    """(people, 4) left, top, width and height of cuttings as large as fit beside each other."""
    width, height = size
    aspect = PERSON[2] / PERSON[3]
    best = np.empty((0, 4), np.int64)
    for rows in range(1, people + 1):
        columns = -(-people // rows)
        tall = int(min(height / rows, width / columns / aspect, TALLEST * height))
        wide = int(tall * aspect)
        if len(best) and tall <= best[0, 3]:
            continue
        row, column = np.divmod(np.arange(people), columns)
        left = (column + 0.5) * width / columns - wide / 2
        top = (row + 0.5) * height / rows - tall / 2
        best = np.stack([left, top, np.full(people, wide), np.full(people, tall)], 1).astype(int)
    return best


def save(images: list[BgrImage], path: Path, fps: float) -> None:
    """A video of Motion JPEG, which OpenCV reads and writes without any help.

    Raises:
        UserError: it cannot be written.
    """
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), fps, (width, height))
    if not writer.isOpened():
        raise UserError(f'cannot write the video {path}')
    for image in images:
        writer.write(image)
    writer.release()
