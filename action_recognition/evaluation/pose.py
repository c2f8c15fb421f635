"""Accuracy of joints: PCK@0.2 of the torso."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from action_recognition.datasets.people import Person, jhmdb_people, lspet_people
from action_recognition.pose.decode import find_peaks
from action_recognition.pose.estimator import PADDING, PoseEstimator
from action_recognition.pose.heads import normalise
from action_recognition.pose.targets import to_pixels
from action_recognition.skeleton import JOINT_NAMES, LIMB_JOINTS, NUM_JOINTS, FloatArray, torso_size

#: A joint is right within this part of the torso size (PCK@0.2).
PCK_FRACTION = 0.2


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
            images, truths = zip(*map(self._fit, people[first : first + batch]), strict=True)
            inputs = torch.from_numpy(np.stack(images)).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                outputs = self.network(normalise(inputs))[-1]
            for maps, truth in zip(outputs.joints.float(), truths, strict=True):
                xy = to_pixels(find_peaks(maps, 0.0, 1).cells[:, 0]).cpu().numpy()
                right.append(correct_joints(xy[None], truth[None])[0])
        return float(np.nanmean(np.stack(right)[:, list(LIMB_JOINTS)]))

    def _fit(self, person: Person) -> tuple[npt.NDArray[np.uint8], FloatArray]:
        """The image scaled into a square, its longer side filling it."""
        image = person.image()
        scale = self.size / max(image.shape[:2])
        matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float64)
        matrix[:, 2] = (self.size - scale * np.array(image.shape[1::-1])) / 2
        fitted = cv2.warpAffine(
            image,
            matrix,
            (self.size, self.size),
            flags=cv2.INTER_AREA,
            borderValue=[float(PADDING)] * 3,
        )
        return fitted, (person.xy * scale + matrix[:, 2]).astype(np.float32)


#: Data sets that `evaluate pose` knows, and which of their people are scored.
SETS = {
    'lspet': lambda root: lspet_people(root, 'validation'),
    'jhmdb': lambda root: jhmdb_people(root, 'test', every=1, crop=True),
}


def best_person(xy: FloatArray) -> FloatArray:
    """The first, most certain person of an estimate (n, 14, 2), or all NaN for nobody."""
    return xy[0] if len(xy) else np.full((NUM_JOINTS, 2), np.nan, np.float32)


def evaluate(
    set_name: str, data: Path, estimator: PoseEstimator, limit: int | None = None
) -> dict[str, Any]:
    """PCK@0.2 of an estimator on images cut loosely round one person.

    The person scored is the estimator's first; a joint it does not give is wrong. Joint 0 is the
    face (for LSP, a point between its neck and its head top).

    Args:
        set_name: one of `SETS`: the last 1000 images of LSP-extended, which we keep for
            validation, or the reliable clips of JHMDB split-1 test.
        data: the folder of that set in its own layout, or a folder that holds it.
        limit: score only this many people, evenly spread.

    Returns:
        pck_limb12, pck_all14, per_joint, n (people), detected (part of them with any joint),
        ms_per_image (median of the whole estimate).
    """
    root = data / set_name if (data / set_name).is_dir() else data
    people = SETS[set_name](root)
    if limit is not None and limit < len(people):
        people = [people[i] for i in np.linspace(0, len(people) - 1, limit).astype(int)]
    right, found, seconds = [], [], []
    for person in tqdm(people, unit='image', desc=set_name, disable=None):
        image = person.image()
        start = time.perf_counter()
        poses = estimator.estimate(image)
        seconds.append(time.perf_counter() - start)
        right.append(correct_joints(best_person(poses.xy)[None], person.xy[None])[0])
        found.append(len(poses) > 0)
    table = np.stack(right)
    return {
        'set': set_name,
        'model': estimator.name,
        'pck_limb12': float(np.nanmean(table[:, list(LIMB_JOINTS)])),
        'pck_all14': float(np.nanmean(table)),
        'per_joint': dict(zip(JOINT_NAMES, np.nanmean(table, 0).tolist(), strict=True)),
        'n': len(people),
        'detected': float(np.mean(found)),
        'ms_per_image': 1e3 * float(np.median(seconds)),
        'device': estimator.device,
        'threads': torch.get_num_threads(),
    }
