"""Attention with random weight sharing (paper section 4.2), over a clip and over a stream.

Both weight each dimension of the recurrent features over time with its own softmax. In training
a Bernoulli(p) draw per sample and dimension replaces that dimension's weights by those shared by
all dimensions; inference uses the expectation, (1 - p) own + p shared.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from action_recognition.recognition.base import MOST_FADE, NEVER

#: Frames that a sequence forward sums up at once; see `StreamingAttention._scan`.
CHUNK = 16


class RandomSharingAttention(nn.Module):
    """The paper's attention layer over a clip of fixed length (equations 5-7, figure 4).

    Figure 4 from left to right: Scale (time to the last axis), Connect (one fully connected
    layer over time and a softmax), Mean over dimensions, Reduction (the Bernoulli draw), and the
    product with the features.
    """

    def __init__(self, steps: int, sharing: float = 0.5) -> None:
        """Args: steps of a clip, and p, the probability that a dimension shares weights."""
        super().__init__()
        self.sharing = sharing
        self.connect = nn.Linear(steps, steps)

    def weights(self, h: Tensor) -> Tensor:
        """Weights a[t, d] of features (batch, steps, dimensions); over t they sum to 1."""
        own = self.connect(h.transpose(1, 2)).softmax(-1).transpose(1, 2)
        mean = own.mean(2, keepdim=True)
        if not self.training:
            return (1 - self.sharing) * own + self.sharing * mean
        shares = torch.rand(len(h), 1, h.shape[2], device=h.device) < self.sharing
        return torch.where(shares, mean, own)

    def forward(self, h: Tensor) -> Tensor:
        """Weighted features, same shape as `h`: (batch, steps, dimensions)."""
        return self.weights(h) * h


class AttentionState(NamedTuple):
    """Accumulators of `StreamingAttention`, each (people, 2, dimensions): own, shared weights.

    Attributes:
        peak: the largest logit so far, forgotten at the same rate as the past.
        total: sum of exp(logit - peak).
        weighted: sum of exp(logit - peak) * features.
    """

    peak: Tensor
    total: Tensor
    weighted: Tensor


class StreamingAttention(nn.Module):
    """Causal attention in O(1) per frame: a softmax over all frames so far.

    The logit of frame i at time t is e_i - rate * (t - i), with a learnt forgetting rate per
    dimension, so a stream of any length stays fresh. The shared weights come from the mean of
    the logits over dimensions (the normalised geometric mean of the weights), because the
    arithmetic mean of equation 7 would need accumulators of dimensions squared.
    """

    def __init__(self, dimensions: int, sharing: float = 0.5) -> None:
        super().__init__()
        self.dimensions, self.sharing = dimensions, sharing
        self.logits = nn.Linear(dimensions, dimensions)
        # softplus^-1 of rates spread from 1/8 to 2 per second
        rates = torch.logspace(-3, 1, dimensions, base=2)
        self.raw_rate = nn.Parameter(rates.expm1().log())

    def initial(self, people: int) -> AttentionState:
        """The state before the first frame."""
        zero = self.raw_rate.new_zeros(people, 2, self.dimensions)
        return AttentionState(torch.full_like(zero, NEVER), zero, zero)

    def step(
        self, h: Tensor, elapsed: Tensor, state: AttentionState
    ) -> tuple[Tensor, AttentionState]:
        """One frame, in inference.

        Args:
            h: (people, dimensions) features.
            elapsed: (people,) seconds since the frame before.

        Returns:
            (people, dimensions) attended features, new state.
        """
        logits = self._both(self.logits(h))
        faded = state.peak - (self.rates() * elapsed[:, None, None]).clamp(max=MOST_FADE)
        peak = torch.maximum(faded, logits)
        keep, gain = (faded - peak).exp(), (logits - peak).exp()
        total = state.total * keep + gain
        weighted = state.weighted * keep + gain * h.unsqueeze(1)
        own, shared = (weighted / total).unbind(1)
        return torch.lerp(own, shared, self.sharing), AttentionState(peak, total, weighted)

    def forward(self, h: Tensor, elapsed: Tensor) -> Tensor:
        """All frames of sequences at once; in inference the same arithmetic as `step`.

        Args:
            h: (batch, steps, dimensions) features.
            elapsed: (batch, steps) seconds since the frame before.

        Returns:
            (batch, steps, dimensions).
        """
        logits, rates = self._both(self.logits(h)), self.rates()
        if not self.training:
            own, shared = self._scan(h.unsqueeze(2), logits, elapsed, rates).unbind(2)
            return torch.lerp(own, shared, self.sharing)
        shares = torch.rand(len(h), 1, 1, self.dimensions, device=h.device) < self.sharing
        own, shared = logits.split(1, 2)
        drawn = torch.where(shares, shared, own)
        rates = torch.where(shares[:, 0], rates[1:], rates[:1])
        return self._scan(h.unsqueeze(2), drawn, elapsed, rates).squeeze(2)

    def rates(self) -> Tensor:
        """(2, dimensions) forgetting rates per second, of own and of shared weights."""
        return self._both(functional.softplus(self.raw_rate))

    @staticmethod
    def _both(x: Tensor) -> Tensor:
        """(..., dimensions) -> (..., 2, dimensions): each its own, and their mean for all."""
        return torch.stack([x, x.mean(-1, keepdim=True).expand_as(x)], -2)

    @staticmethod
    def _scan(h: Tensor, logits: Tensor, elapsed: Tensor, rates: Tensor) -> Tensor:
        """The weighted means of whole sequences.

        What `step` does frame by frame is a sum of exp(logit_i + rate * time_i) over the past,
        all relative to one peak, that is, a cumulative sum. Relative to the newest time, old
        frames would underflow in long sequences, and relative to the oldest one new frames would
        overflow, so it is done in chunks.

        Args:
            h: (batch, steps, 1, dimensions).
            logits: (batch, steps, kinds, dimensions).
            elapsed: (batch, steps).
            rates: (kinds, dimensions), or (batch, kinds, dimensions).

        Returns:
            (batch, steps, kinds, dimensions).
        """
        peak = torch.full_like(logits[:, 0], NEVER)
        total, weighted = torch.zeros_like(peak), torch.zeros_like(peak)
        means = []
        for start in range(0, h.shape[1], CHUNK):
            part = slice(start, start + CHUNK)
            fade = (rates.unsqueeze(-3) * elapsed[:, part, None, None]).clamp(max=MOST_FADE)
            growth = fade.cumsum(1)
            grown = logits[:, part] + growth
            # Any common offset gives the same means, so no gradient needs to know of this one.
            top = torch.maximum(peak, grown.amax(1)).detach()
            gain, keep = (grown - top[:, None]).exp(), (peak - top).exp()
            totals = gain.cumsum(1) + (total * keep)[:, None]
            sums = (gain * h[:, part]).cumsum(1) + (weighted * keep)[:, None]
            means.append(sums / totals)
            peak, total, weighted = top - growth[:, -1], totals[:, -1], sums[:, -1]
        return torch.cat(means, 1)
