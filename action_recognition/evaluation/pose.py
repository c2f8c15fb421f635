"""Accuracy of joints: PCK@0.2 of the torso."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn
from tqdm import tqdm

from action_recognition.datasets.coco import load_coco
from action_recognition.datasets.people import (
    MIN_JOINTS,
    Person,
    beside,
    coco_people,
    jhmdb_people,
    lspet_people,
    read_image,
)
from action_recognition.evaluation.common import expected_calibration_error
from action_recognition.pose.decode import find_peaks
from action_recognition.pose.estimator import PADDING, PoseEstimator
from action_recognition.pose.heads import normalise
from action_recognition.pose.targets import to_pixels
from action_recognition.skeleton import JOINT_NAMES, LIMB_JOINTS, NUM_JOINTS, FloatArray, torso_size
from action_recognition.tracking.similarity import oks
from action_recognition.visualization.sheet import sheet

Item = TypeVar('Item')

#: A joint is right within this part of the torso size (PCK@0.2).
PCK_FRACTION = 0.2
#: Every n-th frame is looked at for people who are not there.
GHOST_EVERY = 10


def correct_joints(xy: FloatArray, truth: FloatArray) -> npt.NDArray[np.float32]:
    """Which joints are right, by PCK@0.2 of the larger shoulder-to-opposite-hip diagonal.

    Args:
        xy: (n, 14, 2) estimates in pixels, NaN = not found, which is wrong.
        truth: (n, 14, 2), NaN = unlabelled, which does not count.

    Returns:
        (n, 14) 1 right, 0 wrong, NaN where it does not count: unlabelled, or no torso to measure.
    """
    distance = np.linalg.norm(xy - truth, axis=-1)
    torso = torso_size(truth)[:, None]
    right = (distance <= PCK_FRACTION * torso).astype(np.float32)
    counts = np.isfinite(truth).all(-1) & np.isfinite(torso)
    return np.where(counts, right, np.nan).astype(np.float32)


def fit_square(person: Person, size: int) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """The image of a person scaled into a square, its longer side filling it; joints moved along.

    Returns:
        (size, size, 3) uint8 BGR and (14, 2) pixels in it, NaN where unlabelled.
    """
    image = person.image()
    scale = size / max(image.shape[:2])
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float64)
    matrix[:, 2] = (size - scale * np.array(image.shape[1::-1])) / 2
    fitted = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=[float(PADDING)] * 3
    )
    return fitted, (person.xy * scale + matrix[:, 2]).astype(np.float32)


class MapPck:
    """Quick PCK of a network by the highest peak of each map, on one person in the middle.

    Used while training; `evaluate pose` scores the whole estimator instead.
    """

    def __init__(self, network: nn.Module, device: torch.device, size: int) -> None:
        self.network = network
        self.device = device
        self.size = size

    @torch.inference_mode()
    def __call__(self, people: list[Person], batch: int = 50) -> float:
        """PCK@0.2 of the 12 limb joints ."""
        right = []
        for first in range(0, len(people), batch):
            images, truths = zip(
                *(fit_square(person, self.size) for person in people[first : first + batch]),
                strict=True,
            )
            inputs = torch.from_numpy(np.stack(images)).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                outputs = self.network(normalise(inputs))[-1]
            for maps, truth in zip(outputs.joints.float(), truths, strict=True):
                xy = to_pixels(find_peaks(maps, 0.0, 1).cells[:, 0]).cpu().numpy()
                right.append(correct_joints(xy[None], truth[None])[0])
        return float(np.nanmean(np.stack(right)[:, list(LIMB_JOINTS)]))


#: Data sets that `evaluate pose` knows, and which of their people are scored.
SETS = {
    'lspet': lambda root: lspet_people(root, 'validation'),
    'jhmdb': lambda root: jhmdb_people(root, 'test', every=1, crop=True),
    'coco': coco_people,
}


class Answer(NamedTuple):
    """What an estimator said of one person, beside the truth.

    Attributes:
        person: the image and its true joints.
        xy, score: (14, 2) pixels and (14,) of the person it is surest of; NaN and 0 for a joint
            that it does not give, and for all of them if it sees nobody.
        right: (14,) as `correct_joints`.
        seconds: of the whole estimate.
    """

    person: Person
    xy: FloatArray
    score: FloatArray
    right: FloatArray
    seconds: float


def ask(estimator: PoseEstimator, person: Person) -> Answer:
    """An estimator's answer about an image cut loosely round one person."""
    image = person.image()
    start = time.perf_counter()
    poses = estimator.estimate(image)
    seconds = time.perf_counter() - start
    xy, score = np.full((NUM_JOINTS, 2), np.nan, np.float32), np.zeros(NUM_JOINTS, np.float32)
    if len(poses):
        xy, score = poses.xy[0], poses.score[0]
    return Answer(person, xy, score, correct_joints(xy[None], person.xy[None])[0], seconds)


