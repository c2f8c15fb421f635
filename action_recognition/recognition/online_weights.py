"""The weights of `OnlineRecognizer` in NumPy, for processes that need nothing else of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.ranges import PART, SHARE, WIDTH, Range, check
from action_recognition.recognition.base import is_temperature
from action_recognition.recognition.features import ONLINE_FEATURES
from action_recognition.skeleton import FloatArray

if TYPE_CHECKING:
    from action_recognition.recognition.online import OnlineRecognizer


@dataclass(frozen=True)
class OnlineSettings:
    """What `OnlineRecognizer` is made by; its arguments of these names.

    Attributes:
        RANGES: what they may be.
    """

    inputs: int = ONLINE_FEATURES
    units: int = 128
    layers: int = 1
    dropout: float = 0.3
    sharing: float = 0.5
    dense: int = 128
    temperature: float = 1.0

    RANGES: ClassVar = {
        'inputs': WIDTH,
        'units': WIDTH,
        'layers': Range(1, 16, whole=True),
        'dropout': PART,
        'sharing': SHARE,
        'dense': WIDTH,
    }

    def shapes(self, num_classes: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of every tensor."""
        gates, sizes = 4 * self.units, [self.inputs] + [self.units] * (self.layers - 1)
        norms = {'input_norm': self.inputs, 'dense_norm': self.dense}
        for k, size in enumerate(sizes):
            norms[f'norms.{k}'] = self.units
            yield f'lstms.{k}.weight_ih_l0', (gates, size)
            yield f'lstms.{k}.weight_hh_l0', (gates, self.units)
            yield f'lstms.{k}.bias_ih_l0', (gates,)
            yield f'lstms.{k}.bias_hh_l0', (gates,)
        for name, size in norms.items():
            for part in ('weight', 'bias', 'running_mean', 'running_std'):
                yield f'{name}.{part}', (size,)
            yield f'{name}.updates', ()
        yield 'attention.raw_rate', (self.units,)
        layers = {
            'attention.logits': (self.units, self.units),
            'dense': (self.dense, 2 * self.units),
            'classifier': (num_classes, self.dense),
        }
        for name, shape in layers.items():
            yield f'{name}.weight', shape
            yield f'{name}.bias', shape[:1]


@dataclass(frozen=True)
class OnlineWeights:
    """All that inference needs of an `OnlineRecognizer`.

    Attributes:
        arrays: float32, by the names of its `state_dict`, folded (`batch_renorm.fold`) or not.
        layers: of the LSTM.
        sharing, temperature: its settings.
    """

    arrays: Mapping[str, FloatArray]
    layers: int
    sharing: float
    temperature: float

    @classmethod
    def of(cls, model: OnlineRecognizer) -> OnlineWeights:
        """A copy of a model's."""
        arrays = {
            name: np.array(tensor.detach().cpu().numpy(), np.float32)
            for name, tensor in model.state_dict().items()
        }
        return cls(arrays, len(model.lstms), model.attention.sharing, model.temperature)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.arrays['classifier.bias'])

    def affine(self, norm: str) -> tuple[FloatArray, FloatArray]:
        """The scale and shift that a Batch Renormalisation applies in inference."""
        if f'{norm}.scale' in self.arrays:
            return self.arrays[f'{norm}.scale'], self.arrays[f'{norm}.shift']
        weight, bias, mean, std = (
            self.arrays[f'{norm}.{part}']
            for part in ('weight', 'bias', 'running_mean', 'running_std')
        )
        scale = weight / std
        return scale, bias - mean * scale


def load_online(name: str) -> tuple[weights.Header, OnlineWeights] | None:
    """Weights of an `OnlineRecognizer`, by published name or path.

    Returns:
        None where they are of another model, or where anything about them is not as it should be:
        `load_recognizer` takes or refuses them, and says why.

    Raises:
        UserError: there are no such weights, or they cannot be read.
    """
    path = weights.find(name)
    try:
        header, arrays = weights.load_arrays(path, 'action')
    except KeyError:  # numbers of a type that NumPy does not have
        return None
    config = dict(header.config)
    outputs = len(header.labels)
    if config.pop('model', '') != 'online' or not set(config) <= _SETTINGS:
        return None
    settings = _checked(config)
    if settings is None or settings.inputs != ONLINE_FEATURES:
        return None
    if dict(settings.shapes(outputs)) != {key: array.shape for key, array in arrays.items()}:
        return None
    floats = {key: np.asarray(array, np.float32) for key, array in arrays.items()}
    return header, OnlineWeights(floats, settings.layers, settings.sharing, settings.temperature)


_SETTINGS = {field.name for field in fields(OnlineSettings)}


def _checked(config: dict[str, Any]) -> OnlineSettings | None:
    try:
        check(config, {key: rule for key, rule in OnlineSettings.RANGES.items() if key in config})
    except UserError:
        return None
    settings = OnlineSettings(**config)
    return settings if is_temperature(settings.temperature) else None
