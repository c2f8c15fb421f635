"""`action-recognition play`: a bag into a running graph, without `ros2 bag`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from action_recognition import fastdds
from action_recognition.cli.output import print_table
from action_recognition.errors import UserError

HELP = 'Play a bag into a running graph, in step with its answers if asked.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('bag', type=Path, metavar='BAG')
    parser.add_argument(
        '--clock', action='store_true', help='publish /clock, for nodes with use_sim_time'
    )
    parser.add_argument(
        '--rate',
        type=float,
        metavar='R',
        help='speed (default: 1, or in lockstep as fast as the graph answers)',
    )
    parser.add_argument(
        '--loop', action='store_true', help='again and again; stamps jump back each time'
    )
    parser.add_argument(
        '--lockstep',
        choices=('skeletons', 'actions'),
        help='wait after each image (or message of skeletons) until this topic has answered it: '
        'nothing is lost, however slow the graph',
    )
    parser.add_argument(
        '--topics',
        nargs='+',
        default=[],
        metavar='TOPIC',
        help='play only these (default: all but results that the graph makes of others of them)',
    )
    parser.add_argument(
        '--wait',
        type=float,
        default=60.0,
        metavar='S',
        help='seconds to wait for subscribers and for --active; default: %(default)g',
    )
    parser.add_argument(
        '--active',
        nargs='+',
        default=[],
        metavar='NODE',
        help='wait until these lifecycle nodes are active (full names, such as /robot/perception)',
    )
    parser.add_argument(
        '-r', '--remap', action='append', default=[], metavar='FROM:=TO', help='one remapping'
    )


def run(args: argparse.Namespace) -> int:
    if args.rate is not None and not 0 < args.rate < 1e6:
        raise UserError(f'--rate must be a positive number, not {args.rate}')
    for remap in args.remap:
        if ':=' not in remap:
            raise UserError(f'-r {remap}: write it as FROM:=TO')
    # Read when rclpy creates its first context, so it is set in this very process.
    os.environ.update(fastdds.variables(os.environ))
    import rclpy

    from action_recognition import nodes  # noqa: F401  # says what to do where ROS is missing
    from action_recognition.nodes.bag_player import BagPlayer, PlayOptions, describe

    options = PlayOptions(
        args.clock,
        args.rate,
        args.loop,
        args.lockstep or '',
        args.topics,
        args.wait,
        [f'/{name.lstrip("/")}' for name in args.active],
    )
    remaps = [argument for remap in args.remap for argument in ('-r', remap)]
    rclpy.init(args=[])
    try:
        player = BagPlayer(args.bag, options, None, ['--ros-args', *remaps] if remaps else [])
        try:
            tally = player.play()
        finally:
            player.close()
    finally:
        rclpy.try_shutdown()
    print_table(describe(tally))
    if tally.repeated:
        print(f'{tally.repeated} messages were sent again')
    if tally.unanswered:
        print(f'failed: {tally.unanswered} messages got no answer', file=sys.stderr)
    return int(bool(tally.unanswered))
