"""What all recognisers share."""

from __future__ import annotations

from torch import Tensor, nn


class Recognizer(nn.Module):
    """What both models share: a number of classes and a temperature for their probabilities."""

    def __init__(self, num_classes: int, temperature: float) -> None:
        super().__init__()
        self.num_classes, self.temperature = num_classes, temperature

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated softmax over the last axis."""
        return (logits / self.temperature).softmax(-1)
