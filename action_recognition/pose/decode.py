"""From confidence maps and affinity fields to people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from action_recognition.pose.backbone import STRIDE
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.targets import to_pixels
from action_recognition.skeleton import FLIP, LIMBS, NUM_JOINTS, FloatArray
from action_recognition.threads import one_torch_thread

#: How far from the middle of a person a joint may lie to which no limb leads, in parts of the
#: longer side of the box round the joints that limbs do lead to.
REACH = 0.9
#: The joints that there are twice.
RIGHT = np.array([joint for joint in range(NUM_JOINTS) if FLIP[joint] > joint])
LEFT = np.array(FLIP)[RIGHT]
#: Pixels of the network's input within which a left and a right joint were taken for one, and from
#: which on their places are two; and how high, beside the first choice, another peak must be.
TOGETHER, APART, RIVAL = STRIDE, 1.5 * STRIDE, 0.8


@dataclass(frozen=True)
class DecoderConfig:
    """What counts as a joint, a limb, a person.

    Attributes:
        joint_threshold: least height of a peak in a confidence map.
        limb_threshold: least mean of the field along a limb.
        samples: points along a limb at which its field is read.
        min_joints: a person has at least this many joints ...
        min_score: ... and at least this mean confidence over those found.
        max_people: peaks kept per joint, and the most people found.
    """

    joint_threshold: float = 0.12
    limb_threshold: float = 0.05
    samples: int = 10
    min_joints: int = 5
    min_score: float = 0.4
    max_people: int = 16


class Peaks(NamedTuple):
    """The best peaks of every map, best first.

    Attributes:
        cells: (..., k, 2) x, y in cells, sub-cell.
        score: (..., k) height, 0 where there are fewer than k peaks.
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
    """Local maxima of (..., h, w) confidence maps (3 or 4 dimensions), with sub-cell positions.

    Of neighbouring cells that are equally high, as half-precision maps often have them, the first
    counts. The target of a joint is a Gaussian, so a parabola through the logarithm of three
    neighbouring cells finds its centre exactly.
    """
    height, width = maps.shape[-2:]
    framed = F.pad(maps, (1, 1, 1, 1), value=-torch.inf)
    rows = F.max_pool2d(framed, (1, 3), 1)
    before = torch.maximum(rows[..., :-2, :], framed[..., 1:-1, :-2])
    after = torch.maximum(rows[..., 2:, :], framed[..., 1:-1, 2:])
    score, index = (
        torch.where((maps > before) & (maps >= after), maps, -1)
        .flatten(-2)
        .topk(min(count, height * width))
    )
    around = torch.stack([index, index - 1, index + 1, index - width, index + width], -2)
    cells = around.clamp(0, height * width - 1).flatten(-2)
    values = maps.flatten(-2).gather(-1, cells).clamp_min(1e-4).log()
    middle, left, right, above, below = values.unflatten(-1, (5, -1)).unbind(-2)
    x, y = index % width, index // width
    cells = torch.stack(
        [
            x + _vertex(left, middle, right) * ((x > 0) & (x < width - 1)),
            y + _vertex(above, middle, below) * ((y > 0) & (y < height - 1)),
        ],
        -1,
    )
    return Peaks(cells, torch.where(score >= threshold, score, 0))


def _vertex(before: Tensor, middle: Tensor, after: Tensor) -> Tensor:
    """Offset in [-0.5, 0.5] of the vertex of the parabola through three values."""
    curvature = (2 * middle - before - after).clamp_min(1e-3)
    return ((after - before) / (2 * curvature)).clamp(-0.5, 0.5)


@lru_cache
@torch.inference_mode(False)  # what is kept must be of use outside as well
def _constants(device: torch.device, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """First and second joint of every limb, and where along it to look: made once on a device."""
    start, end = torch.tensor(LIMBS, device=device).T
    return start, end, torch.linspace(0, 1, samples, device=device)


def limb_scores(fields: Tensor, cells: Tensor, samples: int) -> Tensor:
    """Mean of the affinity field along every candidate limb, in the limb's own direction.

    Args:
        fields: (n, 26, h, w) part affinity fields.
        cells: (n, 14, k, 2) candidate joints, in cells.

    Returns:
        (n, 13, k, k): limb, candidate for its first joint, candidate for its second.
    """
    first, second, steps = _constants(cells.device, samples)
    n, _, height, width = fields.shape
    limbs, count = len(LIMBS), cells.shape[2]
    start = cells[:, first, :, None].flatten(0, 1)
    vector = cells[:, second, None].flatten(0, 1) - start
    unit = vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-3)
    x, y = (start[..., None, :] + steps[:, None] * vector[..., None, :]).unbind(-1)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    field = F.grid_sample(
        fields.reshape(n * limbs, 2, height, width), grid.flatten(2, 3), align_corners=False
    )
    mean = field.view(n * limbs, 2, count, count, samples).mean(-1)
    return (mean[:, 0] * unit[..., 0] + mean[:, 1] * unit[..., 1]).view(n, limbs, count, count)


