"""What the overlay draws, where, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from action_recognition.skeleton import NUM_JOINTS, Joint, Poses
from action_recognition.visualization.overlay import (
    INK,
    PALETTE,
    UNTRACKED,
    Caption,
    colour_of,
    draw_people,
)

SIZES = [(160, 120), (320, 240), (1280, 720)]
GREY = 128


def picture(size: tuple[int, int]) -> np.ndarray:
    return np.full((size[1], size[0], 3), GREY, np.uint8)


def person(size: tuple[int, int], track_id: int = 1, x: float = 0.5) -> Poses:
    """A cross of joints: shoulders, elbows and wrists in a row, hips to ankles downwards."""
    width, height = size
    xy = np.empty((1, NUM_JOINTS, 2))
    xy[0, :2] = [(x, 0.3), (x, 0.4)]
    for first, sign in ((Joint.RIGHT_SHOULDER, -1), (Joint.LEFT_SHOULDER, 1)):
        xy[0, first : first + 3] = [(x + sign * 0.05 * k, 0.4) for k in (1, 2, 3)]
    for first, sign in ((Joint.RIGHT_HIP, -1), (Joint.LEFT_HIP, 1)):
        xy[0, first : first + 3] = [(x + sign * 0.05, 0.6 + 0.15 * k) for k in (0, 1, 2)]
    return Poses(xy * size, np.ones((1, NUM_JOINTS)), [track_id], image_size=(width, height))


def at(image: np.ndarray, poses: Poses, joint: Joint) -> tuple[int, ...]:
    x, y = poses.xy[0, joint].round().astype(int)
    return tuple(image[y, x].tolist())


@pytest.mark.parametrize('size', SIZES)
def test_right_is_the_colour_of_the_person_and_left_is_lighter(size: tuple[int, int]) -> None:
    poses = person(size, track_id=2)
    drawn = draw_people(picture(size), poses)
    right, left = at(drawn, poses, Joint.RIGHT_ELBOW), at(drawn, poses, Joint.LEFT_ELBOW)
    assert right == colour_of(2)
    assert all(a > b for a, b in zip(left, right, strict=True))


def test_the_image_is_left_as_it_is() -> None:
    image = picture((320, 240))
    drawn = draw_people(image, person((320, 240)))
    assert drawn is not image
    assert (image == GREY).all()
    assert (drawn != GREY).any()
    np.testing.assert_array_equal(draw_people(image, Poses.empty()), image)


@pytest.mark.parametrize(
    ('size', 'thickness'), [((320, 240), 6), ((640, 480), 8), ((1920, 1440), 16)]
)
def test_lines_scale_with_the_image(size: tuple[int, int], thickness: int) -> None:
    """Rows drawn on half-way down the right shin, outline and all."""
    poses = person(size)
    drawn = draw_people(picture(size), poses.with_ids([-1]))
    x, y = poses.xy[0, [Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE]].mean(0).round().astype(int)
    across = (drawn[y, : x + 3 * thickness] != GREY).any(1).sum()
    assert across == pytest.approx(thickness, abs=2)


@pytest.mark.parametrize('size', SIZES)
def test_caption_stands_above_the_head(size: tuple[int, int]) -> None:
    poses, image = person(size), picture(size)
    bare = draw_people(image, poses.with_ids([-1]))
    captioned = draw_people(image, poses, {1: Caption('wave', 0.93)})
    rows = np.flatnonzero((captioned != bare).any((1, 2)))
    skeleton_top = np.flatnonzero((bare != image).any((1, 2)))[0]
    caption_rows = np.flatnonzero((captioned == PALETTE[0]).all(2).sum(1) > 5)
    assert caption_rows[0] < skeleton_top
    assert rows[0] >= 0


@pytest.mark.parametrize('x', [-0.3, 0.0, 1.0, 1.2])
def test_captions_stay_inside_the_image(x: float) -> None:
    size = (320, 240)
    drawn = draw_people(picture(size), person(size, x=x), {1: Caption('swing_baseball', 0.5)})
    background = (drawn == PALETTE[0]).all(2).any(0)
    assert background.sum() > 60


def test_captions_of_neighbours_do_not_cover_each_other() -> None:
    size = (640, 480)
    one, two = person(size, 1, 0.45), person(size, 2, 0.5)
    both = Poses(
        np.concatenate([one.xy, two.xy]), np.ones((2, NUM_JOINTS)), [1, 2], image_size=size
    )
    captions = {1: Caption('swing_baseball', 0.5), 2: Caption('swing_baseball', 0.6)}
    alone = (draw_people(picture(size), one, captions) == colour_of(1)).all(2)[:130].sum()
    together = (draw_people(picture(size), both, captions) == colour_of(1)).all(2)[:130].sum()
    assert together > 0.9 * alone


def test_a_candidate_is_inverted() -> None:
    size = (320, 240)
    image, poses = picture(size), person(size)
    sure = draw_people(image, poses, {1: Caption('wave', 0.9)})
    unsure = draw_people(image, poses, {1: Caption('wave', 0.9, confirmed=False)})
    ink = [(drawn[:70] == INK).all(2).sum() for drawn in (sure, unsure)]
    assert ink[1] > 3 * ink[0]


def test_colours() -> None:
    assert colour_of(-1) == UNTRACKED
    assert len({colour_of(i) for i in range(1, len(PALETTE) + 1)}) == len(PALETTE)
    assert colour_of(len(PALETTE) + 1) == colour_of(1)


def test_missing_and_far_away_joints() -> None:
    size = (320, 240)
    poses = person(size)
    xy, score = poses.xy.copy(), poses.score.copy()
    score[0, Joint.LEFT_WRIST] = 0
    xy[0, Joint.RIGHT_ANKLE] = (1e9, -1e9)
    drawn = draw_people(picture(size), Poses(xy, score, [1]), {1: Caption('wave', 1)})
    x, y = poses.xy[0, Joint.LEFT_WRIST].round().astype(int)
    assert tuple(drawn[y, x].tolist()) == (GREY,) * 3
    nobody_seen = Poses(xy, np.zeros_like(score), [1])
    np.testing.assert_array_equal(draw_people(picture(size), nobody_seen), picture(size))


@pytest.mark.parametrize(
    'image', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))]
)
def test_other_images_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match='uint8'):
        draw_people(image, Poses.empty())
