"""Runtimes that read the network as ONNX and compute on the CPU: OpenVINO, ONNX Runtime.

Unless they are told how many threads to use, both use as many as PyTorch does (OMP_NUM_THREADS,
`torch.set_num_threads`).
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from action_recognition.pose.by_shape import ByShape, Shape
from action_recognition.pose.deployed import Deployed, Images
from action_recognition.pose.heads import PoseNetwork, StageOutput
from action_recognition.pose.onnx_file import INPUT, to_onnx

#: What OpenVINO calls the precisions it may find in a CPU, the fastest first.
PRECISIONS = {'BF16': ('bf16', 'bfloat16'), 'FP16': ('f16', 'float16')}


def import_openvino() -> Any:
    """OpenVINO, which reports to its maker when it is imported if it finds the means to."""
    sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
    import openvino

    return openvino


class OpenVinoRuntime:
    """OpenVINO, in half precision where the CPU has instructions for it.

    One model takes every shape; frequent shapes get a model bound to them, which is 7 % faster on
    whole frames and 10 % on crops, and compiled within some tenths of a second, meanwhile.

    Args:
        threads: that compute; 0: as many as PyTorch's.
    """

    device = 'cpu'

    def __init__(self, network: PoseNetwork, threads: int = 0) -> None:
        self._core: Any = import_openvino().Core()
        able = self._core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        hint, precision = next(
            (names for key, names in PRECISIONS.items() if key in able), ('f32', 'float32')
        )
        self.name = f'openvino {precision}'
        self._options = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': hint,
            'INFERENCE_NUM_THREADS': threads or torch.get_num_threads(),
            # Pinned threads of several processes would meet on the same cores.
            'ENABLE_CPU_PINNING': False,
        }
        self._onnx = to_onnx(Deployed(network), {})
        self._any: Any = self._compile(None)
        self._bound: ByShape[Any] = ByShape(self._compile, background=True)

    def _compile(self, shape: Shape | None) -> Any:
        model = self._core.read_model(self._onnx)
        if shape:
            model.reshape(list(shape))
        return self._core.compile_model(model, 'CPU', self._options).create_infer_request()

    def prepare(self, shape: Shape) -> None:
        """Compute at full speed for images of this shape from now on."""
        self._bound.prepare(shape)

    def __call__(self, images: Images) -> StageOutput:
        request = self._bound.get(images.shape) or self._any
        result = request.infer({INPUT: images}, share_inputs=True, share_outputs=True)
        return StageOutput(*(torch.from_numpy(result[i]) for i in range(2)))

    def close(self) -> None:
        """Give back the memory; the runtime cannot be used after."""
        self._bound.close()
        del self._any, self._bound, self._core


class OnnxRuntime:
    """ONNX Runtime, in float32.

    Args:
        threads: that compute; 0: as many as PyTorch's.
    """

    name = 'onnxruntime float32'
    device = 'cpu'

    def __init__(self, network: PoseNetwork, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        self._session: Any = onnxruntime.InferenceSession(
            to_onnx(Deployed(network), {}), options, providers=['CPUExecutionProvider']
        )

    def prepare(self, shape: Shape) -> None:
        """Compute at full speed for images of this shape from now on, as for all."""

    def __call__(self, images: Images) -> StageOutput:
        return StageOutput(*map(torch.from_numpy, self._session.run(None, {INPUT: images})))

    def close(self) -> None:
        """Give back the memory; the runtime cannot be used after."""
        del self._session
