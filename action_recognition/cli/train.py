"""`action-recognition train`: train the pose network or a recogniser by a config."""

from __future__ import annotations

import argparse
from pathlib import Path

from action_recognition.errors import UserError

HELP = 'Train the pose network or an action recogniser.'

CONFIGS = Path(__file__).resolve().parent.parent.parent / 'config' / 'train'
DEFAULTS = {'pose': CONFIGS / 'pose.yaml', 'action': CONFIGS / 'online_union32.yaml'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest='task', metavar='task', required=True)
    for task, data in (
        ('pose', 'folder that holds lspet/ and jhmdb/'),
        ('action', 'folder that holds Penn_Action/ and jhmdb/'),
    ):
        subparser = tasks.add_parser(task, help=f'see {DEFAULTS[task].name} for the settings')
        subparser.add_argument('--data', type=Path, required=True, metavar='DIR', help=data)
        subparser.add_argument(
            '--config',
            type=Path,
            default=DEFAULTS[task],
            metavar='FILE',
            help='default: %(default)s',
        )
        subparser.add_argument(
            '--out', type=Path, metavar='DIR', help='default: runs/<name of the config>'
        )
        subparser.add_argument(
            '--resume', action='store_true', help='go on from the checkpoints in --out'
        )


def run(args: argparse.Namespace) -> None:
    if not args.config.is_file():
        raise UserError(f'config {args.config} does not exist (give one with --config)')
    out = args.out or Path('runs') / args.config.stem
    if args.task == 'pose':
        from action_recognition.training import pose as training
    else:
        from action_recognition.training import action as training  # type: ignore[no-redef]
    path = training.run(args.config, args.data, out, args.resume)
    print(f'weights: {path}')
