"""Rows of small pictures."""

import numpy as np

from action_recognition.visualization.sheet import GAP, SIDE, TITLE, sheet


def cell(shade, size=(100, 50)):
    image = np.full((*size, 3), shade, np.uint8)
    joints = np.full((14, 2), np.nan, np.float32)
    return image, joints, joints, ''


def test_each_picture_fills_its_square_by_its_longer_side():
    page = sheet({'best': [cell(90), cell(200, (50, 100))], 'worst': [cell(30)]})
    assert page.shape == (2 * (TITLE + SIDE + GAP) + GAP, 3 * GAP + 2 * SIDE, 3)

    def square(row, column):
        top, left = row * (TITLE + SIDE + GAP) + TITLE, GAP + column * (SIDE + GAP)
        return page[top : top + SIDE, left : left + SIDE]

    middle = SIDE // 2
    assert (square(0, 0)[[5, -25], middle] == 90).all()  # upright: top to bottom
    assert (square(0, 0)[middle, [5, -5]] == 25).all()  # with bars beside it
    assert (square(0, 1)[middle, [5, -5]] == 200).all()
    assert (square(1, 0)[middle, middle] == 30).all()
    assert (square(1, 1) == 255).all()


def test_estimate_and_truth_are_drawn_where_they_are():
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    estimate = np.full((14, 2), np.nan, np.float32)
    truth = estimate.copy()
    estimate[[1, 2]] = (40, 60), (40, 160)
    truth[[1, 2]] = (150, 60), (150, 160)
    page = sheet({'row': [(image, estimate, truth, '2/2')]})
    picture = page[TITLE : TITLE + SIDE, GAP : GAP + SIDE]
    assert (picture[110, 150] > 200).all()  # white
    coloured = picture[110, 40].astype(int)
    assert coloured.max() > 100
    assert np.ptp(coloured) > 50
    assert (picture[110, 95] == 0).all()


def test_no_pictures_is_an_empty_page():
    assert sheet({}).size > 0
    assert (sheet({'best': []})[TITLE:] == 255).all()
