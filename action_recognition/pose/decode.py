"""From confidence maps and affinity fields to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from action_recognition.pose.heads import StageOutput
from action_recognition.pose.targets import to_pixels
from action_recognition.skeleton import LIMBS, NUM_JOINTS, FloatArray


@dataclass(frozen=True)
class DecoderConfig:
    """What counts as a joint, a limb, a person.

    Attributes:
        joint_threshold: least height of a peak in a confidence map.
        limb_threshold: least mean of the field along a limb.
        samples: points along a limb at which its field is read.
        min_joints: a person has at least this many joints ...
        min_score: ... and at least this mean confidence over those found.
        max_people: peaks kept per joint, and so the most people found.
    """

    joint_threshold: float = 0.12
    limb_threshold: float = 0.05
    samples: int = 10
    min_joints: int = 5
    min_score: float = 0.2
    max_people: int = 16


class Peaks(NamedTuple):
    """The best peaks of every joint's map, best first.

    Attributes:
        cells: (14, k, 2) x, y in cells, sub-cell.
        score: (14, k) height, 0 where there are fewer than k peaks.
    """

    cells: Tensor
    score: Tensor


class People(NamedTuple):
    """The people of one image, the most certain and most complete first.

    Attributes:
        xy: (n, 14, 2) pixels of the network's input, NaN = not found.
        score: (n, 14) in [0, 1], 0 where not found.
    """

    xy: FloatArray
    score: FloatArray


def find_peaks(maps: Tensor, threshold: float, count: int) -> Peaks:
    """Local maxima of (14, h, w) confidence maps, with sub-cell positions.

    The target of a joint is a Gaussian, so a parabola through the logarithm of three neighbouring
    cells finds its centre exactly.
    """
    joints, height, width = maps.shape
    local = F.max_pool2d(maps[None], 3, 1, 1)[0]
    score, index = torch.where(maps == local, maps, -1).flatten(1).topk(min(count, height * width))
    y, x = index // width, index % width
    log = maps.clamp_min(1e-4).log()
    row = torch.arange(joints, device=maps.device)[:, None]
    cells = torch.stack(
        [
            x + _vertex(log, row, y, x, 0, 1, width - 1),
            y + _vertex(log, row, y, x, 1, 0, height - 1),
        ],
        -1,
    )
    return Peaks(cells, torch.where(score >= threshold, score, 0))


def _vertex(log: Tensor, row: Tensor, y: Tensor, x: Tensor, dy: int, dx: int, last: int) -> Tensor:
    """Offset in [-0.5, 0.5] of the parabola's vertex along one axis, 0 at the border."""
    position = x if dx else y
    inner = (position > 0) & (position < last)
    down = log[row, (y - dy).clamp_min(0), (x - dx).clamp_min(0)]
    up = log[row, (y + dy).clamp_max(log.shape[1] - 1), (x + dx).clamp_max(log.shape[2] - 1)]
    curvature = 2 * log[row, y, x] - down - up
    offset = (up - down) / (2 * curvature.clamp_min(1e-3))
    return torch.where(inner, offset.clamp(-0.5, 0.5), 0)


def limb_scores(fields: Tensor, cells: Tensor, samples: int) -> Tensor:
    """Mean of the affinity field along every candidate limb, in the limb's own direction.

    Args:
        fields: (26, h, w) part affinity fields.
        cells: (14, k, 2) candidate joints, in cells.

    Returns:
        (13, k, k): limb, candidate for its first joint, candidate for its second.
    """
    height, width = fields.shape[1:]
    ends = torch.tensor(LIMBS, device=cells.device)
    start, end = cells[ends[:, 0]][:, :, None], cells[ends[:, 1]][:, None]
    vector = end - start
    unit = vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-3)
    steps = torch.linspace(0, 1, samples, device=cells.device)[:, None]
    points = start[..., None, :] + steps * vector[..., None, :]
    size = torch.tensor([width, height], device=cells.device)
    grid = (2 * points + 1) / size - 1
    limbs, count = points.shape[:2]
    field = F.grid_sample(
        fields.view(limbs, 2, height, width),
        grid.view(limbs, count, count * samples, 2),
        align_corners=False,
    )
    field = field.view(limbs, 2, count, count, samples)
    return torch.einsum('lxijs,lijx->lij', field, unit) / samples


def assemble(
    score: FloatArray, limbs: FloatArray, config: DecoderConfig
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Join candidate joints to people along the limbs.

    Limb by limb, each pair of joint types is matched as an assignment problem; then joints that
    are linked belong together. Where two groups would give a person a second joint of a kind,
    the weaker link is cut.

    Args:
        score: (14, k) height of the candidates, 0 for none.
        limbs: (13, k, k) from `limb_scores`.

    Returns:
        (n, 14) index of each person's candidate, -1 for none; (n,) mean height of those found.
    """
    links = []
    for limb, (a, b) in enumerate(LIMBS):
        rows, columns = np.flatnonzero(score[a]), np.flatnonzero(score[b])
        gain = limbs[limb][np.ix_(rows, columns)]
        for i, j in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if gain[i, j] >= config.limb_threshold:
                links.append((float(gain[i, j]), (a, int(rows[i])), (b, int(columns[j]))))
    groups: dict[tuple[int, int], dict[int, int]] = {
        (joint, int(k)): {joint: int(k)}
        for joint in range(NUM_JOINTS)
        for k in np.flatnonzero(score[joint])
    }
    for _, first, second in sorted(links, reverse=True):
        one, two = groups[first], groups[second]
        if one is two or one.keys() & two.keys():
            continue
        one.update(two)
        for node in two.items():
            groups[node] = one
    people = []
    for group in {id(group): group for group in groups.values()}.values():
        mean = float(np.mean([score[joint, k] for joint, k in group.items()]))
        if len(group) >= config.min_joints and mean >= config.min_score:
            people.append((mean, group))
    people.sort(key=lambda person: -person[0] * len(person[1]))
    index = np.full((len(people), NUM_JOINTS), -1, np.int64)
    for row, (_, group) in enumerate(people):
        index[row, list(group)] = list(group.values())
    return index, np.array([mean for mean, _ in people], np.float32)


def decode(output: StageOutput, config: DecoderConfig) -> list[People]:
    """The people of every image of a batch.

    Args:
        output: maps of n images, (n, 14, h, w) and (n, 26, h, w).
    """
    return [
        _decode_one(StageOutput(joints, limbs), config)
        for joints, limbs in zip(*output, strict=True)
    ]


def _decode_one(output: StageOutput, config: DecoderConfig) -> People:
    peaks = find_peaks(output.joints.float(), config.joint_threshold, config.max_people)
    limbs = limb_scores(output.limbs.float(), peaks.cells, config.samples)
    score = peaks.score.clamp(0, 1).cpu().numpy()
    index, _ = assemble(score, limbs.cpu().numpy(), config)
    joint = np.arange(NUM_JOINTS)
    found = index >= 0
    xy = to_pixels(peaks.cells).cpu().numpy()[joint, index]
    return People(np.where(found[..., None], xy, np.nan), np.where(found, score[joint, index], 0))
