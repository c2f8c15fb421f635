"""RTMPose and RTMO of OpenMMLab by rtmlib, in ONNX Runtime."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import rtmlib

from action_recognition.errors import UserError
from action_recognition.pose.backends.registry import one_line
from action_recognition.pose.backends.selection import select
from action_recognition.pose.decode import DecoderConfig
from action_recognition.pose.estimator import EstimatorConfig, image_size
from action_recognition.skeleton import Poses

#: Classes of rtmlib by what they do.
TOOLS = {'detector': rtmlib.YOLOX, 'pose': rtmlib.RTMPose, 'rtmo': rtmlib.RTMO}
#: Models that rtmlib fetches by name when they are first asked for: URLs of what they consist of.
MODELS: dict[str, dict[str, str]] = {
    **{name: {'detector': of['det'], 'pose': of['pose']} for name, of in rtmlib.Body.MODE.items()},
    **{f'rtmo-{name}': {'rtmo': of['pose']} for name, of in rtmlib.Body.RTMO_MODE.items()},
}
DEFAULT_MODEL = 'balanced'
#: Sizes of their inputs, which rtmlib has to be told, by the stems of their files.
SIZES = {
    Path(of[kind]).stem: of[f'{kind}_input_size']
    for of in (*rtmlib.Body.MODE.values(), *rtmlib.Body.RTMO_MODE.values())
    for kind in ('det', 'pose')
    if kind in of
}

log = logging.getLogger(__name__)


class RtmPose:
    """People by RTMPose in the boxes of a detector, or by RTMO at once.

    Args:
        pose: (image, bboxes=boxes), or (image) without a detector, to (n, k, 2) pixels and (n, k)
            scores whose first 17 joints are COCO's.
        detector: an image to (n, 4) boxes, the surest first.
    """

    def __init__(
        self,
        pose: Callable[..., tuple[Any, Any]],
        detector: Callable[[Any], Any] | None,
        name: str,
        device: str,
        config: DecoderConfig,
    ) -> None:
        self.name, self.device = name, device
        self.runtime = 'rtmlib onnxruntime'
        self.config = config
        self._pose: Callable[..., tuple[Any, Any]] | None = pose
        self._detector = detector

    def estimate(self, image: npt.NDArray[np.uint8], stamp: int = 0) -> Poses:
        """The people in an image (h, w, 3) uint8 BGR taken at `stamp` ns, without identities.

        Raises:
            ValueError: the image has another shape or type, or no pixels.
        """
        frame: dict[str, Any] = {'stamp': stamp, 'image_size': image_size(image)}
        if self._pose is None:
            raise RuntimeError('the estimator is closed')
        if self._detector is None:
            xy, score = self._pose(image)
        else:
            boxes = self._detector(image)[: self.config.max_people]
            # Without boxes RTMPose would look for a person as large as the image.
            if not len(boxes):
                return Poses.empty(**frame)
            xy, score = self._pose(image, bboxes=boxes)
        # Heights of RTMPose's peaks, which may exceed 1 a little, or be negative.
        return select(Poses.from_coco17(xy, np.clip(score, 0, 1), **frame), self.config)

    def close(self) -> None:
        """Give back the memory; the estimator cannot be used after."""
        self._pose = self._detector = None


def create(model: str, device: str, config: EstimatorConfig) -> RtmPose:
    """Load what rtmlib knows by a name, or files.

    Args:
        model: one of `MODELS` ('' for `DEFAULT_MODEL`); a folder that holds one `*yolox*.onnx` and
            one `*rtmpose*.onnx`, or one `*rtmo*.onnx`; or the path of the latter.

    Raises:
        UserError: there is no such model or device, or rtmlib can neither find nor fetch it.
    """
    place = _device(device)
    model = model or DEFAULT_MODEL
    files = MODELS.get(model) or _files(Path(model).expanduser())
    try:
        tools = {kind: _open(kind, file, place) for kind, file in files.items()}
    except Exception as error:  # of downloads, of zip files, of ONNX Runtime
        raise UserError(
            f'rtmlib cannot load {model!r} ({one_line(error)}): without a network give a folder '
            'with its ONNX files as the model (docs/backends.md)'
        ) from error
    if place != 'cpu' and any(
        tool.session.get_providers()[0] != 'CUDAExecutionProvider' for tool in tools.values()
    ):
        if device != 'auto':
            raise UserError('ONNX Runtime found no CUDA that fits it: give device cpu or auto')
        log.warning('ONNX Runtime found no CUDA that fits it and computes on the CPU')
        place = 'cpu'
    name = f'rtmlib {model if model in MODELS else Path(model).stem}'
    pose = tools.get('rtmo') or tools['pose']
    return RtmPose(pose, tools.get('detector'), name, place, config.decoder)


def _open(kind: str, file: str, device: str) -> Any:
    size = SIZES.get(Path(file).stem)
    told = {'model_input_size': size} if size else {}
    tool = TOOLS[kind](file, backend='onnxruntime', device=device, **told)
    height, width = tool.session.get_inputs()[0].shape[2:]
    if isinstance(height, int) and isinstance(width, int):  # the file itself knows best
        tool.model_input_size = (width, height) if kind == 'pose' else (height, width)
    return tool


def _files(path: Path) -> dict[str, str]:
    if path.is_file() and 'rtmo' in path.name:
        return {'rtmo': str(path)}
    if not path.is_dir():
        raise UserError(
            f'no model {str(path)!r} of rtmlib: use one of {", ".join(MODELS)}, a folder with ONNX '
            'files, or an RTMO file'
        )
    found = {
        kind: sorted(path.glob(pattern))
        for kind, pattern in (
            ('rtmo', '*rtmo*.onnx'),
            ('detector', '*yolox*.onnx'),
            ('pose', '*rtmpose*.onnx'),
        )
    }
    numbers = {kind: len(files) for kind, files in found.items()}
    if numbers not in (
        {'rtmo': 0, 'detector': 1, 'pose': 1},
        {'rtmo': 1, 'detector': 0, 'pose': 0},
    ):
        raise UserError(
            f'{path} must hold one *yolox*.onnx and one *rtmpose*.onnx, or one *rtmo*.onnx, and '
            'no more of them'
        )
    return {kind: str(files[0]) for kind, files in found.items() if files}


def _device(device: str) -> str:
    gpu = 'CUDAExecutionProvider' in onnxruntime.get_available_providers()
    if device == 'auto':
        return 'cuda' if gpu else 'cpu'
    kind, _, index = device.partition(':')
    if kind not in ('cpu', 'cuda') or (index and not (kind == 'cuda' and index.isdecimal())):
        raise UserError(f'unknown device {device!r}: use auto, cpu, cuda or cuda:N')
    if kind == 'cuda' and not gpu:
        raise UserError(
            'this ONNX Runtime computes on the CPU alone: pip install onnxruntime-gpu in its place'
        )
    return device
