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
        super().__init__()
        self.num_classes, self.temperature = num_classes, temperature