def assemble(
    cells: FloatArray, score: FloatArray, limbs: FloatArray, config: DecoderConfig
) -> npt.NDArray[np.int64]:
    """Join the candidate joints of one image to people along the limbs.

    Limb by limb, each pair of joint types is matched as an assignment problem; joints that are
    linked belong together. The limbs are a tree, so nobody gets two joints of a kind. What is left
    over goes to people who lack it (`_complete`), and where left and right were taken to be in
    one place, they get two if there are two (`_part`).

    Args:
        cells: (14, k, 2) places of the candidates, in pixels of the network's input.
        score: (14, k) height of the candidates, best first, 0 for none.
        limbs: (13, k, k) from `limb_scores`.

    Returns:
        (n, 14) index of each person's candidate, -1 for none; the most certain and most complete
        person first.
    """
    counts = (score > 0).sum(1)
    groups = {(joint, k): {joint: k} for joint in range(NUM_JOINTS) for k in range(counts[joint])}
    for (a, b), gains in zip(LIMBS, limbs, strict=True):  # from the neck outwards
        gain = gains[: counts[a], : counts[b]]
        linked = gain >= config.limb_threshold
        pairs = linear_sum_assignment(np.where(linked, gain, 0), maximize=True)
        for i, j in zip(*(part[linked[pairs]].tolist() for part in pairs), strict=True):
            groups[a, i][b] = j
            groups[b, j] = groups[a, i]
    people = []
    for group in {id(group): group for group in groups.values()}.values():
        if len(group) >= config.min_joints:
            total = sum(score[joint, k].item() for joint, k in group.items())
            if total >= config.min_score * len(group):
                people.append((total, group))
    people.sort(key=lambda person: -person[0])
    del people[config.max_people :]  # parts of one person may count as several
    index = np.full((len(people), NUM_JOINTS), -1, np.int64)
    for row, (_, group) in zip(index, people, strict=True):
        row[list(group)] = list(group.values())
    _complete(index, cells, counts)
    _part(index, cells, score)
    return index


def _complete(
    index: npt.NDArray[np.int64], cells: FloatArray, counts: npt.NDArray[np.int64]
) -> None:
    """Give each joint that nobody has to the nearest person within `REACH` who lacks it.

    The highest peaks come first. The limbs of such joints said nothing, as those of covered and
    of foreshortened ones do.
    """
    joint, seen = np.arange(NUM_JOINTS), index >= 0
    if seen.all():
        return
    boxes = [(cells[joint[has], row[has]], row) for row, has in zip(index, seen, strict=True)]
    people = [(box.mean(0), REACH * np.ptp(box, 0).max(), row) for box, row in boxes]
    for j in np.flatnonzero(~seen.all(0)).tolist():
        taken = set(index[:, j].tolist())
        for k in range(counts[j]):
            near = [
                (distance / reach, i)
                for i, (middle, reach, row) in enumerate(people)
                if row[j] < 0 and (distance := np.hypot(*(cells[j, k] - middle))) < reach
            ]
            if near and k not in taken:
                people[min(near)[1]][2][j] = k


def _part(index: npt.NDArray[np.int64], cells: FloatArray, score: FloatArray) -> None:
    """Give two places to the left and the right joint of somebody for whom both chose the same.

    Where left and right are hard to tell, both maps have peaks at both, and the higher one may be
    the same in both. Then the two places are chosen together: the pair of them with the highest
    peaks, of those that nobody else has and that are nearly as high (`RIVAL`) as the first choice.
    """
    one, other = index[:, RIGHT], index[:, LEFT]
    both = (one >= 0) & (other >= 0)
    distance = np.linalg.norm(cells[RIGHT, one] - cells[LEFT, other], axis=-1)
    for row, pair in zip(*np.nonzero(both & (distance < TOGETHER)), strict=True):
        choices = []
        for joint in RIGHT[pair], LEFT[pair]:
            taken = np.delete(index[:, joint], row)
            rivals = np.flatnonzero(score[joint] >= RIVAL * score[joint, index[row, joint]])
            choices.append((joint, np.setdiff1d(rivals, taken)))
        (a, rights), (b, lefts) = choices
        gap = np.linalg.norm(cells[a, rights][:, None] - cells[b, lefts], axis=-1)
        sure = np.where(gap > APART, score[a, rights][:, None] + score[b, lefts], 0)
        i, j = np.unravel_index(sure.argmax(), sure.shape)
        if sure[i, j] > 0:
            index[row, a], index[row, b] = rights[i], lefts[j]


@torch.inference_mode()
def decode(output: StageOutput, config: DecoderConfig) -> list[People]:
    """The people of every image of a batch.

    Candidates are found and limbs are measured on the device of the maps, for all images at once;
    what comes of it crosses to the host in one piece.

    Args:
        output: maps of n images, (n, 14, h, w) and (n, 26, h, w).
    """
    with one_torch_thread():
        peaks = find_peaks(output.joints, config.joint_threshold, config.max_people)
        if peaks.score.device.type == 'cpu':
            # Only where it needs no waiting for a device: most images have few candidates.
            most = max(int((peaks.score > 0).sum(-1).max()), 1)
            peaks = Peaks(peaks.cells[:, :, :most], peaks.score[:, :, :most])
        limbs = limb_scores(output.limbs, peaks.cells, config.samples)
        found = (to_pixels(peaks.cells), peaks.score.clamp_max(1), limbs)
        table = torch.cat([part.flatten(1) for part in found], 1).cpu().numpy()
    ends = np.cumsum([part[0].numel() for part in found])
    people = []
    for row in table:
        xy, score, limb = (
            values.reshape(part.shape[1:])
            for values, part in zip(np.split(row, ends[:-1]), found, strict=True)
        )
        index = assemble(xy, score, limb, config)
        joint, seen = np.arange(NUM_JOINTS), index >= 0
        people.append(
            People(
                np.where(seen[..., None], xy[joint, index], np.float32(np.nan)),
                np.where(seen, score[joint, index], np.float32(0)),
            )
        )
    return people
