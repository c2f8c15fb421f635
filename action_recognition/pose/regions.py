"""Square regions of an image round people, and the way of pixels there and back."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition.pose.estimator import PADDING, resize
from action_recognition.skeleton import FloatArray, IntArray, Poses, torso_size

#: A body is taken to be at least this many torsos long, so that the legs of somebody of whom only
#: the trunk was found come into view; somebody who stands is some 2.5 torsos long.
LEAST_TORSOS = 1.7
#: Pixels of the image that the smallest region has on a side.
LEAST_SIDE = 16


def regions_round(poses: Poses, margin: float) -> IntArray:
    """The square round each person.

    Args:
        poses: people of an image whose size is known.
        margin: room on every side, in parts of the longer side of the person's box.

    Returns:
        (n, 3) left, top and side in pixels of the image; it may reach beyond the image. The side
        is 0 where there is nothing to see: no joint is known, or the region lies outside.
    """
    boxes = np.nan_to_num(poses.boxes.astype(np.float64))
    low, high = boxes[:, :2], boxes[:, 2:]
    torso = np.nan_to_num(torso_size(poses.xy))
    extent = np.maximum((high - low).max(1, initial=0), LEAST_TORSOS * torso)
    # A guess may be far off: no person that can be made out is larger than twice the image.
    side = np.clip(np.ceil(extent * (1 + 2 * margin)), LEAST_SIDE, 2 * max(poses.image_size))
    corner = np.round((low + high - side[:, None] + 1) / 2)
    inside = (corner < poses.image_size) & (corner + side[:, None] > 0)
    visible = poses.seen.any(1) & inside.all(1)
    return np.column_stack([corner, np.where(visible, side, 0)]).astype(np.int64)


def cut(image: npt.NDArray[np.uint8], regions: npt.ArrayLike, size: int) -> npt.NDArray[np.uint8]:
    """What an image shows in each region, scaled to one size.

    Args:
        image: (h, w, 3).
        regions: (n, 3) left, top, side; each overlaps the image.

    Returns:
        (n, size, size, 3), `PADDING` beyond the image.
    """
    regions = np.asarray(regions, np.int64).reshape(-1, 3)
    crops = np.empty((len(regions), size, size, 3), np.uint8)
    height, width = image.shape[:2]
    for crop, (x, y, side) in zip(crops, regions.tolist(), strict=True):
        part = image[max(y, 0) : y + side, max(x, 0) : x + side]
        if part.shape[:2] != (side, side):
            above, left = max(-y, 0), max(-x, 0)
            below, right = max(y + side - height, 0), max(x + side - width, 0)
            part = cv2.copyMakeBorder(
                part, above, below, left, right, cv2.BORDER_CONSTANT, value=[PADDING] * 3
            )
        crop[:] = resize(part, (size, size))
    return crops


def to_image(xy: FloatArray, region: npt.ArrayLike, size: int) -> FloatArray:
    """Pixels of a region's crop of this size, (..., 2), to pixels of the image."""
    x, y, side = np.asarray(region)
    # Pixel centres: the centre of the first pixel is (0, 0) in either.
    return ((xy + 0.5) * (side / size) - 0.5 + np.array([x, y])).astype(np.float32)
