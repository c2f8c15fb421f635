"""The `action-recognition` command.

One module per sub-command with `HELP`, `add_arguments(parser)` and `run(args)`, which returns the
exit code or None. They import what is heavy (torch, matplotlib, rclpy) inside `run`, so that
`--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from action_recognition import __version__
from action_recognition.errors import UserError

PROGRAM = 'action-recognition'
#: In the order in which `--help` lists them.
COMMANDS = (
    'demo',
    'run',
    'play',
    'record',
    'label',
    'train',
    'teach',
    'evaluate',
    'benchmark',
    'export',
    'doctor',
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0, 1 for an error of the user's, 2 for wrong arguments."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = build_parser(argv).parse_args(argv)
    try:
        return args.run(args) or 0
    except UserError as error:
        # Reasons quoted from libraries, such as those of YAML, may have many lines.
        print(f'{PROGRAM}: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command that `argv` names, or of all commands when it names none."""
    parser = argparse.ArgumentParser(
        PROGRAM, description='Online human action recognition: camera images to action labels.'
    )
    parser.add_argument('--version', action='version', version=f'%(prog)s {__version__}')
    subparsers = parser.add_subparsers(metavar='command', required=True)
    for name in argv[:1] if argv and argv[0] in COMMANDS else COMMANDS:
        module = import_module(f'{__name__}.{name}')
        subparser = subparsers.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser
