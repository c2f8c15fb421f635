"""The pose network as a TensorRT engine: built by `action-recognition export`, run by the node.

An engine file is ours alone: a line of JSON that says what it was built from and for, then
TensorRT's own plan, which fits one version of TensorRT and one kind of GPU. TensorRT is an
optional library; any from 8.5 on should do, and JetPack 6 brings 8.6 or later. All of this is
written by the documentation of TensorRT 8.6 and 10: we have had no GPU to run it on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from action_recognition.device import resolve_device
from action_recognition.errors import UserError
from action_recognition.pose.by_shape import Shape
from action_recognition.pose.deployed import Deployed, Images
from action_recognition.pose.heads import PoseNetwork, StageOutput
from action_recognition.pose.onnx_file import INPUT, OUTPUTS, STRIDE, to_onnx

FORMAT = 3
#: Images from this side, and at most so many at once: as many crops as perception may be set to
#: look at (`look.max_crops`), and with `flip_test` their mirror images.
LEAST_SIDE, MOST_IMAGES = 32, 32
#: Full frames at once: one, and with `flip_test` its mirror image.
MOST_FRAMES = 2
#: Crops for which an engine is tuned: those of a few people.
TUNED_CROPS = 3


class Profile(NamedTuple):
    """An optimization profile: the shapes (n, h, w, 3) that one part of an engine takes.

    Attributes:
        least: the smallest shape.
        tuned: the one that is to be the fastest.
        most: the largest, for which TensorRT reserves memory.
    """

    least: Shape
    tuned: Shape
    most: Shape

    def takes(self, shape: Shape) -> bool:
        """Whether images of this shape are among them."""
        return all(a <= b <= c for a, b, c in zip(self.least, shape, self.most, strict=True))


def profiles(size: tuple[int, int], crop_size: int) -> tuple[Profile, Profile]:
    """The optimization profiles of an engine: of crops, and of full frames.

    One for both would reserve memory for as many full frames as there may be crops.

    Args:
        size: (h, w) of full frames for which it is tuned; it takes up to twice that.
        crop_size: the largest side of crops, and the one for which it is tuned.
    """
    least = (1, LEAST_SIDE, LEAST_SIDE, 3)
    crop, frame = (crop_size, crop_size, 3), (*size, 3)
    return (
        Profile(least, (TUNED_CROPS, *crop), (MOST_IMAGES, *crop)),
        Profile(least, (1, *frame), (MOST_FRAMES, 2 * size[0], 2 * size[1], 3)),
    )


def engine_path(weights: Path, named: str = '') -> Path:
    """Where the engine of a weights file is looked for: where it is named to be, or beside it."""
    return Path(named).expanduser() if named else weights.with_suffix('.engine')


def build_engine(network: PoseNetwork, size: tuple[int, int], crop_size: int, device: str) -> bytes:
    """An engine file in float16; this takes minutes.

    Args:
        size: (h, w) of full frames for which the engine is tuned; it takes up to twice that.
        crop_size: side of crops for which it is tuned; it takes crops of up to that.
        device: the GPU, as for `resolve_device`.

    Raises:
        UserError: TensorRT is not installed, there is no such GPU, or TensorRT refuses the
            network.
    """
    trt = _tensorrt()
    place = resolve_device(device)
    if place.type != 'cuda':
        raise UserError(f'TensorRT needs a GPU, and device {device!r} is none')
    header = _header(trt, network, place) | {'size': size, 'crop_size': crop_size}
    with torch.cuda.device(place):  # a builder builds for the GPU that is current when it is made
        plan = _plan(trt, network, profiles(size, crop_size))
    if plan is None:
        raise UserError('TensorRT could not build the engine: its reasons stand above')
    return json.dumps(header).encode() + b'\n' + bytes(plan)


def _plan(trt: Any, network: PoseNetwork, shapes: Sequence[Profile]) -> Any:
    """TensorRT's plan for the current GPU; None where it finds none."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    flags = trt.NetworkDefinitionCreationFlag
    config = builder.create_builder_config()
    # The model says itself what is float16. TensorRT 8 has to be told that this is allowed.
    typed = getattr(flags, 'STRONGLY_TYPED', None)
    if typed is None:
        config.set_flag(trt.BuilderFlag.FP16)
    definition = builder.create_network(1 << int(flags.EXPLICIT_BATCH if typed is None else typed))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse(to_onnx(Deployed(network, half=True), {})):
        reasons = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise UserError(f'TensorRT cannot read the network: {"; ".join(reasons)}')
    for each in shapes:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, *each)
        config.add_optimization_profile(profile)
    return builder.build_serialized_network(definition, config)


