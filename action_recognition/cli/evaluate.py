"""`action-recognition evaluate`: score trained models on public data sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from action_recognition.cli.output import print_table, write_json
from action_recognition.errors import UserError

HELP = 'Score a model on a data set.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest='task', metavar='task', required=True)
    pose = tasks.add_parser('pose', help='PCK@0.2 of a pose estimator')
    pose.add_argument('--set', required=True, choices=('lspet', 'jhmdb'))
    pose.add_argument('--model', default='pose', help='name or path of the weights')
    pose.add_argument('--device', default='auto', help='auto, cpu or cuda')
    pose.add_argument(
        '--input-size',
        type=int,
        metavar='PX',
        help='images are scaled to about this squared in area (default: as the perception node)',
    )
    pose.add_argument('--limit', type=int, metavar='N', help='score only N images')

    action = tasks.add_parser('action', help='accuracy, earliness and calibration of a recogniser')
    action.add_argument(
        '--set',
        required=True,
        choices=('penn', 'jhmdb14', 'jhmdb21', 'union32', 'precog'),
        help='precog: continuous recordings with background, the even people',
    )
    action.add_argument('--split', type=int, default=1, choices=(1, 2, 3), help='of JHMDB')
    action.add_argument(
        '--joints',
        choices=('truth', 'teacher', 'best'),
        help="of JHMDB; best: the teacher's where there are no annotated ones",
    )
    action.add_argument(
        '--model',
        action='append',
        metavar='NAME',
        help='name or path of the weights (default: those that ship for the set); give it again '
        'for each seed of a training to get the mean',
    )
    action.add_argument(
        '--robustness',
        action='store_true',
        help='also the accuracy on worse joints, at lower rates, and over minutes (takes minutes)',
    )
    action.add_argument(
        '--report',
        type=Path,
        metavar='DIR',
        help='write figures.json and pictures of confusion, reliability and earliness here',
    )

    for task in (pose, action):
        task.add_argument(
            '--data', type=Path, required=True, metavar='DIR', help='folder that holds the sets'
        )
        task.add_argument('--json', type=Path, metavar='FILE', help='also write the figures here')


def run(args: argparse.Namespace) -> None:
    figures = _pose(args) if args.task == 'pose' else _action(args)
    print_table(figures)
    if args.json:
        write_json(args.json, figures)


def _pose(args: argparse.Namespace) -> dict[str, Any]:
    if args.limit is not None and args.limit < 1:
        raise UserError(f'--limit must be at least 1, not {args.limit}')
    from action_recognition.evaluation.pose import evaluate
    from action_recognition.pose.estimator import EstimatorConfig, create_estimator

    config = EstimatorConfig() if args.input_size is None else EstimatorConfig(args.input_size)
    estimator = create_estimator(args.model, args.device, config)
    return evaluate(args.set, args.data, estimator, args.limit)


def _action(args: argparse.Namespace) -> dict[str, Any]:
    from action_recognition.evaluation import action, online, robustness

    models = args.model or [action.default_model(args.set, args.split)]
    if args.set == 'precog' and (args.split != 1 or args.joints or args.robustness):
        raise UserError('precog takes neither --split nor --joints nor --robustness')
    if args.report:
        _make_folder(args.report)
    if args.set == 'precog':
        figures = online.run(args.data, models, args.report)
    else:
        asked = (args.set, args.data, models, args.split, args.joints)
        figures = action.run(*asked, args.report)
        if args.robustness:
            figures['robustness'] = robustness.run(*asked)
    if args.report:
        write_json(args.report / 'figures.json', figures)
    return figures


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror}') from error
