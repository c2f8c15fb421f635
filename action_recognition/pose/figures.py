"""Drawn people, whom pose networks see as they see photographed ones: for checks without data."""

from __future__ import annotations

import cv2
import numpy as np

from action_recognition.pose.by_shape import Shape
from action_recognition.pose.deployed import Images
from action_recognition.skeleton import LIMBS, Joint

#: Place of the 14 joints of somebody who stands, in torso sizes from the neck, y down.
STANDING = (
    (0, -0.3),
    (0, 0),
    (-0.3, 0),
    (-0.4, 0.4),
    (-0.4, 0.8),
    (0.3, 0),
    (0.4, 0.4),
    (0.4, 0.8),
    (-0.2, 0.9),
    (-0.2, 1.5),
    (-0.2, 2.1),
    (0.2, 0.9),
    (0.2, 1.5),
    (0.2, 2.1),
)

#: BGR of skin and trousers, and of the background and the shirt of each figure.
SKIN, TROUSERS = (110, 140, 190), (30, 40, 60)
COLOURS = (
    ((200, 210, 200), (40, 60, 160)),
    ((200, 210, 200), (150, 60, 40)),
    ((60, 70, 60), (210, 200, 200)),
)
TRUNK = (Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER, Joint.LEFT_HIP, Joint.RIGHT_HIP)
LEGS = (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE, Joint.LEFT_KNEE, Joint.LEFT_ANKLE)
HANDS = (Joint.RIGHT_WRIST, Joint.LEFT_WRIST)


def figures(shape: Shape) -> Images:
    """Images of this shape (n, h, w, 3) with one person each, in turns of `COLOURS`."""
    images = np.empty(shape, np.uint8)
    for i, image in enumerate(images):
        _draw(image, *COLOURS[i % len(COLOURS)])
    return images


def _draw(image: Images, background: tuple[int, int, int], shirt: tuple[int, int, int]) -> None:
    """A person who fills three quarters of the height of an image (h, w, 3)."""
    height, width = image.shape[:2]
    body = np.array(STANDING)
    middle = (body.max(0) + body.min(0)) / 2
    size = min(0.75 * height / np.ptp(body[:, 1]), width)
    joints = np.rint((body - middle) * size + [width / 2, 0.52 * height]).astype(int).tolist()
    thick = max(round(0.12 * size), 1)
    image[:] = background
    for start, end in LIMBS:
        leg = end in LEGS
        colour, side = (TROUSERS, 4 * thick // 3) if leg else (shirt, thick)
        cv2.line(image, joints[start], joints[end], colour, side, cv2.LINE_AA)
    trunk = np.array([joints[joint] for joint in TRUNK], np.int32)
    cv2.fillConvexPoly(image, trunk, shirt, cv2.LINE_AA)
    cv2.circle(image, joints[Joint.NOSE], max(round(0.18 * size), 1), SKIN, -1, cv2.LINE_AA)
    for hand in HANDS:
        cv2.circle(image, joints[hand], max(round(0.08 * size), 1), SKIN, -1, cv2.LINE_AA)
