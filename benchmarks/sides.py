"""How often a pose network takes left for right, on people whose sides are known.

python benchmarks/sides.py --data DIR [--model NAME] [--every N] [--size PIXELS]

Prints the share of arms and of legs that `without_doubtful_sides` doubts, of the people of JHMDB
split-1 test with reliable joints: as they are labelled, where every doubt is wrong, and with all
sides exchanged, where every doubt is right. Leaving labels out pays while the second is large;
exchanging them would pay only where the first is far below the share of labels that are wrong.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from action_recognition import resources
from action_recognition.benchmarking.results import markdown
from action_recognition.datasets.people import jhmdb_people
from action_recognition.errors import UserError
from action_recognition.pose.estimator import load_network
from action_recognition.pose.heads import place
from action_recognition.skeleton import FLIP
from action_recognition.training.pose_config import PoseConfig
from action_recognition.training.pose_sides import without_doubtful_sides

#: Of the training of the published weights; it says at which size labels are doubted.
CONFIG = 'config/train/pose.yaml'


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True, help='folder that holds jhmdb/')
    parser.add_argument('--model', default='pose', help='name or path of pose weights')
    parser.add_argument('--every', type=int, default=6, help='take every n-th frame')
    parser.add_argument(
        '--size', type=int, help=f'of the fitted images (default: check_size of {CONFIG})'
    )
    args = parser.parse_args()
    config = PoseConfig.load(resources.find(CONFIG))
    if args.size is not None:
        try:
            config = replace(config, check_size=args.size)
        except UserError as error:
            parser.error(f'--size: {error}')
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    network = place(load_network(args.model).network, device)
    people = jhmdb_people(args.data / 'jhmdb', 'test', args.every, crop=True)
    exchanged = [person._replace(xy=person.xy[list(FLIP)]) for person in people]
    rows = []
    for name, asked in (('as labelled', people), ('exchanged', exchanged)):
        doubted = without_doubtful_sides(asked, network, device, config.check_size)[1]
        arms, legs = np.mean(doubted, 0).tolist()
        rows.append({'sides': name, 'people': len(asked), 'arms': arms, 'legs': legs})
    print(
        markdown(
            rows,
            {
                'sides': '{sides}',
                'people': '{people}',
                'arms doubted': '{arms:.3f}',
                'legs doubted': '{legs:.3f}',
            },
        )
    )


if __name__ == '__main__':
    main()
