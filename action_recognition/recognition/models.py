"""The two recognisers: the paper's, over clips of 60 frames, and ours, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from action_recognition import weights
from action_recognition.device import resolve_device
from action_recognition.errors import UserError
from action_recognition.recognition.attention import (
    AttentionState,
    RandomSharingAttention,
    StreamingAttention,
)
from action_recognition.recognition.batch_renorm import BatchRenorm
from action_recognition.recognition.features import (
    ELAPSED,
    ONLINE_FEATURES,
    PAPER_FEATURES,
    PAPER_STEPS,
)

#: Names of the parameters of `nn.LSTM` in the order `torch.lstm_cell` takes them.
LSTM_PARAMETERS = ('weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0')


class ReluLstm(nn.Module):
    """One LSTM layer with ReLU activation, as Keras' `LSTM(activation='relu')`.

    ReLU takes the place of tanh on the candidate and on the cell's output; gates stay sigmoid.
    Initial weights are Keras' own (Glorot, orthogonal, 1 for the bias of the forget gate), but
    the orthogonal ones are scaled by `RECURRENT_GAIN`: ReLU does not bound the state, and at
    full scale it grows without limit over 60 steps (gradient norms of 1e7 and more).
    """

    RECURRENT_GAIN = 0.3

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.kernel = nn.Linear(inputs, 4 * units)  # gates in the order i, f, g, o
        self.recurrent = nn.Linear(units, 4 * units, bias=False)
        nn.init.xavier_uniform_(self.kernel.weight)
        nn.init.orthogonal_(self.recurrent.weight, self.RECURRENT_GAIN)
        nn.init.zeros_(self.kernel.bias)
        with torch.no_grad():
            self.kernel.bias[units : 2 * units] = 1

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, inputs) -> (batch, steps, units)."""
        projected = self.kernel(x)
        hidden = cell = x.new_zeros(len(x), self.units)
        outputs = []
        for t in range(x.shape[1]):
            gates = projected[:, t] + self.recurrent(hidden)
            i, f, g, o = gates.chunk(4, 1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.relu()
            hidden = o.sigmoid() * cell.relu()
            outputs.append(hidden)
        return torch.stack(outputs, 1)


class Recognizer(nn.Module):
    """What both models share: a number of classes and a temperature for their probabilities."""

    def __init__(self, num_classes: int, temperature: float) -> None:
        super().__init__()
        self.num_classes, self.temperature = num_classes, temperature

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated softmax over the last axis."""
        return (logits / self.temperature).softmax(-1)


class PaperRecognizer(Recognizer):
    """The paper's model, layer by layer as its Table 2.

    | layer                        | output             |
    |------------------------------|--------------------|
    | Input (+ BReN, figure 3)     | (batch, 60, 34)    |
    | 3 x [LSTM + BReN + Dropout]  | (batch, 60, 128)   |
    | Attention + Flatten          | (batch, 60 * 128)  |
    | Dense + BReN + Dropout       | (batch, 128)       |
    | Dense + BReN + Dropout       | (batch, 64)        |
    | Softmax                      | (batch, 32)        |

    `forward` returns the logits of the softmax.
    """

    def __init__(
        self,
        num_classes: int = 32,
        *,
        steps: int = PAPER_STEPS,
        inputs: int = PAPER_FEATURES,
        units: int = 128,
        dropout: float = 0.3,
        sharing: float = 0.5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(num_classes, temperature)
        self.input_norm = BatchRenorm(inputs)
        self.recurrent = nn.Sequential(
            *(
                nn.Sequential(ReluLstm(size, units), BatchRenorm(units), nn.Dropout(dropout))
                for size in (inputs, units, units)
            )
        )
        self.attention = RandomSharingAttention(steps, sharing)
        self.flatten = nn.Flatten()
        self.dense = nn.Sequential(
            *(nn.Linear(steps * units, 128), nn.ReLU(), BatchRenorm(128), nn.Dropout(dropout)),
            *(nn.Linear(128, 64), nn.ReLU(), BatchRenorm(64), nn.Dropout(dropout)),
        )
        self.classifier = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 60, 34) `paper_features` -> (batch, num_classes) logits."""
        h = self.recurrent(self.input_norm(x))
        return self.classifier(self.dense(self.flatten(self.attention(h))))


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


class OnlineRecognizer(Recognizer):
    """Our streaming model: an answer at every frame, at a cost that does not grow with time.

    Stacked LSTM layers with Batch Renormalisation, causal attention with random weight sharing
    over their output, and a dense layer on the newest and the attended features together.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        inputs: int = ONLINE_FEATURES,
        units: int = 128,
        layers: int = 3,
        dropout: float = 0.3,
        sharing: float = 0.5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(num_classes, temperature)
        self.units = units
        self.input_norm = BatchRenorm(inputs)
        sizes = [inputs] + [units] * (layers - 1)
        self.lstms = nn.ModuleList(nn.LSTM(size, units, batch_first=True) for size in sizes)
        self.norms = nn.ModuleList(BatchRenorm(units) for _ in sizes)
        self.dropout = nn.Dropout(dropout)
        self.attention = StreamingAttention(units, sharing)
        self.dense = nn.Linear(2 * units, 128)
        self.dense_norm = BatchRenorm(128)
        self.classifier = nn.Linear(128, num_classes)

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
        elapsed = x[..., ELAPSED]
        h = self.input_norm(x, mask)
        for lstm, norm in zip(self.lstms, self.norms, strict=True):
            h = self.dropout(norm(lstm(h)[0], mask))
        return self._head(h, self.attention(h, elapsed), mask)

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
        for k, (lstm, norm) in enumerate(zip(self.lstms, self.norms, strict=True)):
            past = (state.hidden[:, k], state.cell[:, k])
            parameters = [getattr(lstm, name) for name in LSTM_PARAMETERS]
            new_hidden, new_cell = torch.lstm_cell(h, past, *parameters)
            hidden.append(new_hidden)
            cell.append(new_cell)
            h = self.dropout(norm(new_hidden))
        attended, attention = self.attention.step(h, elapsed, state.attention)
        logits = self._head(h, attended)
        return logits, OnlineState(torch.stack(hidden, 1), torch.stack(cell, 1), attention)

    def _head(self, h: Tensor, attended: Tensor, mask: Tensor | None = None) -> Tensor:
        joined = torch.cat([h, self.attention.mix(attended)], -1)
        dense = self.dense_norm(functional.relu(self.dense(joined)), mask)
        return self.classifier(self.dropout(dense))


MODELS: dict[str, type[PaperRecognizer] | type[OnlineRecognizer]] = {
    'paper': PaperRecognizer,
    'online': OnlineRecognizer,
}


def create_model(name: str, num_classes: int, **config: Any) -> PaperRecognizer | OnlineRecognizer:
    """A recogniser by name, with fresh weights.

    Args:
        name: 'paper' or 'online'.
        config: keyword arguments of that class.

    Raises:
        UserError: the name or an argument is not known.
    """
    if name not in MODELS:
        raise UserError(f'unknown recogniser {name!r}; known: {", ".join(MODELS)}')
    try:
        return MODELS[name](num_classes, **config)
    except TypeError as error:
        raise UserError(f'wrong settings for recogniser {name!r}: {error}') from error


def load_recognizer(
    name: str, device: str = 'cpu'
) -> tuple[weights.Header, PaperRecognizer | OnlineRecognizer]:
    """A trained recogniser, ready for inference, by published name or path of its weights.

    Args:
        device: 'cpu', 'cuda', 'cuda:1', or 'auto' for a GPU if there is one.

    Raises:
        UserError: no such weights or device, weights of another kind or for other features, or a
            number of labels that is not the number of outputs.
    """
    target = resolve_device(device)
    path = weights.find(name)
    header, state = weights.load(path, 'action')
    outputs = len(state.get('classifier.bias', ()))
    if len(header.labels) != outputs:
        raise UserError(f'{path} names {len(header.labels)} labels but has {outputs} outputs')
    config = dict(header.config)
    model = create_model(config.pop('model', ''), outputs, **config)
    needed = ONLINE_FEATURES if isinstance(model, OnlineRecognizer) else PAPER_FEATURES
    if len(model.input_norm.weight) != needed:
        raise UserError(
            f'{path} was trained on {len(model.input_norm.weight)} features per frame, this '
            f'version computes {needed}: train it again'
        )
    weights.restore(model, state, path)
    return header, model.to(target).eval()
