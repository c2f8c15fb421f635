"""Many small pictures of people on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition.skeleton import LIMBS, FloatArray, Poses
from action_recognition.visualization.overlay import FONT, INK, WHITE, draw_people

Image = npt.NDArray[np.uint8]
#: One picture: an image, the joints to be drawn in colour and in white, and a caption.
Cell = tuple[Image, FloatArray, FloatArray, str]

#: Side of a picture, gap between two, and height of the name of a row, in pixels.
SIDE, GAP, TITLE = 220, 6, 26


def sheet(rows: Mapping[str, Sequence[Cell]]) -> Image:
    """Named rows of pictures, each scaled to fit a square.

    Args:
        rows: name of the row -> its pictures; joints are (14, 2) pixels of the image, NaN = none.

    Returns:
        (h, w, 3) uint8 BGR.
    """
    columns = max((len(row) for row in rows.values()), default=0)
    width = GAP + columns * (SIDE + GAP)
    page = np.full((len(rows) * (TITLE + SIDE + GAP) + GAP, max(width, SIDE), 3), 255, np.uint8)
    for k, (name, row) in enumerate(rows.items()):
        top = k * (TITLE + SIDE + GAP)
        cv2.putText(page, name, (GAP, top + TITLE - 7), FONT, 0.55, INK, 1, cv2.LINE_AA)
        for column, cell in enumerate(row):
            x, y = GAP + column * (SIDE + GAP), top + TITLE
            page[y : y + SIDE, x : x + SIDE] = _picture(*cell)
    return page


def _picture(image: Image, coloured: FloatArray, white: FloatArray, caption: str) -> Image:
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(round(scale * width), 1), max(round(scale * height), 1)
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    left, above = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    out = np.full((SIDE, SIDE, 3), INK, np.uint8)
    out[above : above + size[1], left : left + size[0]] = shrunk
    corner = np.array([left, above], np.float32)
    score = np.asarray(np.isfinite(coloured).all(-1), np.float32)
    people = Poses((coloured * scale + corner)[None], score[None], np.array([1]))
    canvas = draw_people(out, people)
    points = white * scale + corner
    for a, b in LIMBS:
        ends = points[[a, b]]
        if np.isfinite(ends).all():
            start, end = ends.round().astype(int).tolist()
            cv2.line(canvas, start, end, WHITE, 1, cv2.LINE_AA)
    cv2.putText(canvas, caption, (5, SIDE - 7), FONT, 0.5, INK, 3, cv2.LINE_AA)
    cv2.putText(canvas, caption, (5, SIDE - 7), FONT, 0.5, WHITE, 1, cv2.LINE_AA)
    return canvas
