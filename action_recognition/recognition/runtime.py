"""How `OnlineRecognizer` runs on a robot: frame by frame, for people who come and go.

The arithmetic of one person takes less time than the calls of PyTorch that would do it, so
`CpuRuntime` folds every normalisation into the weights next to it and does what is left in few
and cheap calls of NumPy. A GPU is for `torch_runtime`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from action_recognition.recognition.base import MOST_FADE, NEVER, agreed
from action_recognition.recognition.features import ELAPSED
from action_recognition.recognition.online_weights import OnlineWeights, affine
from action_recognition.skeleton import FloatArray, IntArray
from action_recognition.threads import one_blas_thread

#: Indices of people, or all of them.
Rows = IntArray | slice


class Runtime(Protocol):
    """People as the rows of one batch, and a step that advances any of them by a frame."""

    def add(self, people: int) -> None:
        """Append people who have not been seen before."""

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        """Drop the people whose row is False."""

    def step(self, features: FloatArray, rows: Rows) -> FloatArray:
        """One frame of the people of these rows.

        Args:
            features: (n, inputs) of `online_step`.
            rows: where they are.

        Returns:
            (n, classes) logits.
        """


class _Layer:
    """A fully connected layer of each member."""

    def __init__(self, parts: Iterable[tuple[FloatArray, FloatArray]]) -> None:
        """Args: weight (inputs, outputs) and bias of each member."""
        weights, biases = zip(*parts, strict=True)
        self.weight = np.ascontiguousarray(np.stack(weights), np.float32)
        self.bias = np.stack(biases).astype(np.float32)[:, None]

    def __call__(self, x: FloatArray) -> FloatArray:
        """(members, n, inputs) to (members, n, outputs)."""
        y = x @ self.weight
        y += self.bias
        return y


class CpuRuntime:
    """Equal to `OnlineRecognizer` within rounding, in about a quarter of the time of its `step`.

    Axis 0 of all that is remembered is the member of the ensemble, axis 1 the person.
    """

    def __init__(self, weights: OnlineWeights) -> None:
        with one_blas_thread():
            pass  # it looks for the libraries once: not when the first person comes
        members = weights.members
        self.units = units = len(members[0]['attention.raw_rate'])
        self.lstms = [_Layer(_lstm(arrays, k) for arrays in members) for k in range(weights.layers)]
        last = f'norms.{weights.layers - 1}'
        self.attend = _Layer(_normalised(arrays, last, 'attention.logits') for arrays in members)
        rates = np.stack([np.logaddexp(0, arrays['attention.raw_rate']) for arrays in members])
        # Own and shared rates, (members, 1, 2, units).
        both = [rates, np.broadcast_to(rates.mean(-1, keepdims=True), rates.shape)]
        self.rates = np.stack(both, 1).astype(np.float32)[:, None]
        self.sharing = np.float32(weights.sharing)
        # The weights of the attention sum to 1, so what is attended is normalised in the same way.
        self.dense = _Layer(_normalised(arrays, last, 'dense', 2) for arrays in members)
        self.classifier = _Layer(
            _normalised(arrays, 'dense_norm', 'classifier') for arrays in members
        )
        self.temperatures = np.array(weights.temperatures, np.float32)[:, None, None]
        self.hidden = np.zeros((len(members), 0, len(self.lstms), units), np.float32)
        self.cell = np.zeros_like(self.hidden)
        self.peak = np.zeros((len(members), 0, 2, units), np.float32)
        self.total, self.weighted = np.zeros_like(self.peak), np.zeros_like(self.peak)

    def add(self, people: int) -> None:
        members, _, *shape = self.hidden.shape
        more = np.zeros((members, people, *shape), np.float32)
        self.hidden = np.concatenate([self.hidden, more], 1)
        self.cell = np.concatenate([self.cell, more], 1)
        zero = np.zeros((members, people, 2, self.units), np.float32)
        self.peak = np.concatenate([self.peak, np.full_like(zero, NEVER)], 1)
        self.total = np.concatenate([self.total, zero], 1)
        self.weighted = np.concatenate([self.weighted, zero], 1)

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        self.hidden, self.cell = self.hidden[:, rows], self.cell[:, rows]
        self.peak, self.total = self.peak[:, rows], self.total[:, rows]
        self.weighted = self.weighted[:, rows]

    def step(self, features: FloatArray, rows: Rows) -> FloatArray:
        with one_blas_thread():
            return self._step(features, rows)

    def _step(self, features: FloatArray, rows: Rows) -> FloatArray:
        h = np.broadcast_to(features, (len(self.hidden), *features.shape))
        half, units = np.float32(0.5), self.units
        for k, lstm in enumerate(self.lstms):
            gates = np.tanh(lstm(np.concatenate([h, self.hidden[:, rows, k]], 2)))
            sigmoids = gates[..., : 3 * units]
            sigmoids *= half
            sigmoids += half
            cell = sigmoids[..., units : 2 * units] * self.cell[:, rows, k]
            cell += sigmoids[..., :units] * gates[..., 3 * units :]
            h = np.tanh(cell)
            h *= sigmoids[..., 2 * units :]
            self.cell[:, rows, k], self.hidden[:, rows, k] = cell, h
        joined = np.concatenate([h, self._attended(h, features[:, ELAPSED], rows)], 2)
        logits = self.classifier(np.maximum(self.dense(joined), 0))
        return agreed(logits / self.temperatures) if len(self.temperatures) else logits[0]

    def _attended(self, h: FloatArray, elapsed: FloatArray, rows: Rows) -> FloatArray:
        """`StreamingAttention.step`."""
        own = self.attend(h)[:, :, None]
        fade = np.minimum(self.rates * elapsed[:, None, None], np.float32(MOST_FADE))
        faded = self.peak[:, rows] - fade
        logits = np.empty_like(faded)
        logits[:, :, :1], logits[:, :, 1:] = own, own.mean(-1, keepdims=True)
        peak = np.maximum(faded, logits)
        keep, gain = np.exp(faded - peak), np.exp(logits - peak)
        total = self.total[:, rows] * keep + gain
        weighted = self.weighted[:, rows] * keep + gain * h[:, :, None]
        self.peak[:, rows], self.total[:, rows], self.weighted[:, rows] = peak, total, weighted
        means = weighted / total
        return means[:, :, 0] + self.sharing * (means[:, :, 1] - means[:, :, 0])


def _lstm(arrays: Mapping[str, FloatArray], layer: int) -> tuple[FloatArray, FloatArray]:
    """Weight of input and hidden state together, and bias, of a layer and the norm before it."""
    of_input, of_hidden, bias_of_input, bias_of_hidden = (
        arrays[f'lstms.{layer}.{part}_l0']
        for part in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
    )
    # A normalised input is scale * x + shift: that belongs to the weights of x.
    scale, shift = affine(arrays, f'norms.{layer - 1}' if layer else 'input_norm')
    bias = bias_of_input + bias_of_hidden + of_input @ shift
    weight = np.concatenate([of_input * scale, of_hidden], 1)
    # Gates i, f, g, o become i, f, o, g; the first three are halved, because
    # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2 lets one tanh do for all four.
    i, f, g, o = np.split(np.arange(len(bias)), 4)
    weight = np.concatenate([weight[i] / 2, weight[f] / 2, weight[o] / 2, weight[g]])
    return weight.T, np.concatenate([bias[i] / 2, bias[f] / 2, bias[o] / 2, bias[g]])


def _normalised(
    arrays: Mapping[str, FloatArray], norm: str, layer: str, times: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Weight and bias of a layer and the norm before it, which its input passed so often."""
    scale, shift = (np.tile(part, times) for part in affine(arrays, norm))
    weight = arrays[f'{layer}.weight']
    return (weight * scale).T, arrays[f'{layer}.bias'] + weight @ shift
