"""Several recognisers that answer together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from action_recognition.errors import UserError
from action_recognition.ranges import Range
from action_recognition.recognition.base import LEAST_CHANCE
from action_recognition.recognition.network import Recognizer
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.recognition.online_weights import OnlineSettings, are_temperatures

#: Members of an ensemble.
MEMBERS = Range(2, 16, whole=True)


class OnlineEnsemble(Recognizer):
    """`OnlineRecognizer`s that were trained alike from different seeds; the mean of their answers.

    A deep ensemble (Lakshminarayanan et al. 2017, arXiv 1612.01474): each one's logits are divided
    by its own temperature, and their probabilities are averaged.

    Attributes:
        RANGES: what its settings may be.
        members: the recognisers, of one shape.
        temperatures: theirs.
    """

    RANGES: ClassVar = OnlineSettings.RANGES

    def __init__(
        self,
        num_classes: int,
        *,
        temperatures: Sequence[float],
        temperature: float = 1.0,
        **settings: Any,
    ) -> None:
        """Prepare networks with random weights.

        Args:
            temperatures: one for each member.
            temperature: of what they say together.
            settings: of each `OnlineRecognizer`.

        Raises:
            UserError: there are too few or too many members, or a setting is out of its range.
            ValueError: a temperature is.
        """
        super().__init__(num_classes, temperature)
        if not are_temperatures(temperatures) or len(temperatures) not in MEMBERS:
            raise UserError(
                f'temperatures must be 2 to 16 numbers above 0, not {temperatures!r:.60}'
            )
        self.members = nn.ModuleList(
            OnlineRecognizer(num_classes, temperature=one, **settings) for one in temperatures
        )
        self.inputs = self.first.inputs

    @property
    def recognizers(self) -> list[OnlineRecognizer]:
        """The members, as what they are."""
        return cast(list[OnlineRecognizer], list(self.members))

    @property
    def first(self) -> OnlineRecognizer:
        """The first member: all are on one device and of one shape."""
        return self.recognizers[0]

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Those of the members, by which each one's logits are divided."""
        return tuple(member.temperature for member in self.recognizers)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """As `OnlineRecognizer.forward`: (batch, steps, num_classes) logits."""
        answers = [member(x, mask) / member.temperature for member in self.recognizers]
        return (torch.stack(answers).softmax(-1).mean(0) + LEAST_CHANCE).log()
