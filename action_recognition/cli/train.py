"""`action-recognition train`: train the pose network or a recogniser by a config."""

from __future__ import annotations

import argparse
from pathlib import Path

from action_recognition import resources
from action_recognition.cli.output import CACHE_HELP
from action_recognition.errors import UserError

HELP = 'Train the pose network or an action recogniser.'

#: The config of each task when none is given.
DEFAULTS = {'pose': 'config/train/pose.yaml', 'action': 'config/train/online_union32.yaml'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest='task', metavar='task', required=True)
    for task, data in (
        ('pose', 'folder that holds lspet/ and jhmdb/'),
        ('action', 'folder that holds Penn_Action/, jhmdb/ and precog2016/'),
    ):
        subparser = tasks.add_parser(task, help=f'see {DEFAULTS[task]} for the settings')
        subparser.add_argument('--data', type=Path, required=True, metavar='DIR', help=data)
        subparser.add_argument(
            '--config', type=Path, metavar='FILE', help=f'default: {DEFAULTS[task]}'
        )
        subparser.add_argument(
            '--out', type=Path, metavar='DIR', help='default: runs/<name of the config>'
        )
        subparser.add_argument(
            '--resume', action='store_true', help='go on from the checkpoints in --out'
        )
        if task == 'action':
            subparser.add_argument(
                '--seed',
                type=int,
                metavar='N',
                help='this one instead of the seeds of the config; processes may share --out',
            )
            subparser.add_argument('--cache', type=Path, metavar='DIR', help=CACHE_HELP)


def run(args: argparse.Namespace) -> None:
    config = args.config or resources.find(DEFAULTS[args.task])
    if not config.is_file():
        raise UserError(f'config {config} does not exist (give one with --config)')
    out = args.out or Path('runs') / config.stem
    if args.task == 'pose':
        from action_recognition.training import pose

        path: Path | None = pose.run(config, args.data, out, args.resume)
    else:
        from action_recognition.evaluation.estimated import JointCache
        from action_recognition.training import action

        cache = JointCache(args.cache) if args.cache else JointCache()
        path = action.run(config, args.data, out, args.resume, args.seed, cache)
    if path:
        print(f'weights: {path}')
