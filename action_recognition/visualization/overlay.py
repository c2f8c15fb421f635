"""Skeletons and action labels drawn on an image.

Each person has a colour of the Okabe-Ito palette, which people with any colour vision can tell
apart. The person's right side is drawn in that colour, the left side in a light tint of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition.skeleton import LIMBS, Joint, Poses

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

#: Okabe & Ito (2008), BGR, most distinct first; black and grey are left to the image.
PALETTE: tuple[Colour, ...] = (
    (0, 159, 230),  # orange
    (233, 180, 86),  # sky blue
    (115, 158, 0),  # bluish green
    (167, 121, 204),  # reddish purple
    (66, 228, 240),  # yellow
    (0, 94, 213),  # vermillion
    (178, 114, 0),  # blue
)
UNTRACKED: Colour = (190, 190, 190)
INK: Colour = (25, 25, 25)
WHITE: Colour = (255, 255, 255)
LEFT = frozenset(joint for joint in Joint if joint.name.startswith('LEFT'))
#: How far a left limb's colour goes towards white.
TINT = 0.6
#: Fractional bits of drawing coordinates, and the pixels beyond which nothing is drawn.
SHIFT = 4
FAR = 30_000
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Caption:
    """What is written over a person.

    Attributes:
        label: the action.
        confidence: its probability in [0, 1].
        confirmed: False for a candidate, whose colours are inverted.
    """

    label: str
    confidence: float
    confirmed: bool = True


def draw_people(image: Image, poses: Poses, captions: Mapping[int, Caption] | None = None) -> Image:
    """The image with a skeleton, an id and the action of each person on it.

    Lines and letters scale with the image, from 160 x 120 up.

    Args:
        image: (h, w, 3) BGR, left as it is.
        poses: the people, in pixels of this image.
        captions: the action of each person by track id; people without one show their id.

    Returns:
        A new (h, w, 3) image.

    Raises:
        ValueError: the image is not (h, w, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'image must be (h, w, 3) uint8, not {image.shape} {image.dtype}')
    canvas = np.ascontiguousarray(image).copy()
    unit = line_unit(canvas)
    for xy, track_id in zip(poses.xy, poses.track_id, strict=True):
        _draw_skeleton(canvas, xy, colour_of(int(track_id)), unit)
    taken: list[Box] = []
    for xy, box, track_id in zip(poses.xy, poses.boxes, poses.track_id.tolist(), strict=True):
        if track_id > 0 and np.isfinite(box).all():
            head = np.linalg.norm(xy[Joint.NOSE] - xy[Joint.NECK])
            crown = np.fmin(box[1], xy[Joint.NOSE, 1] - head)
            caption = (captions or {}).get(track_id)
            anchor = (float(box[0] + box[2]) / 2, float(crown))
            taken.append(_draw_caption(canvas, anchor, track_id, caption, unit, taken))
    return canvas


def colour_of(track_id: int) -> Colour:
    """The BGR colour of a person; ids start at 1, -1 is grey."""
    return PALETTE[(track_id - 1) % len(PALETTE)] if track_id > 0 else UNTRACKED


def line_unit(image: Image) -> float:
    """Pixels that read as one thin line at this size: 1 at 320 x 240, 2.5 at 1280 x 720."""
    return max(1.0, float(np.sqrt(image.shape[0] * image.shape[1])) / 380)


def _draw_skeleton(canvas: Image, xy: npt.NDArray[np.float32], colour: Colour, unit: float) -> None:
    seen = np.isfinite(xy[:, 0])
    points = _fixed(xy)
    limbs = [(a, b) for a, b in LIMBS if seen[a] and seen[b]]
    width = max(2, round(2 * unit))
    outline = max(2, round(unit))
    for a, b in limbs:
        _line(canvas, points[a], points[b], INK, width + outline)
    # Left over right: the tint stays visible where limbs of a person seen from the side meet.
    for a, b in sorted(limbs, key=lambda limb: limb[1] in LEFT):
        _line(canvas, points[a], points[b], _tint(colour) if b in LEFT else colour, width)
    for joint in np.flatnonzero(seen):
        radius = (3.2 if joint == Joint.NOSE else 2.2) * unit
        shade = _tint(colour) if joint in LEFT else colour
        _dot(canvas, points[joint], INK, radius + outline / 2)
        _dot(canvas, points[joint], shade, radius)


def _draw_caption(
    canvas: Image,
    crown: tuple[float, float],
    track_id: int,
    caption: Caption | None,
    unit: float,
    taken: Iterable[Box],
) -> Box:
    """Write above this point, or at the next free place above or below; returns that place."""
    text = f'{track_id}'
    if caption:
        text += f' {caption.label.replace("_", " ")} {caption.confidence:.0%}'
    scale, thickness = 0.38 * unit, max(1, round(0.75 * unit))
    (width, height), baseline = cv2.getTextSize(text, FONT, scale, thickness)
    pad = round(2 * unit)
    width, height = width + 2 * pad, height + baseline + 2 * pad
    rows, columns = canvas.shape[:2]
    left = int(np.clip(crown[0] - width / 2, 0, max(columns - width, 0)))
    over = int(np.clip(crown[1] - height - 4 * unit, 0, max(rows - height, 0)))
    upwards, downwards = range(over, -1, -1), range(over, rows - height + 1)
    places = ((left, top, left + width, top + height) for top in (*upwards, *downwards))
    place = next(
        (p for p in places if not any(_overlap(p, other) for other in taken)),
        (left, over, left + width, over + height),
    )
    colour = colour_of(track_id)
    tentative = caption is not None and not caption.confirmed
    cv2.rectangle(canvas, place[:2], place[2:], INK if tentative else colour, -1)
    if tentative:
        cv2.rectangle(canvas, place[:2], place[2:], colour, max(1, round(unit / 2)))
    ink = colour if tentative else (INK if _luminance(colour) > 0.4 else WHITE)
    origin = (place[0] + pad, place[3] - pad - baseline)
    cv2.putText(canvas, text, origin, FONT, scale, ink, thickness, cv2.LINE_AA)
    return place


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _luminance(colour: Colour) -> float:
    """Rec. 709 weights on linearised sRGB, as in WCAG 2."""
    blue, green, red = ((value / 255) ** 2.2 for value in colour)
    return 0.0722 * blue + 0.7152 * green + 0.2126 * red


def _tint(colour: Colour) -> Colour:
    blue, green, red = (round(value + TINT * (255 - value)) for value in colour)
    return blue, green, red


def _fixed(xy: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """(n, 2) coordinates in 1 / 2**SHIFT pixels: joints move smoothly, not pixel by pixel."""
    return (np.nan_to_num(xy).clip(-FAR, FAR) * 2**SHIFT).round().astype(np.int32)


def _line(
    canvas: Image, a: npt.NDArray[np.int32], b: npt.NDArray[np.int32], colour: Colour, width: int
) -> None:
    cv2.line(canvas, a.tolist(), b.tolist(), colour, width, cv2.LINE_AA, SHIFT)


def _dot(canvas: Image, centre: npt.NDArray[np.int32], colour: Colour, radius: float) -> None:
    radius_fixed = round(radius * 2**SHIFT)
    cv2.circle(canvas, centre.tolist(), radius_fixed, colour, -1, cv2.LINE_AA, SHIFT)
