"""Probabilities from logits."""

from __future__ import annotations

import numpy as np
import torch

from action_recognition.recognition.base import softmax


def test_softmax_is_that_of_torch_at_any_temperature_and_size():
    logits = np.random.default_rng(0).normal(0, 5, (3, 4, 7)).astype(np.float32)
    logits[0] += 1e4
    for temperature in (0.5, 1.0, 3.0):
        expected = (torch.from_numpy(logits) / temperature).softmax(-1)
        out = softmax(logits, temperature)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out, expected, atol=1e-6)
