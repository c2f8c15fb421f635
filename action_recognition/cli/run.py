"""`action-recognition run`: a node without `ros2 run`, for machines that have ROS from pip."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path
from types import ModuleType

from action_recognition import fastdds
from action_recognition.errors import UserError

HELP = 'Run a node without `ros2 launch`.'
NODES = ('camera', 'perception', 'recognizer', 'behavior', 'pipeline')
#: Parameters that every node has besides its SETTINGS: ours, and those of rclpy.
COMMON = ('autostart', 'trace', 'use_sim_time', 'start_type_description_service')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('node', choices=NODES, help='pipeline: the first three in one process')
    parser.add_argument(
        '--params-file',
        action='append',
        default=[],
        type=Path,
        metavar='FILE',
        help='YAML of parameters; of several files the last one wins',
    )
    parser.add_argument(
        '-p', '--param', action='append', default=[], metavar='NAME:=VALUE', help='one parameter'
    )
    parser.add_argument(
        '-r', '--remap', action='append', default=[], metavar='FROM:=TO', help='one remapping'
    )
    parser.add_argument('--namespace', metavar='NS', help='namespace of the node and its topics')


def run(args: argparse.Namespace) -> int:
    ros_args = to_ros_args(args)
    # Read when rclpy creates its first context, so it is set in this very process.
    os.environ.update(fastdds.variables(os.environ))
    node = import_module(f'action_recognition.nodes.{args.node}')
    check_names(args, node)
    return node.main(ros_args) or 0


def to_ros_args(args: argparse.Namespace) -> list[str]:
    """The arguments as rclpy takes them.

    Raises:
        UserError: a parameter file is missing, or an assignment has no `:=`.
    """
    ros_args = ['--ros-args']
    for path in args.params_file:
        if not path.is_file():
            raise UserError(f'parameter file {path} does not exist')
        ros_args += ['--params-file', str(path)]
    for flag, assignments in (('-p', args.param), ('-r', args.remap)):
        for assignment in assignments:
            name, separator, value = assignment.partition(':=')
            if not (name and separator and value):
                raise UserError(f'{flag} {assignment}: write it as name:=value')
            ros_args += [flag, assignment]
    if args.namespace:
        ros_args += ['-r', f'__ns:=/{args.namespace.strip("/")}']
    return ros_args


def check_names(args: argparse.Namespace, module: ModuleType) -> None:
    """Refuse `-p` for a parameter that no node of the module has: rclpy would pass it over.

    Raises:
        UserError: there is no such parameter.
    """
    settings = (s for value in vars(module).values() for s in getattr(value, 'SETTINGS', ()))
    known = {*COMMON, *(setting.name for setting in settings)}
    for assignment in args.param:
        name = assignment.partition(':=')[0].rpartition(':')[2]  # NODE:NAME:=VALUE is allowed
        if name not in known and not name.startswith('qos_overrides.'):
            raise UserError(
                f'{args.node} has no parameter {name}; there are {", ".join(sorted(known))}'
            )
