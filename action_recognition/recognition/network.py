"""What all recognisers share in PyTorch."""

from __future__ import annotations

import torch
from torch import nn

from action_recognition.recognition.base import is_temperature


class Recognizer(nn.Module):
    """A number of classes, and the temperature for `softmax`.

    Attributes:
        inputs: features of a frame.
    """

    inputs: int

    def __init__(self, num_classes: int, temperature: float) -> None:
        """Raises: ValueError, the temperature is no finite float32 above 0."""
        super().__init__()
        if not is_temperature(temperature):
            raise ValueError(f'temperature must be a finite number above 0, not {temperature!r}')
        self.num_classes, self.temperature = num_classes, temperature

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.parameters()).device
