"""`action-recognition benchmark tracking`: who is who, ours beside other trackers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from action_recognition.errors import UserError

HELP = 'identities on composed scenes: IDF1, MOTA, labels, time, beside other trackers'

COLUMNS = {
    'tracker': '{tracker}',
    'IDF1': '{idf1:.3f}',
    'std': '{idf1_std:.3f}',
    'MOTA': '{mota:.3f}',
    'switches': '{switches:.0f}',
    'fragments': '{fragmentations:.0f}',
    **{
        kind: '{idf1_by_kind[' + kind + ']:.3f}'
        for kind in ('crossing', 'meeting', 'exits', 'crowd')
    },
    **{rate: '{idf1_by_rate[' + rate + ']:.3f}' for rate in ('30 Hz', '10 Hz')},
    'labels': '{label_accuracy:.3f}',
    'loss': '{label_accuracy_loss:+.3f}',
    'actions': '{action_accuracy:.3f}',
    'ms median': '{ms_median:.3f}',
    'ms p95': '{ms_p95:.3f}',
}
TUNED_COLUMNS = {
    'tracker': '{tracker}',
    'trials': '{trials}',
    'IDF1, present': '{present_idf1:.3f}',
    'IDF1, best': '{idf1:.3f}',
    'settings': '{settings}',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--data', type=Path, required=True, metavar='DIR', help='folder that holds the sets'
    )
    parser.add_argument('--seeds', type=int, default=3, metavar='N', help='default: 3')
    parser.add_argument(
        '--scenes',
        type=int,
        default=3,
        metavar='N',
        help='of every kind and frame rate, for each seed (default: 3)',
    )
    parser.add_argument(
        '--trackers', metavar='NAME;...', help='default: all installed; a wrong name lists them'
    )
    parser.add_argument('--model', default='online_union32', help='name or path of the weights')
    parser.add_argument(
        '--tune',
        type=int,
        default=0,
        metavar='N',
        help='instead of scoring: N trials of settings of each tracker, on training clips',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the figures here')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns the figures."""
    for name, least in (('scenes', 1), ('tune', 0)):
        if getattr(args, name) < least:
            raise UserError(f'--{name} must be at least {least}, not {getattr(args, name)}')
    from action_recognition.benchmarking import tracking, tracking_peers
    from action_recognition.benchmarking.results import markdown

    peers = tracking_peers.choose(args.trackers)
    if args.tune:
        rows = tracking.search(args.data, peers, args.tune, args.scenes)
        print(markdown(rows, TUNED_COLUMNS))
        return {'rows': rows, 'trials': args.tune}
    figures = tracking.run(args.data, args.seeds, args.scenes, peers, args.model)
    print(markdown(figures['rows'], COLUMNS))
    return figures
