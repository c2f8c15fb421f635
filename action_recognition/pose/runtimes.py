"""What runs the pose network: one interface, whatever computes behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import torch

from action_recognition.errors import UserError
from action_recognition.pose.by_shape import Shape
from action_recognition.pose.cpu_runtimes import OnnxRuntime, OpenVinoRuntime
from action_recognition.pose.deployed import Deployed, Images
from action_recognition.pose.figures import figures
from action_recognition.pose.heads import PoseNetwork, StageOutput
from action_recognition.pose.tensorrt_runtime import TensorRtRuntime
from action_recognition.pose.torch_runtime import TorchRuntime

#: Runtimes by the kind of the device, the fastest first: 'auto' takes the first that is installed
#: and passes `check`. TensorRT needs an engine as well, which `action-recognition export` builds.
PREFERENCE = {'cuda': ('tensorrt', 'torch'), 'cpu': ('openvino', 'onnxruntime', 'torch')}
#: Values of the parameter `runtime`.
RUNTIMES = ('auto', 'tensorrt', 'openvino', 'onnxruntime', 'torch')

#: How far maps may lie from those of PyTorch in float32: the norm of the difference, in parts of
#: that of the maps. One joint of the fourteen that is never seen makes some 0.27.
TOLERANCE = {'float32': 1e-3, 'float16': 0.02, 'bfloat16': 0.1}
#: The norm that maps are taken to have at least: about half of what one joint makes that is surely
#: seen. Weights that see nobody in a drawing are held to so much.
LEAST_NORM = 1.0
#: Images of a check: crops, as perception looks at by default (`LookConfig`, which stands above).
CHECKED: Shape = (3, 160, 160, 3)

log = logging.getLogger(__name__)


class Runtime(Protocol):
    """The network of one weights file, ready to run on one device.

    Attributes:
        name: what computes and in which precision, such as 'openvino bfloat16'.
        device: where, e.g. 'cpu' or 'cuda:0'.
    """

    name: str
    device: str

    def __call__(self, images: Images) -> StageOutput:
        """The maps of the last deployed stage, float32 on the device, for (n, h, w, 3) contiguous
        uint8 BGR images whose sides are multiples of 8. They hold until the next call.
        """

    def prepare(self, shape: Shape) -> None:
        """Compute at full speed for images of this shape from now on; may take a second."""

    def close(self) -> None:
        """Give back the memory of the device; the runtime cannot be used after."""


def create_runtime(
    network: PoseNetwork,
    device: torch.device,
    runtime: str = 'auto',
    engine: Path | None = None,
    threads: int = 0,
) -> Runtime:
    """The network on a device, behind the runtime of a name or the fastest one that works.

    Args:
        runtime: one of `RUNTIMES`.
        engine: file of TensorRT's; None: there is none.
        threads: of the CPU, where that computes; 0: as many as PyTorch is set to.

    Returns:
        Where 'auto' takes TensorRT, images of shapes that the engine does not take go to PyTorch.

    Raises:
        UserError: the runtime that is named is not installed, does not work on this device, or
            gives other answers than PyTorch; or not even PyTorch works on this GPU.
    """
    usable = PREFERENCE[device.type]
    if runtime not in RUNTIMES:
        raise UserError(f'unknown runtime {runtime!r}: use one of {", ".join(RUNTIMES)}')
    if runtime != 'auto':
        if runtime not in usable:
            raise UserError(
                f'runtime {runtime!r} does not compute on device {device.type!r}: '
                f'use one of {", ".join(usable)}'
            )
        if find_spec(runtime) is None:
            raise UserError(f'runtime {runtime!r} is not installed: pip install {runtime}')
        return _working(runtime, network, device, engine, threads)
    for name in usable[:-1]:
        # Who has an engine is told what keeps it from use, TensorRT that is missing as well.
        if (engine if name == 'tensorrt' else find_spec(name)) is None:
            continue
        try:
            working = _working(name, network, device, engine, threads)
        except UserError as error:
            log.warning('%s', error)
            continue
        if isinstance(working, TensorRtRuntime):
            others = partial(_working, 'torch', network, device, None, threads)
            return EngineWhereItFits(working, others)
        return working
    if device.type == 'cpu':
        return TorchRuntime(network, device, threads=threads)  # what the others are checked against
    try:
        return _working('torch', network, device, None, threads)
    except UserError as error:
        raise UserError(f"{error}: use device 'cpu', or a PyTorch built for this GPU") from error


class EngineWhereItFits:
    """A TensorRT engine, and another runtime for the images that it does not take.

    Args:
        other: makes the other runtime, when the first of these images comes.
    """

    def __init__(self, engine: TensorRtRuntime, other: Callable[[], Runtime]) -> None:
        self.name, self.device = engine.name, engine.device
        self._engine = engine
        self._make_other = other
        self._other: Runtime | None = None

    def prepare(self, shape: Shape) -> None:
        """Compute at full speed for images of this shape from now on."""
        self._for(shape).prepare(shape)

    def __call__(self, images: Images) -> StageOutput:
        return self._for(images.shape)(images)

    def _for(self, shape: Shape) -> Runtime:
        try:
            self._engine.require(shape)
        except UserError as error:
            if self._other is None:
                self._other = self._make_other()
                self.name = f'{self._engine.name} and {self._other.name}'
                log.warning('%s; until then they are left to %s', error, self._other.name)
            return self._other
        return self._engine

    def close(self) -> None:
        """Give back the memory of the device; the runtime cannot be used after."""
        self._engine.close()
        if self._other:
            self._other.close()


def _working(
    name: str, network: PoseNetwork, device: torch.device, engine: Path | None, threads: int
) -> Runtime:
    """The runtime of a name, checked.

    Raises:
        UserError: whatever went wrong.
    """
    try:
        made = _create(name, network, device, engine, threads)
        # An engine computes each of its profiles in its own way.
        shapes = made.tuned if isinstance(made, TensorRtRuntime) else (CHECKED,)
        return check(made, network, shapes)
    except UserError:
        raise
    except Exception as error:  # anything may go wrong in the libraries of other people
        reason = ' '.join(str(error).split())
        raise UserError(f'runtime {name!r} does not work here: {reason}') from error


def _create(
    runtime: str, network: PoseNetwork, device: torch.device, engine: Path | None, threads: int
) -> Runtime:
    if runtime == 'openvino':
        return OpenVinoRuntime(network, threads)
    if runtime == 'onnxruntime':
        return OnnxRuntime(network, threads)
    if runtime == 'tensorrt':
        if engine is None:
            raise UserError(
                "runtime 'tensorrt' needs an engine: action-recognition export tensorrt builds it"
            )
        return TensorRtRuntime(engine, network, device)
    return TorchRuntime(network, device, threads=threads)


def check(runtime: Runtime, network: PoseNetwork, shapes: Sequence[Shape] = (CHECKED,)) -> Runtime:
    """The runtime, once it has said the same as PyTorch in float32 about drawn people.

    For each shape (n, h, w, 3) before and after it has prepared for it, since it may compute
    otherwise then.

    Raises:
        UserError: its maps lie farther away than `TOLERANCE`.
    """
    reference = Deployed(network)
    for shape in shapes:
        images = figures(shape)
        with torch.inference_mode():
            wanted = reference(torch.from_numpy(images))
        _compare(runtime, images, wanted)
        runtime.prepare(shape)
        _compare(runtime, images, wanted)
    return runtime


def _compare(runtime: Runtime, images: Images, wanted: StageOutput) -> None:
    allowed = TOLERANCE[runtime.name.split()[1]]
    for got, want in zip(runtime(images), wanted, strict=True):
        error = float((got.cpu() - want).norm() / want.norm().clamp_min(LEAST_NORM))
        if not error <= allowed:  # also where it is not a number
            runtime.close()
            raise UserError(
                f'runtime {runtime.name!r} is off by {error:.2g} where {allowed:g} is tolerated'
            )
