"""`action-recognition export`: the pose network for other runtimes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from action_recognition.errors import UserError

HELP = 'Write the pose network as an ONNX file or a TensorRT engine.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_subparsers(dest='format', metavar='format', required=True)
    onnx = formats.add_parser('onnx', help='bytes in, maps out, preprocessing inside')
    onnx.add_argument('--out', type=Path, required=True, metavar='FILE')
    onnx.add_argument(
        '--input-size',
        type=_size,
        metavar='WxH',
        help='bind the model to images of this size in pixels, multiples of 8 (default: any size)',
    )
    tensorrt = formats.add_parser('tensorrt', help='an engine in float16 for this machine')
    tensorrt.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='default: beside the weights, where the perception node looks for it; elsewhere the '
        'node needs the parameter engine',
    )
    tensorrt.add_argument(
        '--input-size',
        type=_size,
        default=(264, 200),
        metavar='WxH',
        help='tune it for images of this size; it takes up to twice that (default: 264x200, what '
        'a camera of 4:3 gives at an input_size of 224)',
    )
    tensorrt.add_argument(
        '--crop-size',
        type=_side,
        metavar='N',
        help='tune it for crops of this side, and take none that are larger (default: the '
        'look.crop_size that perception has by default)',
    )
    tensorrt.add_argument('--device', default='cuda', help='default: cuda')
    for task in (onnx, tensorrt):
        task.add_argument('--model', default='pose', help='name or path of the weights')
        task.add_argument(
            '--stages', type=int, default=0, metavar='N', help='how many stages (default: all)'
        )


def _side(text: str) -> int:
    side = int(text) if text.isdecimal() else 0
    if side < 32 or side % 8:
        raise argparse.ArgumentTypeError(
            f'pixels are needed, a multiple of 8 from 32 on, such as 160, not {text}'
        )
    return side


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.split('x'))
    except ValueError:
        width = height = 0
    if min(width, height) < 32 or width % 8 or height % 8:
        raise argparse.ArgumentTypeError(
            f'WxH is needed, multiples of 8 from 32 on, such as 264x200, not {text}'
        )
    return width, height


def run(args: argparse.Namespace) -> None:
    from action_recognition.pose.deployed import Deployed
    from action_recognition.pose.estimator import load_network
    from action_recognition.pose.gaze import LookConfig
    from action_recognition.pose.onnx_file import describe, to_onnx
    from action_recognition.pose.tensorrt_runtime import build_engine, engine_path

    path, header, network = load_network(args.model, args.stages)
    size = args.input_size and (args.input_size[1], args.input_size[0])
    if args.format == 'onnx':
        length = _write(args.out, lambda: to_onnx(Deployed(network), describe(header), size))
        print(f'{args.out}: {header.name}, {length / 1e6:.1f} MB')
        return
    out = args.out or engine_path(path)
    crop_size = args.crop_size or LookConfig().crop_size
    try:
        length = _write(out, lambda: build_engine(network, size, crop_size, args.device))
    except _CannotWrite as error:
        hint = '' if args.out else ': name a place by --out, and by parameter engine'
        raise UserError(f'{error}{hint}') from error
    print(f'{out}: {header.name}, {length / 1e6:.1f} MB')
    if args.out:
        print(f'perception takes it by its parameter: -p engine:={out.resolve()}')


class _CannotWrite(UserError):
    """A file cannot be written."""


def _write(out: Path, make: Callable[[], bytes]) -> int:
    """Write what is made, once it is known that it can be written: an engine takes minutes.

    What is there is replaced when the new one is whole.

    Returns:
        Bytes written.

    Raises:
        UserError: the file cannot be written; or as `make`.
    """
    partial = out.with_name(out.name + '.partial')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with partial.open('wb') as file:
            content = make()
            file.write(content)
        partial.replace(out)
    except OSError as error:
        raise _CannotWrite(f'cannot write {out}: {error.strerror}') from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return len(content)
