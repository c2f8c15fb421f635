"""Pose estimators by name: those of other libraries that are wired up here, and plug-ins."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.skeleton import Poses

if TYPE_CHECKING:
    from action_recognition.pose.estimator import EstimatorConfig, PoseEstimator

    #: Of a model ('' for the backend's own default), a device and a config.
    Factory = Callable[[str, str, EstimatorConfig], PoseEstimator]

#: Our own network.
OURS = 'ours'
#: The group of entry points in which plug-ins register a `Factory`.
GROUP = 'action_recognition.pose_backends'
#: The name that stands for the default of every backend; ours ships under it.
DEFAULT_MODEL = 'pose'
#: Stamp of the image that a new estimator is asked about; 0 would be that of who ignores it.
ASKED_AT = 1


class Wired(NamedTuple):
    """A backend of this package.

    Attributes:
        factory: where it is, as in an entry point.
        modules: what has to be installed, the library itself first.
        command: installs that.
    """

    factory: str
    modules: tuple[str, ...]
    command: str


WIRED = {
    # Without its dependencies, since two of them are OpenCV once more, over the one in use.
    'rtmlib': Wired(
        'action_recognition.pose.backends.rtmpose:create',
        ('rtmlib', 'onnxruntime'),
        'pip install onnxruntime && pip install --no-deps rtmlib',
    ),
    'mediapipe': Wired(
        'action_recognition.pose.backends.blazepose:create', ('mediapipe',), 'pip install mediapipe'
    ),
}


def plug_ins() -> dict[str, EntryPoint]:
    """Installed entry points of `GROUP` by name; a name that is ours stays ours."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    return {name: found[name] for name in sorted(found) if name not in (OURS, *WIRED)}


def names() -> tuple[str, ...]:
    """Every backend there is, installed or not."""
    return OURS, *WIRED, *plug_ins()


def create(backend: str, model: str, device: str, config: EstimatorConfig) -> PoseEstimator:
    """The estimator of a backend other than ours, once it has answered about a grey image.

    Args:
        model: what the backend takes for one; `DEFAULT_MODEL` or '' for its default.

    Raises:
        UserError: there is no such backend, its library or model is missing, or it does not work.
    """
    factory = _load(backend)
    try:
        estimator = factory('' if model == DEFAULT_MODEL else model, device, config)
        answer = estimator.estimate(np.full((480, 640, 3), 114, np.uint8), ASKED_AT)
    except UserError:
        raise
    except Exception as error:  # anything may go wrong in the libraries of other people
        raise UserError(f'backend {backend!r} does not work here: {one_line(error)}') from error
    fault = _fault(answer)
    if fault:
        estimator.close()
        raise UserError(f'backend {backend!r} {fault}')
    return estimator


def _fault(answer: object) -> str:
    """What is wrong with the answer about the grey image; '' if nothing is."""
    if not isinstance(answer, Poses):
        return f'answers {type(answer).__name__}: its estimate must return Poses'
    if (answer.stamp, answer.image_size) != (ASKED_AT, (640, 480)):
        return (
            'answers Poses of another stamp or image_size: its estimate must give them the stamp '
            'that it is given and the (width, height) of the image'
        )
    return ''


def fingerprint(backend: str, model: str) -> str:
    """What tells the answers of one backend and model from those of another: versions and files.

    Raises:
        UserError: there is no such backend, or weights of ours are not there.
    """
    if backend == OURS:
        return f'{OURS} {weights.digest(weights.find(model))}'
    if backend in WIRED:
        versions = [_version(module) for module in WIRED[backend].modules]
    else:
        distribution = _plug_in(backend).dist
        versions = [distribution.version if distribution else '']
    files: list[Path] = []
    if model not in ('', DEFAULT_MODEL):
        path = Path(model).expanduser()
        files = sorted(path.iterdir()) if path.is_dir() else [path]
    digests = [f'{file.name}={weights.digest(file)}' for file in files if file.is_file()]
    return ' '.join([backend, *versions, model, *digests])


def one_line(error: BaseException) -> str:
    """An exception of somebody else's in one line."""
    return f'{type(error).__name__}: {" ".join(str(error).split())}'


def _load(backend: str) -> Factory:
    entry = _wired(backend) if backend in WIRED else _plug_in(backend)
    try:
        return entry.load()
    except Exception as error:  # an import may fail in any way
        raise UserError(
            f'backend {backend!r} ({entry.value}) cannot be loaded: {one_line(error)}'
        ) from error


def _wired(backend: str) -> EntryPoint:
    wired = WIRED[backend]
    missing = [module for module in wired.modules if find_spec(module) is None]
    if missing:
        raise UserError(
            f'backend {backend!r} needs {" and ".join(missing)}: {wired.command} (docs/backends.md)'
        )
    return EntryPoint(backend, wired.factory, GROUP)


def _plug_in(backend: str) -> EntryPoint:
    found = plug_ins()
    if backend not in found:
        raise UserError(
            f'unknown backend {backend!r}: use one of {", ".join(names())}, '
            f'or install one that registers in {GROUP}'
        )
    return found[backend]


def _version(module: str) -> str:
    try:
        return version(module)
    except PackageNotFoundError:  # a build under another name
        return ''
