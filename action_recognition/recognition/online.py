"""Our recogniser: one frame of every person in, an answer about each of them out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from action_recognition.ranges import check
from action_recognition.recognition.attention import AttentionState, StreamingAttention
from action_recognition.recognition.batch_renorm import BatchRenorm
from action_recognition.recognition.features import ELAPSED
from action_recognition.recognition.network import Recognizer
from action_recognition.recognition.online_weights import OnlineSettings


class OnlineState(NamedTuple):
    """What `OnlineRecognizer` remembers of each person; axis 0 of every tensor is the person.

    Attributes:
        hidden, cell: (people, layers, units) of the LSTM layers.
        attention: accumulators of the attention.
    """

    hidden: Tensor
    cell: Tensor
    attention: AttentionState

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, flat."""
        return (self.hidden, self.cell, *self.attention)

    @classmethod
    def of(cls, tensors: Iterable[Tensor]) -> OnlineState:
        """The state of these tensors, in the order of `tensors`."""
        hidden, cell, *attention = tensors
        return cls(hidden, cell, AttentionState(*attention))

    def select(self, rows: Tensor) -> OnlineState:
        """The people of these rows (an index tensor or a mask)."""
        return self.of(tensor[rows] for tensor in self.tensors)

    def replace(self, rows: Tensor, other: OnlineState) -> OnlineState:
        """A copy in which the people of these rows are those of `other`."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return self.of(mine.index_copy(0, rows, theirs) for mine, theirs in pairs)

    @classmethod
    def concatenate(cls, states: list[OnlineState]) -> OnlineState:
        """All people of several states, in order."""
        return cls.of(torch.cat(parts) for parts in zip(*(s.tensors for s in states), strict=True))


class LockedDropout(nn.Module):
    """Dropout with one draw per sequence and feature, the same in all its frames.

    A recurrent layer sees through independent draws by averaging over time (Gal and Ghahramani
    2016, arXiv 1512.05287).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, features); unchanged in inference."""
        if not self.training or not self.share:
            return x
        keep = torch.rand(len(x), 1, x.shape[-1], device=x.device) >= self.share
        return x * (keep / (1 - self.share))


class OnlineRecognizer(Recognizer):
    """Our streaming model: an answer at every frame, at a cost that does not grow with time.

    LSTM layers with Batch Renormalisation, causal attention with random weight sharing over their
    output, and a dense layer on the newest and the attended features together.

    Attributes:
        RANGES: what its settings may be.
    """

    RANGES: ClassVar = OnlineSettings.RANGES

    def __init__(
        self,
        num_classes: int,
        *,
        inputs: int = OnlineSettings.inputs,
        units: int = OnlineSettings.units,
        layers: int = OnlineSettings.layers,
        dropout: float = OnlineSettings.dropout,
        sharing: float = OnlineSettings.sharing,
        dense: int = OnlineSettings.dense,
        temperature: float = OnlineSettings.temperature,
    ) -> None:
        """Prepare a network with random weights.

        Args:
            inputs, units, dense: widths, `units` that of each LSTM layer.

        Raises:
            UserError: a setting is out of its range.
            ValueError: the temperature is.
        """
        super().__init__(num_classes, temperature)
        given = {'inputs': inputs, 'units': units, 'layers': layers, 'dense': dense}
        check({**given, 'dropout': dropout, 'sharing': sharing}, self.RANGES)
        self.inputs, self.units = inputs, units
        self.input_norm = BatchRenorm(inputs)
        sizes = [inputs] + [units] * (layers - 1)
        self.lstms = nn.ModuleList(nn.LSTM(size, units, batch_first=True) for size in sizes)
        self.norms = nn.ModuleList(BatchRenorm(units) for _ in sizes)
        self.dropout = LockedDropout(dropout)
        self.attention = StreamingAttention(units, sharing)
        self.dense = nn.Linear(2 * units, dense)
        self.dense_norm = BatchRenorm(dense)
        self.classifier = nn.Linear(dense, num_classes)

    @property
    def first(self) -> OnlineRecognizer:
        """Itself, as the first member of an ensemble is for all."""
        return self

    def initial(self, people: int) -> OnlineState:
        """The state of people before their first frame."""
        zero = self.classifier.weight.new_zeros(people, len(self.lstms), self.units)
        return OnlineState(zero, zero, self.attention.initial(people))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Whole sequences.

        Args:
            x: (batch, steps, inputs) `online_features`.
            mask: (batch, steps) bool, False for padding at the end (only training needs it).

        Returns:
            (batch, steps, num_classes) logits, each from the frames up to it.
        """
        return self.answer(self.embed(x, mask), mask)

    def embed(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the dense layer sees of whole sequences: the newest and the attended features.

        Args:
            x, mask: as of `forward`.

        Returns:
            (batch, steps, 2 * units).
        """
        elapsed = x[..., ELAPSED]
        h = self.input_norm(x, mask)
        for lstm, norm in zip(self.lstms, self.norms, strict=True):
            h = self.dropout(norm(lstm(h)[0], mask))
        return torch.cat([h, self.attention(h, elapsed)], -1)

    def step(self, features: Tensor, state: OnlineState) -> tuple[Tensor, OnlineState]:
        """One frame of any number of people.

        Args:
            features: (people, inputs) of `online_step`.
            state: of the same people in the same order, from `initial` or the step before.

        Returns:
            (people, num_classes) logits, new state.
        """
        elapsed = features[:, ELAPSED]
        h = self.input_norm(features)
        hidden, cell = [], []
        for k, norm in enumerate(self.norms):
            past = (state.hidden[:, k], state.cell[:, k])
            new_hidden, new_cell = torch.lstm_cell(h, past, *self.lstm_parameters(k))
            hidden.append(new_hidden)
            cell.append(new_cell)
            h = norm(new_hidden)
        attended, attention = self.attention.step(h, elapsed, state.attention)
        logits = self.answer(torch.cat([h, attended], -1))
        return logits, OnlineState(torch.stack(hidden, 1), torch.stack(cell, 1), attention)

    def lstm_parameters(self, layer: int) -> tuple[Tensor, ...]:
        """Weights of the input and of the hidden state, then their biases: gates i, f, g, o."""
        names = ('weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0')
        return tuple(getattr(self.lstms[layer], name) for name in names)

    def answer(self, embedded: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (..., classes) of what `embed` gives."""
        dense = self.dense_norm(functional.relu(self.dense(embedded)), mask)
        return self.classifier(self.dropout(dense))
