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
        return AttentionState(torch.full_like(zero, -1e9), zero, zero)

    def step(
        self, h: Tensor, elapsed: Tensor, state: AttentionState
    ) -> tuple[Tensor, AttentionState]:
        """One frame.

        Args:
            h: (people, dimensions) features.
            elapsed: (people,) seconds since the frame before.

        Returns:
            (people, 2, dimensions) attended features by own and by shared weights, new state.
        """
        return self._accumulate(h, self._both(self.logits(h)), elapsed, self._rates(), state)

    def forward(self, h: Tensor, elapsed: Tensor) -> Tensor:
        """All frames of sequences at once, the same arithmetic as `step`.

        Args:
            h: (batch, steps, dimensions) features.
            elapsed: (batch, steps) seconds since the frame before.

        Returns:
            (batch, steps, 2, dimensions).
        """
        logits, rates = self._both(self.logits(h)), self._rates()
        state, out = self.initial(len(h)), []
        for start in range(0, h.shape[1], CHUNK):
            part = slice(start, start + CHUNK)
            attended, state = self._scan(h[:, part], logits[:, part], elapsed[:, part], rates, state)
            out.append(attended)
        return torch.cat(out, 1)

    def mix(self, attended: Tensor) -> Tensor:
        """(batch, ..., 2, dimensions) by own and shared weights -> (batch, ..., dimensions)."""
        own, shared = attended.unbind(-2)
        if not self.training:
            return torch.lerp(own, shared, self.sharing)
        shape = [len(own)] + [1] * (own.ndim - 2) + [own.shape[-1]]
        return torch.where(torch.rand(shape, device=own.device) < self.sharing, shared, own)

    def _rates(self) -> Tensor:
        return self._both(functional.softplus(self.raw_rate))

    @staticmethod
    def _both(x: Tensor) -> Tensor:
        """(..., dimensions) -> (..., 2, dimensions): each its own, and their mean for all."""
        return torch.stack([x, x.mean(-1, keepdim=True).expand_as(x)], -2)

    @staticmethod
    def _accumulate(
        h: Tensor, logits: Tensor, elapsed: Tensor, rates: Tensor, state: AttentionState
    ) -> tuple[Tensor, AttentionState]:
        """One frame: h (people, dimensions), logits (people, 2, dimensions)."""
        faded = state.peak - rates * elapsed[:, None, None]
        peak = torch.maximum(faded, logits)
        keep, gain = (faded - peak).exp(), (logits - peak).exp()
        total = state.total * keep + gain
        weighted = state.weighted * keep + gain * h.unsqueeze(1)
        return weighted / total, AttentionState(peak, total, weighted)

    @staticmethod
    def _scan(
        h: Tensor, logits: Tensor, elapsed: Tensor, rates: Tensor, state: AttentionState
    ) -> tuple[Tensor, AttentionState]:
        """Some frames at once: h (people, steps, dimensions), logits (people, steps, 2, ...).

        What `_accumulate` does frame by frame is a sum of exp(logit_i + rate * time_i) over the
        past, all relative to one peak: a cumulative sum. Relative to the newest time, old frames
        would underflow on long sequences and new ones overflow relative to the oldest, hence the
        chunks.
        """
        grown = logits + rates * elapsed.cumsum(1)[..., None, None]
        # Any common offset gives the same ratio; no gradient needs to know of it.
        peak = torch.maximum(state.peak, grown.amax(1)).detach()
        gain, keep = (grown - peak[:, None]).exp(), (state.peak - peak).exp()
        total = gain.cumsum(1) + (state.total * keep)[:, None]
        weighted = (gain * h.unsqueeze(2)).cumsum(1) + (state.weighted * keep)[:, None]
        faded = peak - rates * elapsed.sum(1)[:, None, None]
        return weighted / total, AttentionState(faded, total[:, -1], weighted[:, -1])
