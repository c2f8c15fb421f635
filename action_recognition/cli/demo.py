"""`action-recognition demo`: the whole graph on one source, and what it saw as files."""

from __future__ import annotations

import argparse
import math
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from action_recognition import weights
from action_recognition.errors import UserError

HELP = 'Run the whole graph on a source; leaves a video, labels, a bag and a summary page.'
#: Marks a directory as one that the demo may clear.
MARKER = '.action_recognition_demo'
#: What a run leaves.
LEFT_BEHIND = (
    'graph.yaml',
    'annotated.mp4',
    'labels.csv',
    'index.html',
    'summary.json',
    'bag',
    'logs',
)
#: Of an interrupted command, as shells know it.
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--source',
        help='image, directory of images, video, camera (0 or /dev/video0), URL or bag; default: '
        'the first camera, else a sample clip',
    )
    parser.add_argument(
        '--out', type=Path, default=Path('demo_out'), metavar='DIR', help='default: %(default)s'
    )
    parser.add_argument(
        '--composed', action='store_true', help='one process for all nodes instead of three'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda; default: %(default)s')
    parser.add_argument(
        '--duration', type=float, metavar='S', help='stop after these seconds of the source'
    )
    parser.add_argument(
        '--input-size',
        type=int,
        metavar='PX',
        help="perception's input_size: smaller for people near by, larger for people far away",
    )
    parser.add_argument(
        '--pose', default='pose', metavar='NAME', help='pose weights; default: %(default)s'
    )
    parser.add_argument(
        '--recognizer',
        default='online_union32',
        metavar='NAME',
        help='action weights; default: %(default)s',
    )


def run(args: argparse.Namespace) -> int:
    from action_recognition import nodes  # noqa: F401  # says what to do where ROS is missing
    from action_recognition.cli.graph import Recipe, play
    from action_recognition.cli.results import LiveArtist, write_results
    from action_recognition.cli.sample import SAMPLE_INPUT_SIZE, fetch_sample
    from action_recognition.datasets.sources import open_source, split_bag

    if args.duration is not None and not 0 < args.duration < math.inf:
        raise UserError(f'--duration must be a positive number of seconds, not {args.duration}')
    models = {'pose': weights.find(args.pose), 'recognizer': weights.find(args.recognizer)}
    weights.read_header(models['pose'], 'pose')
    weights.read_header(models['recognizer'], 'action')
    spec, input_size = args.source, args.input_size
    if spec is None:
        spec = _first_camera()
    if spec is None:
        spec, input_size = str(fetch_sample()), input_size or SAMPLE_INPUT_SIZE
    with open_source(spec) as source:
        pass  # only to see that it is there, and what it is
    if split_bag(spec)[0].resolve().is_relative_to(args.out.resolve()):
        raise UserError(
            f'{spec} lies in {args.out}, which is about to be cleared: use another --out'
        )
    _clear(args.out)
    recipe = Recipe(
        source=spec,
        live=source.live,
        keeps_stamps=source.start is not None,
        length=source.length,
        fps=source.fps,
        duration=args.duration,
        out=args.out,
        composed=args.composed,
        device=args.device,
        pose=args.pose,
        recognizer=args.recognizer,
        input_size=input_size,
    )
    print(f'Playing {source.name}; the results will be in {args.out}', flush=True)
    with _terminated_as_interrupted():
        if source.live:
            with LiveArtist(args.out, source) as artist:
                outcome = play(recipe, artist.see, artist.catch_up)
        else:
            outcome = play(recipe)
        write_results(recipe, source, outcome, models)
    if outcome.failure:
        raise outcome.failure
    return INTERRUPTED if outcome.interrupted and not source.live else 0


def _first_camera() -> str | None:
    from action_recognition.datasets.sources import open_source

    for device in sorted(Path('/dev').glob('video*')):
        with suppress(UserError), open_source(device):
            return str(device)
    return None


def _clear(out: Path) -> None:
    """Make the directory, and take out what an earlier run left there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / MARKER).is_file():
            raise UserError(f'{out} holds other files: name another directory with --out')
        (out / MARKER).touch()
        for name in LEFT_BEHIND:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f'cannot write to {out}: {error.strerror}') from error


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that child processes are ended too."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
