"""The command that helps to choose `decoder.min_score`, `benchmarks/scores.py`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import torch

from action_recognition.datasets.people import Person
from action_recognition.pose.estimator import EstimatorConfig
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.targets import encode

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'scores.py'


class Estimator:
    """Sees the same person in every image, as surely as the image is bright."""

    config = EstimatorConfig(96)

    def __init__(self, xy: np.ndarray) -> None:
        self.targets = encode(torch.tensor(xy)[None, None], torch.tensor([[True]]), (12, 12))

    def maps(self, images: np.ndarray) -> StageOutput:
        sure = float(images.mean()) / 100
        return StageOutput(self.targets.joints * sure, self.targets.limbs)


def picture(brightness: int) -> np.ndarray:
    return np.full((96, 96, 3), brightness, np.uint8)


def test_people_and_ghosts_are_counted_for_every_threshold():
    spec = importlib.util.spec_from_file_location('benchmarks_scores', PATH)
    scores = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scores)
    # On cell centres, so that peaks are as high as they can be.
    rng = np.random.default_rng(0)
    cells = rng.permutation(np.stack(np.mgrid[1:11, 1:11], -1).reshape(-1, 2))[:14]
    xy = (cells * 8 + 3.5).astype(np.float32)
    encoded = cv2.imencode('.png', picture(42))[1].tobytes()
    rows = scores.table(Estimator(xy), [Person(encoded, xy)], [picture(22), picture(37)])
    assert [row['score'] for row in rows] == list(scores.SCORES)
    assert {row['size'] for row in rows} == {96}
    assert [row['pck'] for row in rows] == [float(score <= 0.42) for score in scores.SCORES]
    expected = [((score <= 0.22) + (score <= 0.37)) / 2 for score in scores.SCORES]
    assert [row['ghosts'] for row in rows] == expected
