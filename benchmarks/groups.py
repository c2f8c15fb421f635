"""Several people in one image: how many of their joints are found, and who is made up.

python benchmarks/groups.py --data DIR [--model NAME] [--size 192] [--overlap 0.2] [--groups 200]

The people of the validation part of LSP-extended are laid side by side, one to five of them, each
`--size` pixels high and wide and covering `--overlap` of the one before; joints that are covered
do not count. Found and true people are paired by their likeness (OKS); a person who is not found
has no joint right. The data sets show one labelled person an image, so this is as near as they
come to groups: the edges of the pictures can be seen, and nobody stands behind somebody else.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from action_recognition.benchmarking.results import markdown
from action_recognition.datasets.people import Person, lspet_people
from action_recognition.evaluation.pose import correct_joints, fit_square
from action_recognition.pose.backbone import STRIDE
from action_recognition.pose.decode import People
from action_recognition.pose.estimator import PADDING, EstimatorConfig, NetworkEstimator
from action_recognition.pose.gaze import LookConfig
from action_recognition.skeleton import LIMB_JOINTS, FloatArray
from action_recognition.tracking.similarity import oks

COUNTS = (1, 2, 3, 4, 5)


class Group(NamedTuple):
    """An image (h, w, 3), whose sides are multiples of 8, and its people (n, 14, 2)."""

    image: npt.NDArray[np.uint8]
    xy: FloatArray


def side_by_side(people: Sequence[Person], size: int, overlap: float) -> Group:
    """The people in a row, each covering a part of the picture of the one before."""
    step = round(size * (1 - overlap))
    width = step * (len(people) - 1) + size
    height, width = (-(-side // STRIDE) * STRIDE for side in (size, width))
    image = np.full((height, width, 3), PADDING, np.uint8)
    xy = []
    for k, person in enumerate(people):
        picture, joints = fit_square(person, size)
        image[:size, k * step : k * step + size] = picture
        xy.append(joints + np.array([k * step, 0], np.float32))
    for k, joints in enumerate(xy[:-1], 1):
        with np.errstate(invalid='ignore'):
            joints[joints[:, 0] >= k * step - 0.5] = np.nan
    return Group(image, np.stack(xy))


def score(group: Group, found: People) -> tuple[FloatArray, int]:
    """(n, 14) which joints of the people are right, as `correct_joints`, and how many were found.

    A found person is theirs who are most like them, if they are like them at all.
    """
    truth = group.xy
    alike = oks(np.nan_to_num(truth), np.isfinite(truth).all(-1), found.xy, found.score)
    xy, paired = np.full_like(truth, np.nan), 0
    for row, column in zip(*linear_sum_assignment(alike, maximize=True), strict=True):
        if alike[row, column] > 0:
            xy[row] = found.xy[column]
            paired += 1
    return correct_joints(xy, truth), paired


def figures(estimator: NetworkEstimator, groups: Sequence[Group]) -> dict[str, Any]:
    """A row of the table, of groups of one number of people."""
    right, seen, paired = [], 0, 0
    for group in groups:
        (found,) = estimator.people(group.image[None])
        joints, matches = score(group, found)
        right.append(joints)
        seen += len(found.xy)
        paired += matches
    people = sum(len(group.xy) for group in groups)
    return {
        'people': len(groups[0].xy),
        'images': len(groups),
        'pck': float(np.nanmean(np.concatenate(right)[:, list(LIMB_JOINTS)])),
        'found': paired / people,
        'extra': (seen - paired) / len(groups),
    }


def main() -> None:
    """The command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True, help='folder that holds lspet/')
    parser.add_argument('--model', default='pose', help='name or path of pose weights')
    parser.add_argument('--size', type=int, default=LookConfig.crop_size, help='of each person')
    parser.add_argument('--overlap', type=float, default=0.2, help='part of each that is covered')
    parser.add_argument('--groups', type=int, default=200, help='of each number of people')
    args = parser.parse_args()
    people = lspet_people(args.data / 'lspet', 'validation')
    if len(people) < max(COUNTS):
        parser.error(f'{args.data} shows {len(people)} people')
    estimator = NetworkEstimator.from_weights(args.model, 'auto', EstimatorConfig(args.size))
    rng = np.random.default_rng(0)
    rows = []
    for count in tqdm(COUNTS, unit='row', disable=None):
        drawn = rng.permuted(np.tile(np.arange(len(people)), (args.groups, 1)), axis=1)[:, :count]
        groups = [side_by_side([people[i] for i in row], args.size, args.overlap) for row in drawn]
        rows.append(figures(estimator, groups))
    estimator.close()
    columns = {
        'people': '{people}',
        'images': '{images}',
        'PCK@0.2': '{pck:.3f}',
        'people found': '{found:.3f}',
        'made up per image': '{extra:.2f}',
    }
    print(markdown(rows, columns))


if __name__ == '__main__':
    main()
