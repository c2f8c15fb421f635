"""The paper's recogniser (section 4): a clip of 60 frames in, one label out."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from action_recognition.ranges import FLAG, PART, SHARE, WIDTH, check
from action_recognition.recognition.attention import RandomSharingAttention
from action_recognition.recognition.batch_renorm import BatchRenorm
from action_recognition.recognition.features import PAPER_FEATURES, PAPER_STEPS
from action_recognition.recognition.network import Recognizer


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
        hidden = cell = x.new_zeros(len(x), self.units)
        outputs = []
        # Time first and taken apart at once: a slice per step would, backwards, fill and add a
        # gradient of the size of the whole sequence per step.
        for projected in self.kernel(x.transpose(0, 1)).unbind():
            i, f, g, o = (projected + self.recurrent(hidden)).chunk(4, 1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.relu()
            hidden = o.sigmoid() * cell.relu()
            outputs.append(hidden)
        return torch.stack(outputs, 1)


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

    Args of the constructor that are about the paper's experiments: `attention`, False for the
    comparison of figure 7, in which the features of the last LSTM go straight to Flatten; and
    `sharing`, p of equation 7, 0 for attention without shared weights.

    Attributes:
        RANGES: what its settings may be.

    Raises:
        UserError: a setting is out of its range.
        ValueError: the temperature is.
    """

    RANGES: ClassVar = {
        'steps': WIDTH,
        'inputs': WIDTH,
        'units': WIDTH,
        'dropout': PART,
        'attention': FLAG,
        'sharing': SHARE,
    }

    def __init__(
        self,
        num_classes: int = 32,
        *,
        steps: int = PAPER_STEPS,
        inputs: int = PAPER_FEATURES,
        units: int = 128,
        dropout: float = 0.3,
        attention: bool = True,
        sharing: float = 0.5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(num_classes, temperature)
        given = {'steps': steps, 'inputs': inputs, 'units': units, 'dropout': dropout}
        check({**given, 'attention': attention, 'sharing': sharing}, self.RANGES)
        self.inputs = inputs
        self.input_norm = BatchRenorm(inputs)
        self.recurrent = nn.Sequential(
            *(
                nn.Sequential(ReluLstm(size, units), BatchRenorm(units), nn.Dropout(dropout))
                for size in (inputs, units, units)
            )
        )
        self.attention = RandomSharingAttention(steps, sharing) if attention else nn.Identity()
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
