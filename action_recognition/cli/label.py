"""`action-recognition label`: make and check the truth files of bags."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from action_recognition.errors import UserError

if TYPE_CHECKING:
    from action_recognition.datasets.truth import Segment

HELP = 'Make truth files of bags: from folders, annotation tools or the model; check them.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument(
        '--from-folders', type=Path, metavar='DIR', help='of DIR/<class>/<bag>: one action each'
    )
    ways.add_argument(
        '--import',
        dest='export',
        type=Path,
        metavar='FILE',
        help='of the CSV export of ELAN, BORIS or Label Studio; needs one --bag',
    )
    ways.add_argument(
        '--propose',
        nargs='+',
        metavar='BAG[:TOPIC]',
        help='what the model confirms in these bags, for you to correct',
    )
    ways.add_argument(
        '--check', type=Path, metavar='CSV', help='a truth file; with --bag also against the bags'
    )
    parser.add_argument('--out', type=Path, metavar='CSV', help='the truth file to write')
    parser.add_argument('--bag', nargs='+', default=[], metavar='BAG[:TOPIC]')
    parser.add_argument(
        '--model', metavar='NAME', help='recogniser, of --propose and --check (online_union32)'
    )
    parser.add_argument('--pose', metavar='NAME', help='pose weights, of --propose on images')
    parser.add_argument('--params-file', type=Path, metavar='YAML', help='of --propose')
    parser.add_argument('--fps', type=float, help='of the video, for frames of Label Studio')


def run(args: argparse.Namespace) -> int:
    from action_recognition.datasets.truth import write_truth

    if args.check:
        return _check(args)
    if args.out is None:
        raise UserError('--out names the truth file to write')
    if args.out.exists():
        raise UserError(f'{args.out} exists: remove it, or write elsewhere')
    if args.from_folders:
        found = from_folders(args.from_folders)
    elif args.export:
        from action_recognition.datasets.annotators import read_export
        from action_recognition.datasets.sources import split_bag

        if len(args.bag) != 1:
            raise UserError('--import needs one --bag: the recording that was annotated')
        if args.fps is not None and not args.fps > 0:
            raise UserError(f'--fps must be positive, not {args.fps}')
        found = read_export(args.export, split_bag(args.bag[0])[0].name, args.fps)
    else:
        found = _propose(args)
    write_truth(args.out, found)
    print(f'Actions in {args.out}: {len(found)}')
    return 0


def from_folders(root: Path) -> list[Segment]:
    """One segment for each bag, of the class that its folder is named for.

    A bag that cannot be read is left out with a line on stderr.

    Raises:
        UserError: there are none.
    """
    from action_recognition.datasets.sources import DEFAULT_FPS, is_bag
    from action_recognition.datasets.truth import ANY, Segment
    from action_recognition.evaluation.offline import span

    bags = sorted(path for path in root.glob('*/*') if is_bag(path))
    if not bags:
        raise UserError(f'{root} holds no <class>/<bag>')
    segments = []
    for bag in bags:
        try:
            first, last = span(str(bag))
        except UserError as error:
            _left_out(error)
            continue
        seconds = (last - first) * 1e-9 + 1 / DEFAULT_FPS  # the last frame lasts as well
        name = f'{bag.parent.name}/{bag.name}'
        segments.append(Segment(name, 0.0, seconds, ANY, bag.parent.name))
    if not segments:
        raise UserError(f'no bag of {root} can be read')
    return segments


def _propose(args: argparse.Namespace) -> list[Segment]:
    from action_recognition.evaluation import offline
    from action_recognition.evaluation.proposals import propose

    setup = offline.create_setup(args.params_file, args.model, args.pose)
    return propose(setup, args.propose, _left_out)


def _left_out(error: UserError) -> None:
    print(f'left out: {error}', file=sys.stderr)


def _check(args: argparse.Namespace) -> int:
    from action_recognition import weights
    from action_recognition.datasets.sources import split_bag
    from action_recognition.datasets.truth import faults, of_bag, read_truth
    from action_recognition.evaluation.offline import span
    from action_recognition.stages.recognition import DEFAULT_RECOGNIZER

    truth = read_truth(args.check)
    classes = weights.read_header(weights.find(args.model or DEFAULT_RECOGNIZER), 'action').labels
    lines = []
    named: set[Segment] = set()
    for spec in args.bag:
        path = split_bag(spec)[0]
        rows = of_bag(truth, path)
        named |= set(rows)
        if not rows:
            lines.append(f'{spec}: no row is about it')
            continue
        try:
            lines += [f'{spec}: {line}' for line in faults(rows, classes, span(spec))]
        except UserError as error:
            lines.append(f'{spec}: {error}')
    left = [segment for segment in truth if segment not in named]
    for bag in dict.fromkeys(segment.bag for segment in left):
        if args.bag:
            lines.append(f'{bag}: rows about a bag that is not given')
        rows = [segment for segment in left if segment.bag == bag]
        lines += [f'{bag}: {line}' for line in faults(rows, classes)]
    for line in lines:
        print(line, file=sys.stderr)
    print(f'{len(truth)} segments, {len(lines)} problems')
    return int(bool(lines))
