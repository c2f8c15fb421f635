"""`action-recognition teach`: learn new actions from a few recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from action_recognition.cli.output import CACHE_HELP, print_table
from action_recognition.parallel import add_arguments as add_parallel_arguments

HELP = 'Learn new actions from a few labelled recordings.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--data',
        type=Path,
        required=True,
        metavar='DIR',
        help='<class>/<clip> videos; bags, with --truth; or joints, with --poses',
    )
    parser.add_argument(
        '--base',
        default='online_union32',
        metavar='NAME',
        help='name or path of the weights to start from (default: online_union32)',
    )
    parser.add_argument('--name', default='taught', help='of the new weights (default: taught)')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='must not exist (default: runs/<name>)'
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '--truth', type=Path, metavar='CSV', help='who does what when in bags: bag,start,end,...'
    )
    what.add_argument(
        '--poses', action='store_true', help='<class>/<clip>.npz or .csv of joints, no videos'
    )
    parser.add_argument(
        '--groups',
        type=Path,
        metavar='CSV',
        help='clip,source: which clips show the same (default: names that differ by a last number)',
    )
    parser.add_argument(
        '--keep', action='store_true', help='keep the classes of the base beside the new ones'
    )
    parser.add_argument(
        '--method',
        default='auto',
        choices=('auto', 'head', 'whole'),
        help='learn a head on the features of the base, or all of it (default: from three clips a '
        'class on all of it, unless a head is clearly better in cross-validation)',
    )
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='(default: 0)')
    parser.add_argument(
        '--pose', default='pose', metavar='NAME', help='weights of the pose network'
    )
    parser.add_argument('--device', default='auto', help='of the pose network: auto, cpu or cuda')
    parser.add_argument('--cache', type=Path, metavar='DIR', help=CACHE_HELP)
    add_parallel_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from action_recognition.evaluation.estimated import JointCache, default_cache
    from action_recognition.training import teach_run
    from action_recognition.training.teach_config import TeachConfig

    config = TeachConfig(args.base, args.name, args.method, args.keep, args.seed)
    cache = JointCache(
        args.cache or default_cache(), args.pose, args.device, jobs=args.jobs, ray=args.ray
    )
    out = args.out or Path('runs') / args.name
    found = teach_run.run(args.data, out, config, cache, args.truth, args.groups, args.poses)
    print_table(found)
    print(f'weights: {out / args.name}.safetensors\nreport: {out / "report.md"}')
