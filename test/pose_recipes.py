"""A person of whom every joint can be found by its colour."""

from __future__ import annotations

import cv2
import numpy as np

from action_recognition.datasets.people import Person

#: Dots of one colour per joint on black: where a joint is can be read off the image.
COLOURS = [(0, 0, 40 + 16 * j) if j in (2, 5) else (40 + 16 * j, 0, 0) for j in range(14)]
JOINTS = np.array([(60 + 30 * (j % 4), 40 + 40 * (j // 4)) for j in range(14)], np.float32)


def person(blank: bool = False) -> Person:
    image = np.zeros((240, 220, 3), np.uint8)
    if not blank:
        for xy, colour in zip(JOINTS, COLOURS, strict=True):
            cv2.circle(image, [int(v) for v in xy], 9, colour, cv2.FILLED)
    return Person(cv2.imencode('.png', image)[1].tobytes(), JOINTS)
