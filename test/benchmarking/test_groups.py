"""The command that scores several people in one image, `benchmarks/groups.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from action_recognition.datasets.people import Person
from action_recognition.pose.decode import People
from action_recognition.pose.estimator import PADDING, EstimatorConfig, NetworkEstimator
from action_recognition.pose.heads import PoseNetwork
from action_recognition.pose.torch_runtime import TorchRuntime

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'groups.py'
BODY = np.stack([np.tile([12, 32, 52, 52, 52, 12, 12], 2), np.linspace(4, 60, 14)], 1)
BODY = BODY.astype(np.float32)


@pytest.fixture(scope='module')
def groups():
    """The module `benchmarks/groups.py`."""
    spec = importlib.util.spec_from_file_location('benchmarks_groups', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def person(brightness):
    picture = np.full((64, 64, 3), brightness, np.uint8)
    return Person(cv2.imencode('.png', picture)[1].tobytes(), BODY)


def test_people_stand_side_by_side_and_cover_each_other(groups):
    group = groups.side_by_side([person(50), person(150), person(250)], 64, 0.25)
    assert group.image.shape == (64, 160, 3)
    assert group.image[0, :, 0].tolist() == [50] * 48 + [150] * 48 + [250] * 64
    np.testing.assert_allclose(group.xy[2], BODY + np.array([96, 0]))
    covered = BODY[:, 0] > 48
    np.testing.assert_array_equal(np.isnan(group.xy[1, :, 0]), covered)
    np.testing.assert_allclose(group.xy[1, ~covered], BODY[~covered] + np.array([48, 0]))


def test_images_of_any_size_are_padded_to_whole_cells(groups):
    """Of 8 pixels, for the network takes no others."""
    people = [person(50), person(150)]
    image = groups.side_by_side(people, 100, 0.25).image
    assert image.shape == (104, 176, 3)
    assert image[96, [40, 120], 0].tolist() == [50, 150]
    assert (image[100:] == PADDING).all()
    assert (image[:, 175:] == PADDING).all()
    network = NetworkEstimator(
        TorchRuntime(PoseNetwork(1).eval(), torch.device('cpu')), EstimatorConfig(100), 'untrained'
    )
    assert len(network.people(image[None])) == 1


class Estimator:
    """Sees these people in every image."""

    def __init__(self, *people):
        xy = np.stack(people).astype(np.float32)
        self.found = People(xy, np.ones(xy.shape[:2], np.float32))

    def people(self, images):
        return [self.found] * len(images)


def test_found_missed_and_made_up_people_are_counted(groups):
    group = groups.side_by_side([person(50), person(150)], 64, 0)
    one, two = group.xy
    right = {'people': 2, 'images': 2, 'pck': 1.0, 'found': 1.0, 'extra': 0.0}
    assert groups.figures(Estimator(two, one), [group, group]) == right
    far = one + np.array([1000, 1000])
    half = {'people': 2, 'images': 1, 'pck': 0.5, 'found': 0.5, 'extra': 1.0}
    assert groups.figures(Estimator(far, one), [group]) == half
