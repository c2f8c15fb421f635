"""How `OnlineRecognizer` runs on a robot: frame by frame, for people who come and go.

The arithmetic of one person takes less time than the calls of PyTorch that would do it, so
`CpuRuntime` folds every normalisation into the weights next to it and does what is left in few
and cheap calls of NumPy. A GPU is for `torch_runtime`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from action_recognition.recognition.base import MOST_FADE, NEVER
from action_recognition.recognition.features import ELAPSED
from action_recognition.recognition.online_weights import OnlineWeights
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
    """A fully connected layer."""

    def __init__(self, weight: FloatArray, bias: FloatArray) -> None:
        """Args: weight (inputs, outputs)."""
        self.weight = np.ascontiguousarray(weight, np.float32)
        self.bias = np.asarray(bias, np.float32)

    def __call__(self, x: FloatArray) -> FloatArray:
        y = x @ self.weight
        y += self.bias
        return y


class CpuRuntime:
    """Equal to `OnlineRecognizer` within rounding, in about a quarter of the time of its `step`."""

    def __init__(self, weights: OnlineWeights) -> None:
        with one_blas_thread():
            pass  # it looks for the libraries once: not when the first person comes
        arrays = weights.arrays
        self.units = units = len(arrays['attention.raw_rate'])
        scale, shift = weights.affine('input_norm')
        self.lstms = []
        for k in range(weights.layers):
            # A normalised input is scale * x + shift: that belongs to the weights of x.
            of_input, of_hidden, bias_of_input, bias_of_hidden = (
                arrays[f'lstms.{k}.{part}_l0']
                for part in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
            )
            bias = bias_of_input + bias_of_hidden + of_input @ shift
            weight = np.concatenate([of_input * scale, of_hidden], 1)
            # Gates i, f, g, o become i, f, o, g; the first three are halved, because
            # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2 lets one tanh do for all four.
            i, f, g, o = (slice(k * units, (k + 1) * units) for k in range(4))
            weight = np.concatenate([weight[i] / 2, weight[f] / 2, weight[o] / 2, weight[g]])
            bias = np.concatenate([bias[i] / 2, bias[f] / 2, bias[o] / 2, bias[g]])
            self.lstms.append(_Layer(weight.T, bias))
            scale, shift = weights.affine(f'norms.{k}')
        logits = arrays['attention.logits.weight']
        self.attend = _Layer((logits * scale).T, arrays['attention.logits.bias'] + logits @ shift)
        rate = np.logaddexp(0, arrays['attention.raw_rate'])  # softplus
        self.rates = np.stack([rate, np.full_like(rate, rate.mean())])
        self.sharing = np.float32(weights.sharing)
        # The weights of the attention sum to 1, so what is attended is normalised in the same way.
        dense = arrays['dense.weight']
        self.dense = _Layer(
            (dense * np.concatenate([scale, scale])).T,
            arrays['dense.bias'] + dense @ np.concatenate([shift, shift]),
        )
        scale, shift = weights.affine('dense_norm')
        classifier = arrays['classifier.weight']
        self.classifier = _Layer(
            (classifier * scale).T, arrays['classifier.bias'] + classifier @ shift
        )
        self.hidden = np.zeros((0, len(self.lstms), units), np.float32)
        self.cell = np.zeros_like(self.hidden)
        self.peak = np.zeros((0, 2, units), np.float32)
        self.total, self.weighted = np.zeros_like(self.peak), np.zeros_like(self.peak)

    def add(self, people: int) -> None:
        more = np.zeros((people, *self.hidden.shape[1:]), np.float32)
        self.hidden = np.concatenate([self.hidden, more])
        self.cell = np.concatenate([self.cell, more])
        zero = np.zeros((people, 2, self.units), np.float32)
        self.peak = np.concatenate([self.peak, np.full_like(zero, NEVER)])
        self.total = np.concatenate([self.total, zero])
        self.weighted = np.concatenate([self.weighted, zero])

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        self.hidden, self.cell = self.hidden[rows], self.cell[rows]
        self.peak, self.total = self.peak[rows], self.total[rows]
        self.weighted = self.weighted[rows]

    def step(self, features: FloatArray, rows: Rows) -> FloatArray:
        with one_blas_thread():
            return self._step(features, rows)

    def _step(self, features: FloatArray, rows: Rows) -> FloatArray:
        h = features
        half, units = np.float32(0.5), self.units
        for k, lstm in enumerate(self.lstms):
            gates = np.tanh(lstm(np.concatenate([h, self.hidden[rows, k]], 1)))
            sigmoids = gates[:, : 3 * units]
            sigmoids *= half
            sigmoids += half
            cell = sigmoids[:, units : 2 * units] * self.cell[rows, k]
            cell += sigmoids[:, :units] * gates[:, 3 * units :]
            h = np.tanh(cell)
            h *= sigmoids[:, 2 * units :]
            self.cell[rows, k], self.hidden[rows, k] = cell, h
        joined = np.concatenate([h, self._attended(h, features[:, ELAPSED], rows)], 1)
        return self.classifier(np.maximum(self.dense(joined), 0))

    def _attended(self, h: FloatArray, elapsed: FloatArray, rows: Rows) -> FloatArray:
        """`StreamingAttention.step`."""
        own = self.attend(h)[:, None]
        fade = np.minimum(self.rates * elapsed[:, None, None], np.float32(MOST_FADE))
        faded = self.peak[rows] - fade
        logits = np.empty_like(faded)
        logits[:, :1], logits[:, 1:] = own, own.mean(-1, keepdims=True)
        peak = np.maximum(faded, logits)
        keep, gain = np.exp(faded - peak), np.exp(logits - peak)
        total = self.total[rows] * keep + gain
        weighted = self.weighted[rows] * keep + gain * h[:, None]
        self.peak[rows], self.total[rows], self.weighted[rows] = peak, total, weighted
        means = weighted / total
        return means[:, 0] + self.sharing * (means[:, 1] - means[:, 0])
