"""The recognisers by name, and from weights files."""

from __future__ import annotations

from typing import Any

from action_recognition import weights
from action_recognition.device import resolve_device
from action_recognition.errors import UserError
from action_recognition.recognition.features import ONLINE_FEATURES, PAPER_FEATURES
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.recognition.paper import PaperRecognizer

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
        UserError: the name or an argument is not known, or there is no network of that shape.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise UserError(f'unknown recogniser {name!r}; known: {", ".join(MODELS)}')
    try:
        return MODELS[name](num_classes, **config)
    except (TypeError, ValueError, RuntimeError) as error:  # torch raises all three of them
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'wrong settings for recogniser {name!r}: {reason}') from error


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
