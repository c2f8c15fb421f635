"""`action-recognition record`: what a running graph says to a bag, labelled by key presses."""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from action_recognition import fastdds
from action_recognition.cli.output import print_table
from action_recognition.errors import UserError

if TYPE_CHECKING:
    from action_recognition.datasets.key_labels import KeyLabels
    from action_recognition.nodes.bag_recorder import BagRecorder

HELP = 'Record skeletons, actions and labels, and images if asked; keys label what happens.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--out', type=Path, required=True, metavar='BAG', help='must not exist')
    parser.add_argument('--images', action='store_true', help='also the images, compressed as JPEG')
    parser.add_argument(
        '--image-topic',
        default='image',
        metavar='TOPIC',
        help='where images come from, such as /camera/image_raw (default: %(default)s)',
    )
    parser.add_argument(
        '--image-transport',
        choices=('raw', 'compressed'),
        default='raw',
        help='how images come (default: %(default)s)',
    )
    parser.add_argument(
        '--labels',
        metavar='KEYS',
        help='such as 1=wave,2=clap: a press begins the action, another or the same or 0 or space '
        'ends it; the truth goes to BAG.csv',
    )
    parser.add_argument('--duration', type=float, metavar='S', help='end by itself after this')
    parser.add_argument(
        '-r',
        '--remap',
        action='append',
        default=[],
        metavar='FROM:=TO',
        help='one remapping; of a graph in a namespace: __ns:=/robot',
    )


@contextmanager
def key_reader() -> Iterator[Callable[[], str]]:
    """Gives what was typed since the last call, without waiting and without Enter on a terminal."""
    if not sys.stdin.isatty():

        def read_pipe() -> str:
            ready = select.select([sys.stdin], [], [], 0)[0]
            return os.read(sys.stdin.fileno(), 64).decode('ascii', 'ignore') if ready else ''

        yield read_pipe
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin.fileno())

    def read_terminal() -> str:
        ready = select.select([sys.stdin], [], [], 0)[0]
        return os.read(sys.stdin.fileno(), 64).decode('ascii', 'ignore') if ready else ''

    try:
        yield read_terminal
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def run(args: argparse.Namespace) -> int:
    from action_recognition.datasets.key_labels import KeyLabels, parse_keys
    from action_recognition.datasets.truth import write_truth

    keys = parse_keys(args.labels) if args.labels else {}
    if args.duration is not None and not args.duration > 0:
        raise UserError(f'--duration must be positive, not {args.duration}')
    for remap in args.remap:
        if ':=' not in remap:
            raise UserError(f'-r {remap}: write it as FROM:=TO')
    truth = args.out.with_name(args.out.name + '.csv')
    if keys and truth.exists():
        raise UserError(f'{truth} exists: remove it, or record elsewhere')
    # Read when rclpy creates its first context, so it is set in this very process.
    os.environ.update(fastdds.variables(os.environ))
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from action_recognition import nodes  # noqa: F401  # says what to do where ROS is missing
    from action_recognition.nodes.bag_recorder import BagRecorder

    # Ctrl-C ends the recording, not the context that still has to finish the bag.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    labels = KeyLabels(args.out.name, keys)
    remaps = [argument for remap in args.remap for argument in ('-r', remap)]
    try:
        recorder = BagRecorder(
            args.out,
            args.image_topic if args.images else '',
            args.image_transport,
            None,
            ['--ros-args', *remaps] if remaps else [],
        )
        print(f'Recording to {args.out}; Ctrl-C ends it', flush=True)
        if keys:
            listed = ', '.join(f'{key} {label}' for key, label in keys.items())
            print(f'Keys: {listed}, 0 or space: nothing', flush=True)
        try:
            _follow(recorder, labels, keys, args.duration)
        except KeyboardInterrupt:
            pass
        finally:
            recorder.close()
    finally:
        signal.signal(signal.SIGTERM, before)
        rclpy.try_shutdown()
    if (now := recorder.now()) is not None:
        labels.end(now)
    print_table({f'{topic} (messages)': count for topic, count in sorted(recorder.counts.items())})
    if recorder.rejected:
        print(f'{recorder.rejected} images could not be read and were left out')
    if recorder.counts and (topic := recorder.missing_images):
        print(
            f'warning: no image came on {topic}: --image-topic names the topic of your camera, '
            '--image-transport says how its images come',
            file=sys.stderr,
        )
    if not recorder.counts:
        shutil.rmtree(args.out)  # it would only be in the way of the next try
        raise UserError(
            'nothing came: is the graph running, in this ROS domain, under these topic names?'
        )
    if keys:
        found = labels.segments(recorder.first or 0)
        if not found:
            print('Nothing was labelled: there is no truth to write')
            return 0
        write_truth(truth, found)
        print(f'Truth: {len(found)} actions in {truth}; to score the model on them:')
        print(f'  action-recognition evaluate bag --bag {args.out} --truth {truth}')
    return 0


def _follow(
    recorder: BagRecorder, labels: KeyLabels, keys: Mapping[str, str], duration: float | None
) -> None:
    end = None if duration is None else time.monotonic() + duration
    with key_reader() as typed:
        while end is None or time.monotonic() < end:
            recorder.spin(0.05)
            for key in typed() if keys else '':
                now = recorder.now()
                if now is None:
                    print('no skeletons yet: nothing to label', flush=True)
                elif recorder.is_silent and key in keys:
                    print('no skeletons are coming: nothing to label', flush=True)
                elif labels.press(key, now):
                    print(labels.going_on or 'nothing', flush=True)
