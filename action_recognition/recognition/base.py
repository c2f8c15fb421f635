"""What all recognisers share."""

from __future__ import annotations

import numpy as np
from torch import nn

from action_recognition.skeleton import FloatArray


def softmax(logits: FloatArray, temperature: float) -> FloatArray:
    """Probabilities over the last axis."""
    scaled = logits / np.float32(temperature)
    scaled = np.exp(scaled - scaled.max(-1, keepdims=True))
    return scaled / scaled.sum(-1, keepdims=True)


class Recognizer(nn.Module):
    """What both models share: a number of classes, and the temperature for `softmax`."""

    def __init__(self, num_classes: int, temperature: float) -> None:
        """Raises: ValueError, the temperature is no finite float32 above 0."""
        super().__init__()
        limits = np.finfo(np.float32)
        least, most = float(limits.tiny), float(limits.max)
        if not (isinstance(temperature, (int, float)) and least <= temperature <= most):
            raise ValueError(f'temperature must be a finite number above 0, not {temperature!r}')
        self.num_classes, self.temperature = num_classes, temperature
