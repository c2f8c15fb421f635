"""How `OnlineRecognizer` runs on a robot: frame by frame, for people who come and go.

On the CPU the arithmetic of one person takes less time than the calls of PyTorch that would do
it, so `CpuRuntime` folds every normalisation into the weights next to it and does what is left
in few and cheap calls. `TorchRuntime` is `OnlineRecognizer.step` on any other device.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from action_recognition.recognition.attention import MOST_FADE, NEVER
from action_recognition.recognition.features import ELAPSED
from action_recognition.recognition.online import OnlineRecognizer, OnlineState
from action_recognition.skeleton import FloatArray, IntArray

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


def create_runtime(model: OnlineRecognizer) -> Runtime:
    """The faster runtime for where the model is."""
    on_cpu = model.classifier.weight.device.type == 'cpu'
    return CpuRuntime(model) if on_cpu else TorchRuntime(model)


class TorchRuntime:
    """The model's own `step` on its device."""

    def __init__(self, model: OnlineRecognizer) -> None:
        self.model = model
        self.device = model.classifier.weight.device
        self.state = model.initial(0)

    def add(self, people: int) -> None:
        self.state = OnlineState.concatenate([self.state, self.model.initial(people)])

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        self.state = self.state.select(torch.from_numpy(rows).to(self.device))

    @torch.inference_mode()
    def step(self, features: FloatArray, rows: Rows) -> FloatArray:
        everybody = np.arange(len(self.state.hidden))
        index = torch.from_numpy(everybody[rows]).to(self.device)
        x = torch.from_numpy(features).to(self.device)
        logits, state = self.model.step(x, self.state.select(index))
        self.state = self.state.replace(index, state)
        return logits.cpu().numpy()


class _Layer:
    """A fully connected layer; PyTorch multiplies, as it does so well for one row and for many."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """Args: weight (inputs, outputs)."""
        self.weight = weight.detach().float().contiguous().clone()
        self.bias = bias.detach().float().contiguous().clone()

    def __call__(self, x: FloatArray) -> FloatArray:
        return torch.addmm(self.bias, torch.from_numpy(x), self.weight).numpy()


class CpuRuntime:
    """Equal to `OnlineRecognizer` within rounding, in about a quarter of the time of its `step`."""

    def __init__(self, model: OnlineRecognizer) -> None:
        self.units = units = model.units
        scale, shift = model.input_norm.affine()
        self.lstms = []
        for k, norm in enumerate(model.norms):
            # A normalised input is scale * x + shift: that belongs to the weights of x.
            of_input, of_hidden, bias_of_input, bias_of_hidden = model.lstm_parameters(k)
            bias = bias_of_input + bias_of_hidden + of_input @ shift
            weight = torch.cat([of_input * scale, of_hidden], 1)
            # Gates i, f, g, o become i, f, o, g; the first three are halved, because
            # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2 lets one tanh do for all four.
            i, f, g, o = (slice(k * units, (k + 1) * units) for k in range(4))
            weight = torch.cat([weight[i] / 2, weight[f] / 2, weight[o] / 2, weight[g]])
            bias = torch.cat([bias[i] / 2, bias[f] / 2, bias[o] / 2, bias[g]])
            self.lstms.append(_Layer(weight.T, bias))
            scale, shift = norm.affine()  # type: ignore[operator]
        attention = model.attention
        self.attend = _Layer(
            (attention.logits.weight * scale).T,
            attention.logits.bias + attention.logits.weight @ shift,
        )
        self.rates = attention.rates().detach().numpy()
        self.sharing = np.float32(attention.sharing)
        # The weights of the attention sum to 1, so what is attended is normalised in the same way.
        self.dense = _Layer(
            (model.dense.weight * torch.cat([scale, scale])).T,
            model.dense.bias + model.dense.weight @ torch.cat([shift, shift]),
        )
        scale, shift = model.dense_norm.affine()
        self.classifier = _Layer(
            (model.classifier.weight * scale).T,
            model.classifier.bias + model.classifier.weight @ shift,
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

    @torch.inference_mode()
    def step(self, features: FloatArray, rows: Rows) -> FloatArray:
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
