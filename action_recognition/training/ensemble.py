"""The models of all seeds as one that answers for them: `ensemble: true` of a training config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from action_recognition.recognition.ensemble import OnlineEnsemble
from action_recognition.recognition.online import OnlineRecognizer


def together(members: Sequence[OnlineRecognizer], settings: dict[str, Any]) -> OnlineEnsemble:
    """An ensemble of copies of trained models, ready for inference; its temperature is 1.

    Args:
        settings: that all of them were made by.
    """
    temperatures = [member.temperature for member in members]
    model = OnlineEnsemble(members[0].num_classes, temperatures=temperatures, **settings)
    for mine, member in zip(model.recognizers, members, strict=True):
        mine.load_state_dict(member.state_dict())
    return model.to(members[0].device).eval()


def described(model: OnlineEnsemble) -> dict[str, Any]:
    """What the header of its weights says of it, beside the settings of its members."""
    return {
        'model': 'ensemble',
        'temperatures': [round(temperature, 4) for temperature in model.temperatures],
    }
