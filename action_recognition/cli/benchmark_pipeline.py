"""`action-recognition benchmark pipeline`: from the stamp of an image to its labels."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from action_recognition.cli.options import names_of, numbers, sizes
from action_recognition.errors import UserError

HELP = 'time from the stamp of an image to its labels in the running graph'
COLUMNS = {
    'graph': '{graph}',
    'input': '{input}',
    'image': '{size}',
    'people': '{people}',
    'labels': '{tracked:.1f}',
    'models alone, ms p50': '{floor_p50:.1f}',
    'p95': '{floor_p95:.1f}',
    'stamp to label, ms p50': '{ms_p50:.1f}',
    'p95 ': '{ms_p95:.1f}',
    'p99': '{ms_p99:.1f}',
    'p95 beyond the models': '{beyond_p95:.1f}',
    'Hz': '{hz:.1f}',
    'lost': '{lost} of {frames}',
    'CPU %': '{cpu_percent:.0f}',
    'MB': '{rss_mb:.0f}',
    'growth MB': '{growth_mb:.1f}',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # Not `GRAPHS` of the module: that needs ROS.
    parser.add_argument(
        '--graphs', metavar='NAME,...', help='default: all; a wrong name lists them'
    )
    parser.add_argument(
        '--sizes', type=sizes, default=sizes('640x480,1280x720'), metavar='WxH,...',
        help='of the images; default: 640x480,1280x720',
    )  # fmt: skip
    parser.add_argument(
        '--people', type=numbers, default=[1, 3, 10], metavar='N,...', help='default: 1,3,10'
    )
    parser.add_argument(
        '--rate', type=float, default=15.0, metavar='HZ', help='of the camera; default: 15'
    )
    parser.add_argument(
        '--seconds', type=float, default=4.0, metavar='S', help='measured of each scene; default: 4'
    )
    parser.add_argument(
        '--naive-backend', default='ours', metavar='NAME',
        help="what finds people in the naive chain: ours, mediapipe, ... (perception's backend)",
    )  # fmt: skip
    parser.add_argument(
        '--republish', type=int, default=0, metavar='N',
        help='instead: how many of N raw images of 640x480 at 30 Hz get lost between processes',
    )  # fmt: skip
    parser.add_argument(
        '--trace', type=Path, metavar='FILE', help='the stages of the last graph, for Perfetto'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the figures here')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns the figures."""
    for name in ('rate', 'seconds'):
        if not 0 < getattr(args, name) < math.inf:
            raise UserError(f'--{name} must be above 0, not {getattr(args, name)}')
    if args.republish < 0:
        raise UserError(f'--republish must be at least 0, not {args.republish}')
    from action_recognition import nodes  # noqa: F401  # says what to do where ROS is missing
    from action_recognition.benchmarking import pipeline
    from action_recognition.benchmarking.results import markdown
    from action_recognition.cli.sample import fetch_sample

    if args.republish:
        figures = pipeline.republish(fetch_sample(), args.republish)
        print(markdown([figures], {name: f'{{{name}}}' for name in figures}))
        return figures
    graphs = names_of(args.graphs, tuple(pipeline.GRAPHS), 'graphs')
    if unknown := set(graphs) - set(pipeline.GRAPHS):
        raise UserError(
            f'--graphs has no {", ".join(sorted(unknown))}; there are {", ".join(pipeline.GRAPHS)}'
        )
    rows = pipeline.run(
        fetch_sample(),
        graphs,
        args.sizes,
        args.people,
        args.rate,
        args.seconds,
        args.naive_backend,
        args.trace,
    )
    print(markdown(rows, COLUMNS))
    return {'rate_hz': args.rate, 'seconds': args.seconds, 'rows': rows}
