"""The recognisers by name, and from weights files."""

from __future__ import annotations

import inspect
from typing import Any

from action_recognition import weights
from action_recognition.device import resolve_device
from action_recognition.errors import UserError
from action_recognition.ranges import check
from action_recognition.recognition.ensemble import OnlineEnsemble
from action_recognition.recognition.features import ONLINE_FEATURES, PAPER_FEATURES
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.recognition.online_weights import MEMBER
from action_recognition.recognition.paper import PaperRecognizer

Network = PaperRecognizer | OnlineRecognizer | OnlineEnsemble

MODELS: dict[str, type[Network]] = {
    'paper': PaperRecognizer,
    'online': OnlineRecognizer,
    'ensemble': OnlineEnsemble,
}


def create_model(name: str, num_classes: int, **config: Any) -> Network:
    """A recogniser by name, with fresh weights.

    Args:
        name: one of `MODELS`.
        config: keyword arguments of that class.

    Raises:
        UserError: the name or an argument is not known, or there is no network of that shape.
    """
    model = _named(name)
    try:
        return model(num_classes, **config)
    # Their own checks raise the first, torch all of the others.
    except (UserError, TypeError, ValueError, RuntimeError) as error:
        raise _wrong_settings(name, error) from error


def check_settings(name: str, config: dict[str, Any]) -> None:
    """Refuse what `create_model` would, without making a network.

    Raises:
        UserError: the name or a setting is not known, or a setting is out of its range.
    """
    model = _named(name)
    try:
        inspect.signature(model).bind(0, **config)
        check(config, {key: rule for key, rule in model.RANGES.items() if key in config})
    except (UserError, TypeError) as error:
        raise _wrong_settings(name, error) from error


def _named(name: Any) -> type[Network]:
    if not isinstance(name, str) or name not in MODELS:
        raise UserError(f'unknown recogniser {name!r}; known: {", ".join(MODELS)}')
    return MODELS[name]


def _wrong_settings(name: str, error: Exception) -> UserError:
    reason = ' '.join(str(error).split())[:300]
    return UserError(f'wrong settings for recogniser {name!r}: {reason}')


def load_recognizer(name: str, device: str = 'cpu') -> tuple[weights.Header, Network]:
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
    bias = 'classifier.bias'
    outputs = len(state.get(bias, state.get(MEMBER.format(0) + bias, ())))
    if len(header.labels) != outputs:
        raise UserError(f'{path} names {len(header.labels)} labels but has {outputs} outputs')
    config = dict(header.config)
    model = create_model(config.pop('model', ''), outputs, **config)
    needed = PAPER_FEATURES if isinstance(model, PaperRecognizer) else ONLINE_FEATURES
    if model.inputs != needed:
        raise UserError(
            f'{path} was trained on {model.inputs} features per frame, this '
            f'version computes {needed}: train it again'
        )
    weights.restore(model, state, path)
    return header, model.to(target).eval()
