"""`action-recognition evaluate`: score trained models on public data sets and on bags."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from action_recognition.cli.output import CACHE_HELP, print_table, write_json
from action_recognition.errors import UserError
from action_recognition.parallel import add_arguments as add_parallel_arguments

HELP = 'Score a model on a data set or on bags.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest='task', metavar='task', required=True)
    pose = tasks.add_parser('pose', help='PCK@0.2 of a pose estimator')
    pose.add_argument('--set', required=True, choices=('lspet', 'jhmdb', 'coco'))
    pose.add_argument(
        '--model', default='pose', help='name or path of the weights, or a model of the backend'
    )
    pose.add_argument('--device', default='auto', help='auto, cpu or cuda')
    pose.add_argument(
        '--input-size',
        type=int,
        metavar='PX',
        help='images are scaled to about this squared in area (default: as the perception node)',
    )
    pose.add_argument('--limit', type=int, metavar='N', help='score only N images')
    pose.add_argument(
        '--report',
        type=Path,
        metavar='DIR',
        help='write figures.json and a sheet of the best, median and worst answers here',
    )

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
        choices=('truth', 'teacher', 'best', 'estimated'),
        help="of JHMDB; best: the teacher's where there are no annotated ones; estimated: what our "
        'pose network finds in the videos',
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

    video = tasks.add_parser('video', help='from pixels to labels')
    video.add_argument('--split', type=int, default=1, choices=(1, 2, 3), help='of JHMDB')
    video.add_argument(
        '--model',
        action='append',
        metavar='NAME',
        help='name or path of the recogniser (default: of JHMDB online_jhmdb21_video or that of '
        'the split, of other folders online_union32); give it again for each seed of a training '
        'to get the mean',
    )
    video.add_argument(
        '--pose',
        default='pose',
        metavar='NAME',
        help='weights of the pose network, or a model of the backend',
    )
    video.add_argument('--device', default='auto', help='auto, cpu or cuda')
    video.add_argument(
        '--report',
        type=Path,
        metavar='DIR',
        help='write figures.json and pictures of confusion, reliability and earliness here',
    )
    bag = tasks.add_parser('bag', help='a recogniser on rosbag2 recordings, against a truth file')
    bag.add_argument(
        '--bag',
        nargs='+',
        required=True,
        metavar='BAG[:TOPIC]',
        help='recordings of images or skeletons',
    )
    bag.add_argument(
        '--truth',
        type=Path,
        required=True,
        metavar='CSV',
        help='bag,start,end,person,label of each action (docs/bags.md), or RTTM',
    )
    bag.add_argument(
        '--model', metavar='NAME', help='name or path of the recogniser (default: online_union32)'
    )
    bag.add_argument(
        '--pose',
        metavar='NAME',
        help='weights of the pose network; looks at images even where a bag holds skeletons',
    )
    bag.add_argument(
        '--params-file',
        type=Path,
        metavar='YAML',
        help='parameters of perception and recognizer, as for the nodes',
    )
    bag.add_argument(
        '--against',
        metavar='NAME',
        help='another recogniser, or a parameter file (*.yaml), scored beside the first',
    )
    bag.add_argument('--device', help='auto, cpu or cuda')
    bag.add_argument(
        '--report', type=Path, metavar='DIR', help='write index.html and figures.json here'
    )
    bag.add_argument(
        '--fail-below',
        nargs='+',
        action='extend',
        default=[],
        metavar='METRIC=VALUE',
        help='end with exit code 1 if a figure is worse than this, such as f1_at_25=0.5; delays, '
        'false alarms, flips and ece are worse when they are larger',
    )
    bag.add_argument('--json', type=Path, metavar='FILE', help='also write the figures here')
    bag.add_argument(
        '--cache',
        type=Path,
        metavar='DIR',
        help='keep what was seen and said of each bag here: a run that was stopped goes on, and '
        'another truth is scored without computing',
    )
    add_parallel_arguments(bag)
    for task in (pose, video):
        task.add_argument(
            '--backend',
            default='ours',
            metavar='NAME',
            help='what finds people: ours, rtmlib, mediapipe or a plug-in (docs/backends.md)',
        )
        task.add_argument(
            '--flip-test',
            action='store_true',
            help='show our network the mirror images as well: surer joints for twice the time',
        )
    for task in (action, video):
        task.add_argument('--cache', type=Path, metavar='DIR', help=CACHE_HELP)
    add_parallel_arguments(video)

    for task, data in (
        (pose, 'folder that holds the sets'),
        (action, 'folder that holds the sets'),
        (video, 'folder of JHMDB (the test part of the split), or of <class>/<clip>.mp4'),
    ):
        task.add_argument('--data', type=Path, required=True, metavar='DIR', help=data)
        task.add_argument('--json', type=Path, metavar='FILE', help='also write the figures here')


def run(args: argparse.Namespace) -> int | None:
    if args.task == 'bag':
        return _bag(args)
    figures = {'pose': _pose, 'action': _action, 'video': _video}[args.task](args)
    print_table(figures)
    if args.json:
        write_json(args.json, figures)
    return None


def _bag(args: argparse.Namespace) -> int:
    from action_recognition.datasets.truth import read_truth
    from action_recognition.evaluation import bag, bag_report, bag_timelines
    from action_recognition.evaluation.offline import create_setup

    bounds = bag_timelines.thresholds(args.fail_below)
    bag.check_bags(args.bag)
    truth = read_truth(args.truth)
    setups = [create_setup(args.params_file, args.model, args.pose, args.device)]
    if args.against:
        is_file = args.against.endswith(('.yaml', '.yml'))
        setups.append(
            create_setup(Path(args.against), None, None, args.device)
            if is_file
            else create_setup(args.params_file, args.against, args.pose, args.device)
        )
    if args.report:
        _make_folder(args.report)
    images = any(setup.sees for setup in setups)
    results = bag.run_all(setups, args.bag, truth, images, args.jobs, args.ray, args.cache)
    figures = bag.common(results)
    print_table(bag_timelines.tabulate(figures))
    for result in results:
        for one in result.scored:
            if one.frames.state:
                print(f'{one.spec} ({result.setup.name}): {one.frames.state}', file=sys.stderr)
        for spec, reason in result.skipped.items():
            print(f'skipped {spec} ({result.setup.name}): {reason}', file=sys.stderr)
    if args.json:
        write_json(args.json, figures)
    if args.report:
        write_json(args.report / 'figures.json', figures)
        bag_report.write(args.report / 'index.html', results)
        print(f'Report: {args.report / "index.html"}')
    lines = bag_timelines.broken(figures, bounds)
    for line in lines:
        print(f'failed: {line}', file=sys.stderr)
    without = [result.setup.name for result in results if not result.scored]
    if without:
        raise UserError(
            f'no bag could be scored with {" or ".join(without)}: see the reasons above'
        )
    return int(bool(lines))


def _pose(args: argparse.Namespace) -> dict[str, Any]:
    if args.limit is not None and args.limit < 1:
        raise UserError(f'--limit must be at least 1, not {args.limit}')
    from action_recognition.evaluation.pose import evaluate
    from action_recognition.pose.estimator import create_estimator

    config = _estimator_config(args)
    if args.report:
        _make_folder(args.report)
    estimator = create_estimator(args.model, args.device, config)
    try:
        figures = evaluate(args.set, args.data, estimator, args.limit, args.report)
    finally:
        estimator.close()
    figures = {'backend': args.backend, **figures}
    if args.report:
        write_json(args.report / 'figures.json', figures)
    return figures


def _action(args: argparse.Namespace) -> dict[str, Any]:
    from action_recognition.evaluation import action, online, robustness, sets

    models = args.model or [sets.default_model(args.set, args.split, args.joints)]
    if args.set == 'precog' and (args.split != 1 or args.joints or args.robustness):
        raise UserError('precog takes neither --split nor --joints nor --robustness')
    if args.report:
        _make_folder(args.report)
    if args.set == 'precog':
        figures = online.run(args.data, models, args.report)
    else:
        asked = (args.set, args.data, models, args.split, args.joints)
        cache = _cache(args)
        figures = action.run(*asked, args.report, cache)
        if args.robustness:
            figures['robustness'] = robustness.run(*asked, cache)
    if args.report:
        write_json(args.report / 'figures.json', figures)
    return figures


def _video(args: argparse.Namespace) -> dict[str, Any]:
    from action_recognition.datasets import jhmdb
    from action_recognition.evaluation import sets, video

    set_name = 'jhmdb21' if jhmdb.is_root(args.data) else 'union32'
    models = args.model or [sets.default_model(set_name, args.split, 'estimated')]
    if args.report:
        _make_folder(args.report)
    figures = video.run(args.data, models, _cache(args), args.split, args.report)
    if args.report:
        write_json(args.report / 'figures.json', figures)
    return figures


def _cache(args: argparse.Namespace) -> Any:
    from action_recognition.evaluation.estimated import JointCache, default_cache

    folder = args.cache or default_cache()
    if args.task != 'video':
        return JointCache(folder)
    config = _estimator_config(args)
    return JointCache(folder, args.pose, args.device, config, jobs=args.jobs, ray=args.ray)


def _estimator_config(args: argparse.Namespace) -> Any:
    from action_recognition.pose.backends.registry import OURS
    from action_recognition.pose.estimator import EstimatorConfig

    size = getattr(args, 'input_size', None)
    if args.backend != OURS:
        own = {'--input-size': size is not None, '--flip-test': args.flip_test}
        for option, used in own.items():
            if used:
                raise UserError(
                    f'{option} is of our own network: leave it out with another backend'
                )
    config = EstimatorConfig(backend=args.backend, flip_test=args.flip_test)
    return config if size is None else replace(config, input_size=size)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror}') from error
