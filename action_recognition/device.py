"""Where a network computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from action_recognition.errors import UserError

if TYPE_CHECKING:
    import torch


def resolve_device(device: str) -> torch.device:
    """'auto' is the first GPU or else the CPU; otherwise torch's 'cpu', 'cuda' or 'cuda:1'.

    Raises:
        UserError: the name is unknown, or a GPU is asked for that torch does not see.
    """
    import torch  # not before it is needed: 180 MB

    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    unknown = UserError(f"unknown device {device!r}: use 'auto', 'cpu' or 'cuda'")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise unknown from error
    if resolved.type not in ('cpu', 'cuda'):
        raise unknown
    if resolved.type == 'cuda' and (resolved.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f'device {device!r} was asked for, but torch sees {torch.cuda.device_count()} GPUs: '
            "install a CUDA build of torch, or use device 'cpu'"
        )
    return resolved
