"""What the network should say: confidence maps, affinity fields, and the loss (equations 1-3).

A cell of the maps covers 8x8 pixels; cell (i, j) has its centre at pixel (8 j + 3.5, 8 i + 3.5).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from action_recognition.pose.backbone import STRIDE
from action_recognition.pose.heads import StageOutput
from action_recognition.skeleton import LIMBS

#: Standard deviation of a joint's peak, in cells.
SIGMA = 1.0
#: Half the width of a limb's field, in cells.
LIMB_WIDTH = 1.0
#: How far from a person, in parts of the person's size, the labels surely hold.
SURROUNDINGS = 0.25
#: Weight of the loss farther away. The data sets label one person per image, so other people may
#: stand there unlabelled; but mostly nobody does, and with no weight at all the network would
#: never learn what an empty background looks like.
ELSEWHERE = 0.1
#: Extra weight of a joint's own peak. Nearly all cells of a map are background, and without it
#: training rests long at predicting nothing.
PEAK_WEIGHT = 4.0


class Targets(NamedTuple):
    """What one batch should give, and where that is known.

    Attributes:
        joints: (n, 14, h, w) confidence maps S*.
        limbs: (n, 26, h, w) part affinity fields L*.
        joint_weight: (n, 14, h, w) W of equation (2), 0 where nothing is known.
        limb_weight: (n, 26, h, w) W of equation (3).
    """

    joints: Tensor
    limbs: Tensor
    joint_weight: Tensor
    limb_weight: Tensor


def to_cells(xy: Tensor) -> Tensor:
    """Pixels of the network's input to (fractional) cells of its maps."""
    return (xy - (STRIDE - 1) / 2) / STRIDE


def to_pixels(cells: Tensor) -> Tensor:
    """Cells of the maps to pixels of the network's input; the inverse of `to_cells`."""
    return cells * STRIDE + (STRIDE - 1) / 2


def encode(xy: Tensor, labelled: Tensor, size: tuple[int, int]) -> Targets:
    """Targets of a batch of images with up to p people each.

    Args:
        xy: (n, p, 14, 2) joints in pixels of the network's input, NaN where unlabelled.
        labelled: (n, p) True where a row is a person; an image without one surely shows nobody.
        size: (h, w) of the maps, in cells.

    Returns:
        The targets; a joint that is not labelled weighs 0 near its person in its own map and in
        the fields of its limbs, for it may be anywhere there.
    """
    height, width = size
    rows = torch.arange(height, device=xy.device, dtype=torch.float32)
    columns = torch.arange(width, device=xy.device, dtype=torch.float32)
    cells = to_cells(xy)
    known = torch.isfinite(xy).all(-1) & labelled[..., None]
    safe = torch.where(known[..., None], cells, torch.full_like(cells, -1e4))

    dx = columns - safe[..., 0, None]
    dy = rows - safe[..., 1, None]
    gaussian = torch.exp(-(dy[..., :, None] ** 2 + dx[..., None, :] ** 2) / (2 * SIGMA**2))
    joints = gaussian.amax(1)

    limbs, limb_known = _limb_fields(safe, known, rows, columns)

    near = _near(cells, known, rows, columns)
    empty = ~labelled.any(1)[:, None, None]
    base = torch.where(near.any(1) | empty, 1.0, ELSEWHERE)[:, None]
    # A joint that is labelled counts even where another person's unlabelled one may hide.
    joint_weight = torch.where(joints > 0.5, 1.0, base * ~_hidden(near, ~known, labelled))
    joint_weight = joint_weight * (1 + PEAK_WEIGHT * joints)
    limb_weight = (base * ~_hidden(near, ~limb_known, labelled)).repeat_interleave(2, 1)
    return Targets(joints, limbs, joint_weight, limb_weight)


def _limb_fields(
    cells: Tensor, known: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """(n, 26, h, w) mean of the unit vectors of the limbs that cross a cell; (n, p, 13) known."""
    start = torch.tensor([a for a, _ in LIMBS], device=cells.device)
    end = torch.tensor([b for _, b in LIMBS], device=cells.device)
    known = known[:, :, start] & known[:, :, end]
    a, vector = cells[:, :, start], cells[:, :, end] - cells[:, :, start]
    length = vector.norm(dim=-1).clamp_min(1e-3)
    unit = vector / length[..., None]
    dx = (columns - a[..., 0, None])[..., None, :]
    dy = (rows - a[..., 1, None])[..., :, None]
    ux, uy = unit[..., 0, None, None], unit[..., 1, None, None]
    along = dx * ux + dy * uy
    across = (dx * uy - dy * ux).abs()
    reach = length[..., None, None]
    inside = (along >= -0.5) & (along <= reach + 0.5) & (across <= LIMB_WIDTH)
    inside &= known[..., None, None]
    count = inside.sum(1).clamp_min(1)
    fields = torch.stack([(inside * ux).sum(1) / count, (inside * uy).sum(1) / count], 2)
    return fields.flatten(1, 2), known


def _hidden(near: Tensor, unknown: Tensor, labelled: Tensor) -> Tensor:
    """(n, k, h, w) True near a person one of whose k joints or limbs is not labelled."""
    unknown = unknown & labelled[..., None]
    return (near[:, :, None] & unknown[..., None, None]).any(1)


def _near(cells: Tensor, known: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(n, p, h, w) True in the box round a person's joints, widened by `SURROUNDINGS`."""
    infinity = torch.full_like(cells, torch.inf)
    low = torch.where(known[..., None], cells, infinity).amin(2)
    high = torch.where(known[..., None], cells, -infinity).amax(2)
    margin = 1 + SURROUNDINGS * (high - low).amax(-1, keepdim=True)
    low, high = low - margin, high + margin
    in_x = (columns >= low[..., 0, None]) & (columns <= high[..., 0, None])
    in_y = (rows >= low[..., 1, None]) & (rows <= high[..., 1, None])
    return in_y[..., :, None] & in_x[..., None, :]


def loss(
    outputs: list[StageOutput], targets: Targets, weights: Tensor, limb_weight: float = 1.0
) -> Tensor:
    """The paper's cost (equations 1-3), per image: weighted squared error summed over stages.

    Args:
        outputs: of every stage.
        targets: what they should be, and where that is known.
        weights: (14,) weight of each joint, the learned part of W; a limb weighs the mean of
            its two joints.
        limb_weight: of all of f_L beside f_S; the fields cover many more cells than the peaks.

    Returns:
        Scalar: f = sum over stages of f_S + f_L, divided by the number of images.
    """
    ends = torch.tensor(LIMBS, device=weights.device)
    limb_weights = limb_weight * weights[ends].mean(1).repeat_interleave(2)
    total = weights.new_zeros(())
    for joints, limbs in outputs:
        error = (joints.float() - targets.joints) ** 2 * targets.joint_weight
        total = total + (error * weights[:, None, None]).sum()
        error = (limbs.float() - targets.limbs) ** 2 * targets.limb_weight
        total = total + (error * limb_weights[:, None, None]).sum()
    return total / len(targets.joints)
