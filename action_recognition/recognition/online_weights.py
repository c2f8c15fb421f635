"""The weights of `OnlineRecognizer` in NumPy, for processes that need nothing else of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    from action_recognition.recognition.ensemble import OnlineEnsemble
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


#: Before the name of a tensor of the k-th member of an ensemble.
MEMBER = 'members.{}.'


@dataclass(frozen=True)
class OnlineWeights:
    """All that inference needs of an `OnlineRecognizer`, or of several that answer together.

    Attributes:
        members: float32 by the names of an `OnlineRecognizer`'s `state_dict`, folded
            (`batch_renorm.fold`) or not; of an ensemble those of each member, of one shape.
        temperatures: of the members of an ensemble; empty for a single model.
        layers: of the LSTM.
        sharing, temperature: its settings.
    """

    members: tuple[Mapping[str, FloatArray], ...]
    layers: int
    sharing: float
    temperature: float
    temperatures: tuple[float, ...] = ()

    @classmethod
    def of(cls, model: OnlineRecognizer | OnlineEnsemble) -> OnlineWeights:
        """A copy of a model's."""
        state = {
            name: np.array(tensor.detach().cpu().numpy(), np.float32)
            for name, tensor in model.state_dict().items()
        }
        temperatures: tuple[float, ...] = getattr(model, 'temperatures', ())
        first = model.first
        return cls(
            _members(state, len(temperatures)),
            len(first.lstms),
            first.attention.sharing,
            model.temperature,
            temperatures,
        )

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.members[0]['classifier.bias'])


def _members(state: Mapping[str, FloatArray], count: int) -> tuple[Mapping[str, FloatArray], ...]:
    """The tensors of each member of an ensemble, by the names within it; 0: of a single model."""
    if not count:
        return (state,)
    prefixes = [MEMBER.format(k) for k in range(count)]
    return tuple(
        {name[len(prefix) :]: a for name, a in state.items() if name.startswith(prefix)}
        for prefix in prefixes
    )


def affine(arrays: Mapping[str, FloatArray], norm: str) -> tuple[FloatArray, FloatArray]:
    """The scale and shift that a Batch Renormalisation of a member applies in inference."""
    if f'{norm}.scale' in arrays:
        return arrays[f'{norm}.scale'], arrays[f'{norm}.shift']
    weight, bias, mean, std = (
        arrays[f'{norm}.{part}'] for part in ('weight', 'bias', 'running_mean', 'running_std')
    )
    scale = weight / std
    return scale, bias - mean * scale


def load_online(name: str) -> tuple[weights.Header, OnlineWeights] | None:
    """Weights of an `OnlineRecognizer` or `OnlineEnsemble`, by published name or path.

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
    model = config.pop('model', '')
    temperatures = config.pop('temperatures', ())
    known = ('ensemble' if temperatures else 'online') == model and are_temperatures(temperatures)
    if not known or not set(config) <= _SETTINGS:
        return None
    settings = _checked(config)
    if settings is None or settings.inputs != ONLINE_FEATURES:
        return None
    shapes = dict(settings.shapes(len(header.labels)))
    prefixes = [MEMBER.format(k) for k in range(len(temperatures))] or ['']
    expected = {prefix + key: shape for prefix in prefixes for key, shape in shapes.items()}
    if expected != {key: array.shape for key, array in arrays.items()}:
        return None
    floats = {key: np.asarray(array, np.float32) for key, array in arrays.items()}
    return header, OnlineWeights(
        _members(floats, len(temperatures)),
        settings.layers,
        settings.sharing,
        settings.temperature,
        tuple(temperatures),
    )


_SETTINGS = {field.name for field in fields(OnlineSettings)}


def are_temperatures(values: object) -> bool:
    """Whether they are a list, of numbers by which logits can be divided."""
    return isinstance(values, Sequence) and all(map(is_temperature, values))


def _checked(config: dict[str, Any]) -> OnlineSettings | None:
    try:
        check(config, {key: rule for key, rule in OnlineSettings.RANGES.items() if key in config})
    except UserError:
        return None
    settings = OnlineSettings(**config)
    return settings if is_temperature(settings.temperature) else None
