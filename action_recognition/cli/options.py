"""What options hold that name several things."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from action_recognition.errors import UserError


def sizes(text: str) -> list[tuple[int, int]]:
    """`640x480,...` of images, for argparse."""
    pairs = [part.split('x') for part in text.split(',')]
    if not all(len(pair) == 2 and all(side.isdigit() for side in pair) for pair in pairs):
        raise argparse.ArgumentTypeError(f'sizes such as 640x480 are needed, not {text}')
    found = [(int(width), int(height)) for width, height in pairs]
    if min(min(size) for size in found) < 64 or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f'different sizes from 64x64 up are needed, not {text}')
    return found


def numbers(text: str) -> list[int]:
    """`1,3,...` from 1 up, for argparse."""
    found = [int(part) for part in text.split(',')]
    if min(found) < 1 or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f'different numbers from 1 up are needed, not {text}')
    return found


def names_of(text: str | None, usual: Sequence[str], option: str = 'peers') -> list[str]:
    """What an option names."""
    names = text.split(',') if text else list(usual)
    if len(set(names)) < len(names):
        raise UserError(f'--{option} names one twice: {text}')
    return names
