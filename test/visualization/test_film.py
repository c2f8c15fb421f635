"""The video holds the frames it was given, when it was given them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from action_recognition.errors import UserError
from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.visualization.film import Film, film_size, fit

SIZE = (64, 48)


def grey(value: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), value, np.uint8)


def levels(path: Path) -> list[int]:
    """Mean grey of each frame of a video."""
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    found = []
    while (frame := capture.read())[0]:
        found.append(round(float(frame[1].mean())))
    return found


@pytest.mark.parametrize(
    ('tenths', 'shown'),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1, 4, 5], [0, 1, 1, 1, 2, 3]),  # a pause
        ([0, 0.2, 1, 1.2, 2], [0, 2, 4]),  # twice as fast as the video
        ([50, 51], [0, 1]),  # any clock
    ],
)
def test_frames_stand_where_their_stamps_say(
    tmp_path: Path, tenths: list[float], shown: list[int]
) -> None:
    path = tmp_path / 'film.mp4'
    with Film(path, 10, SIZE) as film:
        for i, tenth in enumerate(tenths):
            film.add(grey(20 + 40 * i), round(tenth * 1e8))
    np.testing.assert_allclose(levels(path), [20 + 40 * i for i in shown], atol=4)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='cannot write the video'):
        Film(tmp_path / 'nowhere' / 'film.mp4', 10, SIZE)


@pytest.mark.parametrize(
    ('size', 'film'),
    [
        ((320, 240), (640, 480)),
        ((640, 360), (640, 360)),
        ((1768, 994), (1280, 720)),
        ((101, 201), (322, 640)),
        ((3000, 2), (1280, 2)),
    ],
)
def test_size(size: tuple[int, int], film: tuple[int, int]) -> None:
    assert film_size(size) == film


@pytest.mark.parametrize('source', [(32, 24), (64, 48), (128, 96)])
def test_fit_scales_people_with_the_image(source: tuple[int, int]) -> None:
    """A joint on the centre of the bottom right pixel stays on it, whatever the pose's image."""
    xy = np.zeros((1, NUM_JOINTS, 2))
    xy[0, 0] = (15, 11)
    poses = Poses(xy, np.ones((1, NUM_JOINTS)), [4], stamp=9, image_size=(16, 12))
    image = np.zeros((source[1], source[0], 3), np.uint8)
    fitted, people = fit(image, poses, SIZE)
    assert fitted.shape == (48, 64, 3)
    assert people.image_size == SIZE
    assert (people.stamp, people.track_id.tolist()) == (9, [4])
    np.testing.assert_allclose(people.xy[0, 0], [15.5 * 4 - 0.5, 11.5 * 4 - 0.5])


def test_fit_nobody() -> None:
    image, people = fit(grey(0), Poses.empty(stamp=3), (32, 24))
    assert image.shape == (24, 32, 3)
    assert len(people) == 0