class TensorRtRuntime:
    """An engine, in float16.

    Attributes:
        tuned: shapes (n, h, w, 3) for which it was tuned, one for each way in which it computes.

    Raises:
        UserError: there is no such engine, it is of other weights, another GPU or another
            TensorRT, there is no memory for it, or TensorRT is not installed.
    """

    name = 'tensorrt float16'

    def __init__(self, path: Path, network: PoseNetwork, device: torch.device) -> None:
        trt = _tensorrt()
        again = 'build it here: action-recognition export tensorrt'
        try:
            line, _, plan = path.read_bytes().partition(b'\n')
            header = json.loads(line)
            height, width = header.pop('size')
            # Engines of the format before have none, and are refused below.
            crop_size = int(header.pop('crop_size', 0))
            self._profiles = profiles((int(height), int(width)), crop_size)
        except OSError as error:
            raise UserError(f'there is no engine {path}: {again}') from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f'{path} is not an engine of ours: {again}') from error
        wanted = _header(trt, network, device)
        for key, value in wanted.items():
            if header.get(key) != value:
                raise UserError(
                    f'{path} was built for {key} {header.get(key)}, not {value}: {again}'
                )
        self.tuned = [profile.tuned for profile in self._profiles]
        self.device = str(device)
        self._device = device
        with torch.cuda.device(device):
            # Each holds what it was made by.
            self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise UserError(f'TensorRT cannot read {path}: {again}')
            self._context: Any = self._engine.create_execution_context()
            if self._context is None:
                raise UserError(
                    f'TensorRT has no memory on {device} for {path}: free some, or export it for '
                    'smaller images (action-recognition export tensorrt --input-size --crop-size)'
                )
            #: The first context of an engine begins with its first profile.
            self._profile = 0
            self._stream = torch.cuda.Stream(device)

    def prepare(self, shape: Shape) -> None:
        """Compute at full speed for images of this shape from now on, as for all."""

    @torch.inference_mode()
    def __call__(self, images: Images) -> StageOutput:
        n, height, width, _ = images.shape
        profile = self._profile_for(images.shape)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            pixels = torch.from_numpy(images).pin_memory().to(self._device, non_blocking=True)
            maps = {
                name: torch.empty(
                    n, channels, height // STRIDE, width // STRIDE, device=self._device
                )
                for name, channels in OUTPUTS.items()
            }
            stream = self._stream.cuda_stream
            if profile != self._profile:
                _sure(self._context.set_optimization_profile_async(profile, stream))
                self._profile = profile
            _sure(self._context.set_input_shape(INPUT, tuple(pixels.shape)))
            for name, tensor in {INPUT: pixels, **maps}.items():
                _sure(self._context.set_tensor_address(name, tensor.data_ptr()))
            _sure(self._context.execute_async_v3(stream))
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for tensor in maps.values():
            tensor.record_stream(current)
        return StageOutput(**maps)

    def require(self, shape: Shape) -> None:
        """Raises: UserError, the engine does not take images of this shape."""
        self._profile_for(shape)

    def _profile_for(self, shape: Shape) -> int:
        """The index of the profile that takes images of this shape.

        Raises:
            UserError: none does.
        """
        for index, profile in enumerate(self._profiles):
            if profile.takes(shape):
                return index
        n, height, width, _ = shape
        crops, frames = (profile.most for profile in self._profiles)
        if n > MOST_IMAGES:
            raise UserError(
                f'the TensorRT engine takes up to {MOST_IMAGES} images at once, not {n}: look at '
                'fewer crops (look.max_crops) or without their mirror images (flip_test)'
            )
        if n > MOST_FRAMES:
            raise UserError(
                f'the TensorRT engine takes crops of {LEAST_SIDE} to {crops[1]} pixels, not '
                f'{width} x {height}: build one by action-recognition export tensorrt --crop-size'
            )
        raise UserError(
            f'the TensorRT engine takes images of {LEAST_SIDE} to {frames[2]} x {frames[1]} '
            f'pixels, not {width} x {height}: build one by action-recognition export tensorrt '
            '--input-size'
        )

    def close(self) -> None:
        """Give back the memory of the device; the runtime cannot be used after."""
        del self._context, self._engine, self._runtime
        torch.cuda.empty_cache()


def _sure(done: bool) -> None:
    if not done:
        raise RuntimeError('TensorRT failed: its reasons stand above')


def _tensorrt() -> Any:
    try:
        import tensorrt
    except ImportError as error:
        raise UserError(
            'TensorRT is not installed: it comes with the JetPack of a Jetson, elsewhere '
            'pip install tensorrt'
        ) from error
    return tensorrt


def _header(trt: Any, network: PoseNetwork, device: torch.device) -> dict[str, Any]:
    """What an engine must have been built from and for."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return {
        'format': FORMAT,
        'weights': digest.hexdigest(),
        'tensorrt': trt.__version__,
        'gpu': torch.cuda.get_device_name(device),
    }
