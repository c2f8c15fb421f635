"""Reading and writing trained weights: one safetensors file with a validated JSON header.

Nothing here unpickles. The header sits in the safetensors metadata, so weights and what they
mean travel as one file:

    {"format": 1, "kind": "pose" | "action", "name": ..., "config": {...}, "labels": [...],
     "training": {...}, "metrics": {...}, "licence": "...", "calibration": {...}}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from action_recognition import resources
from action_recognition.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

T = TypeVar('T')

FORMAT = 1
METADATA_KEY = 'action_recognition'
KINDS = ('pose', 'action')
#: No weights of ours come near these; a larger file or header is refused before it is read.
MAX_BYTES = 256 * 1024 * 1024
MAX_HEADER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Header:
    """What a weights file says of itself.

    Attributes:
        kind: 'pose' or 'action'.
        name: the published name, equal to the file's stem for weights of ours.
        config: keyword arguments that rebuild the network.
        labels: class names in output order (empty for pose).
        training: data, splits, seed and hyper-parameters.
        metrics: measured figures with the split they were measured on.
        licence: what the training data allow.
        calibration: of pose weights, what the score of a joint means (`pose.calibration`).
    """

    kind: str
    name: str
    config: dict[str, Any]
    labels: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    licence: str = ''
    calibration: dict[str, Any] = field(default_factory=dict)


def find(name: str) -> Path:
    """The file of a published name (`pose`, `online_union32`), or of a path as given.

    Looks in `models/` beside the source tree, then in `share/action_recognition/models` of the
    ROS prefixes and of the Python environment.

    Raises:
        UserError: there is no such file; the message names the weights there are.
    """
    path = Path(name).expanduser()
    if path.suffix == '.safetensors':
        if path.is_file():
            return path
        raise UserError(f'weights file {path} does not exist')
    for folder in resources.folders():
        candidate = folder / 'models' / f'{name}.safetensors'
        if candidate.is_file():
            return candidate
    raise UserError(
        f'there are no weights named {name!r}; available: {", ".join(available()) or "none"} '
        '(or give the path of a .safetensors file)'
    )


def available() -> list[str]:
    """Names of the weights installed, sorted."""
    found = (path for folder in resources.folders() for path in folder.glob('models/*.safetensors'))
    return sorted({path.stem for path in found})


def save(path: Path, state: dict[str, torch.Tensor], header: Header) -> None:
    """Write weights and header; an existing file is replaced only once the new one is whole."""
    from safetensors.torch import save_file

    metadata = {METADATA_KEY: json.dumps({'format': FORMAT, **asdict(header)})}
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    partial = path.with_name(path.name + '.partial')
    save_file(tensors, partial, metadata=metadata)
    partial.chmod(0o644)  # safetensors makes it private to the user who trained
    partial.replace(path)


def read_header(path: Path, kind: str | None = None) -> Header:
    """The validated header of a weights file, without reading its tensors.

    Args:
        kind: refuse weights of another kind.

    Raises:
        UserError: the file is missing, too large, not safetensors, or not of ours, or `kind`
            differs.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open('rb') as file:
            _check_size(path, os.fstat(file.fileno()).st_size, file.read(8))
        with safe_open(path, framework='numpy') as archive:
            metadata = archive.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f'cannot read weights {path}: {error}') from error
    return _parse(path, metadata.get(METADATA_KEY), kind)


def _check_size(path: Path, size: int, start: bytes) -> None:
    """Refuse a file by its size and the length of its header, which its first 8 bytes hold."""
    if size > MAX_BYTES:
        raise UserError(f'{path} is larger than {MAX_BYTES} bytes: not weights of ours')
    if MAX_HEADER_BYTES < int.from_bytes(start, 'little') < size:
        raise UserError(
            f'{path} has a header larger than {MAX_HEADER_BYTES} bytes: not weights of ours'
        )


def _parse(path: Path, text: str | None, kind: str | None) -> Header:
    if text is None:
        raise UserError(f'{path} has no {METADATA_KEY} header: not weights of this package')
    try:
        raw = json.loads(text)
        version = raw.pop('format')
        header = Header(**{**raw, 'labels': tuple(raw['labels'])})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f'{path} has a damaged header ({error})') from error
    if version != FORMAT:
        raise UserError(f'{path} has header format {version}; this version reads {FORMAT}')
    if header.kind not in KINDS:
        raise UserError(f'{path} has a damaged header (kind {header.kind!r})')
    for part in ('config', 'training', 'metrics', 'calibration'):
        if not isinstance(getattr(header, part), dict):
            raise UserError(f'{path} has a damaged header ({part} is not a table)')
    if not isinstance(raw['labels'], list) or not all(isinstance(x, str) for x in header.labels):
        raise UserError(f'{path} has a damaged header (labels is not a list of names)')
    if len(set(header.labels)) != len(header.labels):
        raise UserError(f'{path} names a label twice')
    if kind is not None and header.kind != kind:
        raise UserError(f'{path} holds {header.kind} weights, but {kind} weights are needed')
    return header


def load(path: Path, kind: str) -> tuple[Header, dict[str, torch.Tensor]]:
    """Header and tensors (on the CPU) of a weights file of this kind.

    Raises:
        UserError: as `read_header`.
    """
    from safetensors.torch import load as load_tensors

    return _load(path, kind, load_tensors)


def load_arrays(path: Path, kind: str) -> tuple[Header, dict[str, npt.NDArray[Any]]]:
    """Header and tensors as arrays of NumPy of a weights file of this kind, without PyTorch.

    Raises:
        UserError: as `read_header`.
        KeyError: tensors are of a type that NumPy does not have, such as bfloat16.
    """
    from safetensors.numpy import load as load_tensors

    return _load(path, kind, load_tensors)


def _load(path: Path, kind: str, load_tensors: Callable[[bytes], T]) -> tuple[Header, T]:
    from safetensors import SafetensorError

    # Not `load_file`, which maps the file: another program that shortens it in place, as a copy
    # over it does, would end this process by a bus error.
    try:
        with path.open('rb') as file:
            data = file.read(MAX_BYTES + 1)
        _check_size(path, len(data), data[:8])
        state = load_tensors(data)
    except (OSError, SafetensorError) as error:
        raise UserError(f'cannot read weights {path}: {error}') from error
    # The library has found the header valid, but does not hand out its metadata.
    length = int.from_bytes(data[:8], 'little')
    metadata = json.loads(data[8 : 8 + length]).get('__metadata__') or {}
    return _parse(path, metadata.get(METADATA_KEY), kind), state


def restore(module: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load a state dict into a network built from the same file's header.

    Raises:
        UserError: names or shapes of the tensors do not fit the network.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())
        raise UserError(f'{path} does not fit the network it names: {reason[:300]}') from error


def digest(path: Path) -> str:
    """SHA-256 of a file, for `doctor` and model cards."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
