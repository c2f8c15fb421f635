"""`action-recognition benchmark`: speed, and accuracy beside other recognisers."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from action_recognition import resources
from action_recognition.cli import benchmark_pipeline, benchmark_tracking
from action_recognition.cli.options import names_of, numbers
from action_recognition.cli.output import write_json
from action_recognition.errors import UserError

N = TypeVar('N', int, float)

HELP = 'Measure speed, and train other recognisers beside ours.'

#: The configs of our models when none is given, and that for the continuous set.
CONFIGS = ('config/train/paper_union32.yaml', 'config/train/online_union32.yaml')
STREAM_CONFIG = 'config/train/online_precog.yaml'
CONTINUOUS = 'precog'

PEER_COLUMNS = {
    'peer': '{peer}',
    'accuracy': '{accuracy:.3f}',
    'std': '{accuracy_std:.3f}',
    **{f'at {k}0 %': '{accuracy_at[0.' + str(k) + ']:.3f}' for k in (1, 2, 4, 6)},
    'ECE': '{ece:.3f}',
    'ms median': '{ms_median:.3f}',
    'ms p95': '{ms_p95:.3f}',
    'ratio': '{ratio:.2f}',
    'parameters': '{parameters}',
}
STREAM_COLUMNS = {
    'peer': '{peer}',
    'segments': '{accuracy:.3f}',
    'std': '{accuracy_std:.3f}',
    'frames': '{frame_accuracy:.3f}',
    'mAP': '{map:.3f}',
    **{f'F1@{percent}': '{f1_at_' + str(percent) + ':.3f}' for percent in (10, 25, 50)},
    's to label': '{time_to_detect_s:.2f}',
    'missed': '{missed_fraction:.3f}',
    'false alarms per min': '{false_alarms_per_min:.2f}',
    'tuned F1@50': '{tuned[f1_at_50]:.3f}',
    'tuned s to label': '{tuned[time_to_detect_s]:.2f}',
    'tuned false alarms': '{tuned[false_alarms_per_min]:.2f}',
    'ECE': '{ece:.3f}',
    'ms median': '{ms_median:.3f}',
    'ms p95': '{ms_p95:.3f}',
    'ratio': '{ratio:.2f}',
    'parameters': '{parameters}',
}
SPEED_COLUMNS = {
    'what': '{what}',
    'people': '{people}',
    'ms median': '{ms_median:.3f}',
    'ms p95': '{ms_p95:.3f}',
    'fps': '{fps:.0f}',
    'ratio': '{ratio:.2f}',
}
#: The tables of `benchmark pose`: heading, and columns; those without rows are left out.
POSE_TABLES = {
    'rows': (
        'On the same frames of 640x480; ratio: time over that of ours',
        {
            'what': '{what}',
            'network ms': '{network_ms:.2f}',
            'ms median': '{ms_median:.2f}',
            'ms p95': '{ms_p95:.2f}',
            'fps': '{fps:.0f}',
            'ratio': '{ratio:.2f}',
            'PCK@0.2': '{pck:.3f}',
        },
    ),
    'stages': (
        'The network alone, by the number of its stages',
        {
            'stages': '{stages}',
            'runtime': '{runtime}',
            'ms median': '{ms_median:.2f}',
            'ms p95': '{ms_p95:.2f}',
            'PCK@0.2': '{pck:.3f}',
        },
    ),
    'people': (
        'By the number of people, on made-up maps; ratio: time over that of one person',
        {
            'what': '{what}',
            'people': '{people}',
            'ms median': '{ms_median:.2f}',
            'ms p95': '{ms_p95:.2f}',
            'ratio': '{ratio:.2f}',
        },
    ),
    'gpu': (
        'The network on the GPU, with its transfers; share: of what the chip could do at best',
        {
            'GPU': '{gpu}',
            'batch': '{batch}',
            'CUDA graph': '{graph}',
            'ms median': '{ms_median:.3f}',
            'ms p95': '{ms_p95:.3f}',
            'fps': '{fps:.0f}',
            'TFLOP/s': '{tflops:.2f}',
            'share': '{share:.3f}',
        },
    ),
    'bounds': (
        'ESTIMATED, not measured: what no program can beat, by published peak and bandwidth',
        {'chip': '{chip}', 'GFLOP': '{gflop:.2f}', 'at least ms': '{bound_ms:.2f}'},
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest='task', metavar='task', required=True)
    peers = tasks.add_parser('peers', help='train, score and time other recognisers and ours')
    peers.add_argument(
        '--set',
        required=True,
        choices=('penn', 'jhmdb14', 'jhmdb21', 'union32', CONTINUOUS),
        help='of clips, or a continuous one',
    )
    peers.add_argument(
        '--split', type=numbers, metavar='N,...', help='of JHMDB; of several the mean (default: 1)'
    )
    peers.add_argument(
        '--data', type=Path, required=True, metavar='DIR', help='folder that holds the sets'
    )
    peers.add_argument('--seeds', type=int, default=3, metavar='N', help='default: 3')
    peers.add_argument(
        '--peers', metavar='NAME,...', help='default: most of them; a wrong name lists all'
    )
    peers.add_argument(
        '--epochs',
        metavar='N|NAME=N,...',
        help="instead of each peer's own number (of ours: that of the config)",
    )
    peers.add_argument(
        '--config',
        type=Path,
        action='append',
        metavar='FILE',
        help='of our models, one for each kind (default: those of the 32-class task, or of precog)',
    )
    peers.add_argument(
        '--ours', metavar='NAME', help='published weights in place of the model of their kind'
    )
    peers.add_argument(
        '--window',
        metavar='S|NAME=S,...',
        help=f'of {CONTINUOUS}: seconds that a windowed peer looks back, instead of its own',
    )
    peers.add_argument(
        '--validation',
        action='store_true',
        help=f'of {CONTINUOUS}: score people held out of the training part, to choose settings',
    )
    peers.add_argument(
        '--out',
        type=Path,
        default=Path('runs/peers'),
        metavar='DIR',
        help='results.json there is added to; what it holds is not repeated (default: runs/peers)',
    )

    recognizer = tasks.add_parser('recognizer', help='time per frame beside windowed networks')
    recognizer.add_argument('--model', default='online_union32', help='name or path of the weights')
    recognizer.add_argument(
        '--people', type=numbers, default=[1, 10], metavar='N,...', help='default: 1,10'
    )

    pose = tasks.add_parser('pose', help='time and accuracy of the pose network beside others')
    pose.add_argument('--model', default='pose', help='name or path of the weights')
    pose.add_argument('--device', default='auto', help='auto, cpu or cuda')
    pose.add_argument(
        '--input-size', type=int, default=224, metavar='PX', help='as the perception node (224)'
    )
    pose.add_argument(
        '--data', type=Path, metavar='DIR', help='folder that holds lspet: also measure PCK'
    )
    pose.add_argument('--limit', type=int, default=300, metavar='N', help='images of lspet (300)')
    pose.add_argument(
        '--movenet',
        type=Path,
        action='append',
        default=[],
        metavar='FILE.onnx',
        help='MoveNet Lightning or Thunder; give it again for the other',
    )
    pose.add_argument(
        '--mediapipe-python', type=Path, metavar='FILE', help='a Python that has mediapipe'
    )
    pose.add_argument(
        '--mediapipe-model',
        type=Path,
        metavar='FILE.task',
        help='its pose landmarker (default: that inside older releases)',
    )
    benchmark_pipeline.add_arguments(tasks.add_parser('pipeline', help=benchmark_pipeline.HELP))
    benchmark_tracking.add_arguments(tasks.add_parser('tracking', help=benchmark_tracking.HELP))
    for task in (peers, recognizer, pose):
        threads = 2 if task is pose else 1
        task.add_argument(
            '--threads', type=int, default=threads, metavar='N', help=f'default: {threads}'
        )
        task.add_argument('--json', type=Path, metavar='FILE', help='also write the figures here')


def run(args: argparse.Namespace) -> None:
    for name in ('seeds', 'threads', 'limit'):
        if getattr(args, name, 1) < 1:
            raise UserError(f'--{name} must be at least 1, not {getattr(args, name)}')
    if args.task == 'pipeline':
        figures = benchmark_pipeline.run(args)
        if args.json:
            write_json(args.json, figures)
        return
    if args.task == 'tracking':
        figures = benchmark_tracking.run(args)
        if args.json:
            write_json(args.json, figures)
        return
    # NumPy reads this when it is imported; PyTorch is told by call.
    os.environ['OPENBLAS_NUM_THREADS'] = str(args.threads)
    if args.task == 'pose':
        figures = _pose(args)
    else:
        figures, columns = _peers(args) if args.task == 'peers' else _recognizer(args)
        from action_recognition.benchmarking.results import markdown

        print(markdown(figures['rows'], columns))
    if args.json:
        write_json(args.json, figures)


def _pose(args: argparse.Namespace) -> dict[str, Any]:
    if args.mediapipe_model and not args.mediapipe_python:
        raise UserError('--mediapipe-model needs --mediapipe-python')
    from action_recognition.benchmarking import pose
    from action_recognition.benchmarking.results import markdown

    mediapipe = args.mediapipe_python and (args.mediapipe_python, args.mediapipe_model)
    figures = pose.run(
        args.model,
        args.device,
        args.threads,
        args.input_size,
        args.data,
        args.limit,
        args.movenet,
        mediapipe,
    )
    for name, (heading, columns) in POSE_TABLES.items():
        if figures[name]:
            print(f'{heading}:\n\n{markdown(figures[name], columns)}\n')
    if not figures['gpu']:
        print('No GPU was measured: the device is the CPU.')
    return figures


def _recognizer(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    from action_recognition.benchmarking import recognizer

    return recognizer.run(args.model, args.people, args.threads), SPEED_COLUMNS


def _peers(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    if args.set == CONTINUOUS:
        return _stream_peers(args)
    if args.window or args.validation:
        raise UserError(f'--window and --validation are for --set {CONTINUOUS}')
    from action_recognition.benchmarking import compare
    from action_recognition.benchmarking.ours import PublishedPeer
    from action_recognition.benchmarking.peer import Peer
    from action_recognition.training.action_config import ActionConfig

    names = names_of(args.peers, compare.DEFAULT_PEERS)
    paths = args.config or [resources.find(name) for name in CONFIGS]
    configs = {config.model: config for config in map(ActionConfig.load, paths)}
    epochs = _by_name('epochs', args.epochs, names, int)
    splits = args.split or [1]
    peers: list[Peer] = []
    published = PublishedPeer(args.ours, args.set, splits) if args.ours else None
    for name in names:
        if published is None or name != published.kind:
            peers.append(compare.create_peer(name, configs, epochs.get(name)))
    if published:
        peers.append(published)
    figures = compare.run(args.set, args.data, splits, args.seeds, peers, args.out, args.threads)
    return figures, PEER_COLUMNS


def _stream_peers(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    if args.split:
        raise UserError(f'--set {CONTINUOUS} has no --split: odd people train, even people test')
    if args.config and len(args.config) > 1:
        raise UserError(f'--set {CONTINUOUS} takes one --config')
    from action_recognition.benchmarking import compare_streams, stream_peers
    from action_recognition.training.action_config import ActionConfig

    names = names_of(args.peers, stream_peers.PEERS)
    config = ActionConfig.load(args.config[0] if args.config else resources.find(STREAM_CONFIG))
    epochs = _by_name('epochs', args.epochs, names, int)
    windowed = [name for name in names if name in stream_peers.NETWORKS]
    windows = _by_name('window', args.window, windowed, float)
    published = stream_peers.PublishedStreamPeer(args.ours) if args.ours else None
    peers = [
        stream_peers.create_peer(name, config, epochs.get(name), windows.get(name))
        for name in names
        if published is None or name != stream_peers.OURS
    ]
    if published:
        peers.append(published)
    figures = compare_streams.run(
        config, args.data, args.seeds, peers, args.out, args.threads, args.validation
    )
    return figures, STREAM_COLUMNS


def _by_name(
    option: str, text: str | None, names: list[str], number: Callable[[str], N]
) -> dict[str, N]:
    """The numbers of the peers that an option names, or of all `names`; all are above 0."""
    if text is None:
        return {}
    if not names:
        raise UserError(f'--{option} means nothing to any of the peers')
    pairs = [part.rpartition('=') for part in text.split(',')]
    try:
        values = {name: number(value) for name, _, value in pairs}
    except ValueError:
        values = {}
    if list(values) == ['']:
        values = dict.fromkeys(names, values[''])
    possible = all(0 < value < math.inf for value in values.values())
    if not values or not possible or not set(values) <= set(names):
        raise UserError(
            f'--{option} is N, or NAME=N,... for {", ".join(names)}; above 0, not {text!r}'
        )
    return values
