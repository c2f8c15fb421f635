"""What all recognisers share, in PyTorch and in NumPy."""

from __future__ import annotations

import numpy as np

from action_recognition.skeleton import FloatArray

#: Logit of a past that never was, for attention over a stream.
NEVER = -1e9
#: The past fades by no more than exp of this from one frame to the next, so that nothing
#: underflows within a chunk; a pause of any length still makes it as good as forgotten.
MOST_FADE = 4.0
#: Added to the probability of a class, so that it has a logarithm.
LEAST_CHANCE = 1e-12


def softmax(logits: FloatArray, temperature: float) -> FloatArray:
    """Probabilities over the last axis."""
    scaled = logits / np.float32(temperature)
    scaled = np.exp(scaled - scaled.max(-1, keepdims=True))
    return scaled / scaled.sum(-1, keepdims=True)


def agreed(logits: FloatArray) -> FloatArray:
    """What members of an ensemble say together: the logarithm of their mean probabilities.

    Args:
        logits: (members, n, classes), each over its temperature.

    Returns:
        (n, classes).
    """
    return np.log(softmax(logits, 1.0).mean(0) + np.float32(LEAST_CHANCE))


def is_temperature(value: object) -> bool:
    """Whether logits can be divided by it: a finite float32 above 0."""
    limits = np.finfo(np.float32)
    least, most = float(limits.tiny), float(limits.max)
    return isinstance(value, (int, float)) and least <= value <= most
