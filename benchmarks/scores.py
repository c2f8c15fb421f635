"""How sure the pose network must be of a person: joints found against people who are not there.

python benchmarks/scores.py --data DIR [--model NAME] [--sizes 128,160] [--every N]

Prints, for every `decoder.min_score` tried, PCK@0.2 of the 12 limb joints of validation images of
LSP-extended, and how many people are seen in views beside the one person of training clips of
JHMDB split 1. No test data are looked at, so the default can be chosen by it; but the network has
learnt that nobody is in such views, so it sees more people in new ones (`ghosts_per_image` of
`evaluate pose --set jhmdb`): when in doubt, take the higher score.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from action_recognition.benchmarking.results import markdown
from action_recognition.datasets.people import Person, beside, jhmdb_people, lspet_people
from action_recognition.evaluation.pose import correct_joints
from action_recognition.pose.decode import DecoderConfig, decode
from action_recognition.pose.estimator import EstimatorConfig, NetworkEstimator, fit
from action_recognition.pose.gaze import LookConfig
from action_recognition.skeleton import LIMB_JOINTS, NUM_JOINTS, FloatArray

SCORES = (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5)
#: Every n-th frame of the training clips; their neighbours show the same view.
JHMDB_EVERY = 31


def found(
    estimator: NetworkEstimator, image: np.ndarray, configs: Sequence[DecoderConfig]
) -> list[FloatArray]:
    """(people, 14, 2) pixels of the image, for every decoder: the network looks once."""
    fitted, scale = fit(image, estimator.config.input_size)
    maps = estimator.maps(fitted[None])
    return [(decode(maps, config)[0].xy + 0.5) / scale - 0.5 for config in configs]


def table(
    estimator: NetworkEstimator, people: Sequence[Person], views: Sequence[np.ndarray]
) -> list[dict[str, float]]:
    """A row for each of `SCORES`."""
    configs = [replace(estimator.config.decoder, min_score=score) for score in SCORES]
    right: list[list[FloatArray]] = [[] for _ in SCORES]
    for person in tqdm(people, unit='image', desc='people'):
        for row, xy in zip(right, found(estimator, person.image(), configs), strict=True):
            first = xy[0] if len(xy) else np.full((NUM_JOINTS, 2), np.nan)
            row.append(correct_joints(first[None], person.xy[None])[0])
    ghosts = np.mean(
        [
            [len(xy) for xy in found(estimator, np.ascontiguousarray(view), configs)]
            for view in tqdm(views, unit='image', desc='nobody there')
        ],
        axis=0,
    )
    return [
        {
            'size': estimator.config.input_size,
            'score': score,
            'pck': float(np.nanmean(np.stack(row)[:, list(LIMB_JOINTS)])),
            'ghosts': float(count),
        }
        for score, row, count in zip(SCORES, right, ghosts, strict=True)
    ]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--data', type=Path, required=True, help='folder that holds lspet/ and jhmdb/'
    )
    parser.add_argument('--model', default='pose', help='name or path of pose weights')
    parser.add_argument(
        '--sizes', default=str(LookConfig.crop_size), help='input sizes, with commas'
    )
    parser.add_argument('--every', type=int, default=2, help='take every n-th validation image')
    args = parser.parse_args()
    people = lspet_people(args.data / 'lspet', 'validation')[:: args.every]
    frames = jhmdb_people(args.data / 'jhmdb', 'train', JHMDB_EVERY, teacher=True)
    views = [view for frame in frames for view in beside(frame)]
    if not people or not views:
        parser.error(f'{args.data} shows no people, or nothing beside them')
    rows = []
    for size in map(int, args.sizes.split(',')):
        estimator = NetworkEstimator.from_weights(args.model, 'auto', EstimatorConfig(size))
        rows += table(estimator, people, views)
        estimator.close()
    print(f'{len(people)} people, {len(views)} views without anybody')
    columns = {
        'size': '{size}',
        'min_score': '{score}',
        'PCK': '{pck:.4f}',
        'ghosts': '{ghosts:.3f}',
    }
    print(markdown(rows, columns))


if __name__ == '__main__':
    main()
