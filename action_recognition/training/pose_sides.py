"""Left/right label noise: about one person in eleven of LSP-extended has the sides swapped.

A network that has learnt from many people is asked of each of them. Where its maps say that the
labelled right arm (or leg) is a left one and the other way round, the label is doubtful, and the
training does not use it. Exchanging the sides instead would break as many labels as it mends: of
people of JHMDB, whose labels are right, a network doubted 5 % (`benchmarks/sides.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from action_recognition.datasets.people import MIN_JOINTS, Person
from action_recognition.evaluation.pose import fit_square
from action_recognition.pose.heads import normalise
from action_recognition.pose.mirror import merge_mirrored
from action_recognition.pose.targets import to_cells
from action_recognition.skeleton import FLIP, Joint

#: Joints whose sides are decided together: an annotator swaps whole arms and whole legs.
ARMS = (
    Joint.RIGHT_SHOULDER,
    Joint.RIGHT_ELBOW,
    Joint.RIGHT_WRIST,
    Joint.LEFT_SHOULDER,
    Joint.LEFT_ELBOW,
    Joint.LEFT_WRIST,
)
LEGS = (
    Joint.RIGHT_HIP,
    Joint.RIGHT_KNEE,
    Joint.RIGHT_ANKLE,
    Joint.LEFT_HIP,
    Joint.LEFT_KNEE,
    Joint.LEFT_ANKLE,
)
#: How much more a joint's place must look like the other side, in heights of a perfect peak and as
#: the mean of the labelled joints of a group. A person seen edge-on stays as labelled.
MARGIN = 0.1


def evidence(maps: Tensor, xy: Tensor) -> Tensor:
    """How much more the labelled places look like their own side than like the other.

    Args:
        maps: (n, 14, h, w) confidence maps.
        xy: (n, 14, 2) labelled joints in pixels of the network's input, NaN where unlabelled.

    Returns:
        (n, 2) of the arms and of the legs: the mean over the group's labelled joints of the map
        at that place less the map of the same joint of the other side; 0 if none is labelled.
    """
    known = torch.isfinite(xy).all(-1)
    height, width = maps.shape[-2:]
    size = torch.tensor([width - 1, height - 1], device=maps.device)
    cells = torch.where(known[..., None], to_cells(xy), 0) / size * 2 - 1
    # A label is seldom exact to the cell: the highest value around it counts.
    around = F.max_pool2d(maps, 3, 1, 1)
    own = (around - around[:, list(FLIP)]).flatten(0, 1)[:, None]
    gain = F.grid_sample(own, cells.flatten(0, 1)[:, None, None], align_corners=True)
    gain = torch.where(known, gain.view(known.shape), 0)
    groups = [list(ARMS), list(LEGS)]
    return torch.stack([gain[:, g].sum(1) / known[:, g].sum(1).clamp_min(1) for g in groups], dim=1)


@torch.inference_mode()
def without_doubtful_sides(
    people: list[Person], network: nn.Module, device: torch.device, size: int, batch: int = 32
) -> tuple[list[Person], npt.NDArray[np.bool_]]:
    """The people less the arms and legs whose sides a trained network sees exchanged.

    Args:
        size: side of the square that each image is fitted into.

    Returns:
        The people, their doubtful joints unlabelled, less those with hardly a joint left; and
        (n, 2) whose arms and legs were in doubt.
    """
    network.eval()
    doubtful = []
    for first in tqdm(range(0, len(people), batch), unit='batch', desc='left and right'):
        fitted = [fit_square(person, size) for person in people[first : first + batch]]
        image = torch.from_numpy(np.stack([image for image, _ in fitted])).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            output = network(normalise(torch.cat([image, image.flip(2)])))[-1]
        maps = merge_mirrored(output).joints.float()
        xy = torch.from_numpy(np.stack([xy for _, xy in fitted])).to(device)
        doubtful.append((evidence(maps, xy) < -MARGIN).cpu().numpy())
    which = np.concatenate(doubtful) if doubtful else np.zeros((0, 2), bool)
    kept = []
    for person, (arms, legs) in zip(people, which, strict=True):
        xy = person.xy.copy()
        xy[list(ARMS * int(arms) + LEGS * int(legs))] = np.nan
        if np.isfinite(xy).all(-1).sum() >= MIN_JOINTS:
            kept.append(person._replace(xy=xy))
    return kept, which
