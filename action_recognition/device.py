"""Where a network computes."""

from __future__ import annotations

import torch

from action_recognition.errors import UserError


def resolve_device(device: str) -> torch.device:
    """'auto' is the first GPU or else the CPU; anything else is what torch calls it.

    Raises:
        UserError: the name is unknown, or a GPU is asked for that torch does not see.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"unknown device {device!r}: use 'auto', 'cpu' or 'cuda'") from error
    if resolved.type == 'cuda' and (resolved.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f'device {device!r} was asked for, but torch sees {torch.cuda.device_count()} GPUs: '
            "install a CUDA build of torch, or use device 'cpu'"
        )
    return resolved