def evaluate(
    set_name: str,
    data: Path,
    estimator: PoseEstimator,
    limit: int | None = None,
    report: Path | None = None,
) -> dict[str, Any]:
    """PCK@0.2 of an estimator on images cut loosely round one person.

    The person scored is the estimator's first; a joint it does not give is wrong. Joint 0 is the
    face (for LSP, a point between its neck and its head top).

    Args:
        set_name: one of `SETS`: the last 1000 images of LSP-extended, which we keep for
            validation, the reliable clips of JHMDB split-1 test, or COCO val2017.
        data: the folder of that set in its own layout, or a folder that holds it.
        limit: score only this many people, evenly spread.
        report: an existing folder for `sheet.jpg`, the best, median and worst answers.

    Returns:
        pck_limb12, pck_all14, per_joint, n (people), detected (part of them with any joint),
        score_ece (of the scores of joints as probabilities that they are right) and
        score_ece_per_joint, ms_per_image (median of the whole estimate); for coco also
        `pck_full_frame_limb12` and `n_full_frame`, of whole photographs (`full_frame`); for jhmdb
        `ghosts_per_image` and `n_empty`, of what is beside the people (`ghosts`).
    """
    root = data / set_name if (data / set_name).is_dir() else data
    people = spread(SETS[set_name](root), limit)
    answers = [ask(estimator, p) for p in tqdm(people, unit='image', desc=set_name, disable=None)]
    table = np.stack([answer.right for answer in answers])
    score = np.stack([answer.score for answer in answers])
    if report:
        cv2.imwrite(str(report / 'sheet.jpg'), picture_sheet(answers))
    return {
        'set': set_name,
        'model': estimator.name,
        'pck_limb12': float(np.nanmean(table[:, list(LIMB_JOINTS)])),
        'pck_all14': float(np.nanmean(table)),
        'per_joint': dict(zip(JOINT_NAMES, np.nanmean(table, 0).tolist(), strict=True)),
        'n': len(people),
        'detected': float(np.mean((score > 0).any(1))),
        'score_ece': score_ece(score, table),
        'score_ece_per_joint': {
            name: score_ece(score[:, j], table[:, j]) for j, name in enumerate(JOINT_NAMES)
        },
        **(full_frame(root, estimator, limit) if set_name == 'coco' else {}),
        **(ghosts(root, estimator, limit) if set_name == 'jhmdb' else {}),
        'ms_per_image': 1e3 * float(np.median([answer.seconds for answer in answers])),
        'device': estimator.device,
        'threads': torch.get_num_threads(),
    }


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """So many of the items, evenly spread; all of them without a limit."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, limit).astype(int)]


def score_ece(score: FloatArray, right: FloatArray) -> float | None:
    """Expected calibration error of the scores of the joints found; None if none counts.

    Args:
        score: 0 where a joint was not found, which does not count.
        right: the same shape, as `correct_joints`.
    """
    counts = (score > 0) & np.isfinite(right)
    if not counts.any():
        return None
    return expected_calibration_error(score[counts], right[counts])


def ghosts(root: Path, estimator: PoseEstimator, limit: int | None) -> dict[str, Any]:
    """People seen where nobody is: left and right of the one person in frames of JHMDB.

    A few of these pictures do show a bystander, so the figure is not 0 even for a perfect
    estimator; it serves to compare two of them.
    """
    people = spread(jhmdb_people(root, 'test', GHOST_EVERY), limit)
    strips = [strip for person in people for strip in beside(person)]
    bar = tqdm(strips, unit='image', desc='nobody there', disable=None)
    found = [len(estimator.estimate(np.ascontiguousarray(strip))) for strip in bar]
    return {'ghosts_per_image': float(np.mean(found)) if found else None, 'n_empty': len(found)}


def full_frame(root: Path, estimator: PoseEstimator, limit: int | None) -> dict[str, Any]:
    """PCK@0.2 on the whole photographs of COCO, people paired by their likeness (OKS).

    A person whom the estimator does not see has no joint right; people that are not there cost
    nothing, unlike in the average precision of COCO.
    """
    right: list[FloatArray] = []
    for photograph in tqdm(spread(load_coco(root), limit), unit='image', disable=None):
        truth, poses = photograph.xy, estimator.estimate(read_image(photograph.path))
        labelled = np.isfinite(truth).all(-1)
        alike = oks(np.nan_to_num(truth), labelled, np.nan_to_num(poses.xy), poses.score)
        xy = np.full_like(truth, np.nan)
        for row, column in zip(*linear_sum_assignment(-alike), strict=True):
            if alike[row, column] > 0:
                xy[row] = poses.xy[column]
        right.extend(correct_joints(xy, truth)[labelled.sum(-1) >= MIN_JOINTS])
    pck = float(np.nanmean(np.stack(right)[:, list(LIMB_JOINTS)])) if right else None
    return {'pck_full_frame_limb12': pck, 'n_full_frame': len(right)}


def picture_sheet(answers: Sequence[Answer], columns: int = 8) -> npt.NDArray[np.uint8]:
    """The best, median and worst answers, one row each, (h, w, 3) BGR; the truth is white."""
    scored = [answer for answer in answers if np.isfinite(answer.right).any()]
    ranked = sorted(scored, key=lambda answer: -float(np.nanmean(answer.right)))
    columns = min(columns, len(ranked))
    middle = max((len(ranked) - columns) // 2, 0)
    rows = {
        'best': ranked[:columns],
        'median': ranked[middle : middle + columns],
        'worst': ranked[len(ranked) - columns :],
    }
    return sheet(
        {
            name: [
                (
                    answer.person.image(),
                    answer.xy,
                    answer.person.xy,
                    f'{np.nansum(answer.right):.0f}/{np.isfinite(answer.right).sum()}',
                )
                for answer in row
            ]
            for name, row in rows.items()
        }
    )
