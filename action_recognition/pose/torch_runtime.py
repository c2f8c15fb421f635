"""The pose network in PyTorch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from action_recognition.pose.by_shape import ByShape, Shape
from action_recognition.pose.deployed import Deployed, Images
from action_recognition.pose.heads import PoseNetwork, StageOutput


class TorchRuntime:
    """PyTorch: float32 on the CPU; float16 and a CUDA graph for each frequent shape on a GPU.

    Args:
        graphs: whether CUDA graphs are used.
        threads: that compute on the CPU; 0: as many as PyTorch is set to.
    """

    def __init__(
        self, network: PoseNetwork, device: torch.device, graphs: bool = True, threads: int = 0
    ) -> None:
        half = device.type == 'cuda'
        self.name = 'torch float16' if half else 'torch float32'
        self.device = str(device)
        self._device = device
        self._network = Deployed(network, half).to(device)
        self._graphs = ByShape(self._capture) if half and graphs else None
        self._pool: Any = None
        self._side: torch.cuda.Stream | None = None
        self._threads = threads

    @torch.inference_mode()
    def prepare(self, shape: Shape) -> None:
        """Compute at full speed for images of this shape from now on."""
        if self._graphs:
            with torch.cuda.device(self._device):
                self._graphs.prepare(_batched(shape))

    @torch.inference_mode()
    def __call__(self, images: Images) -> StageOutput:
        if self._device.type == 'cpu':
            # PyTorch has one number for all networks, and keeps it for each thread that calls.
            if self._threads and torch.get_num_threads() != self._threads:
                torch.set_num_threads(self._threads)
            return self._network(torch.from_numpy(images))
        with torch.cuda.device(self._device):
            count = len(images)
            graph = self._graphs.get(_batched(images.shape)) if self._graphs else None
            pixels = torch.from_numpy(images).pin_memory()
            if graph is None:
                return self._network(pixels.to(self._device, non_blocking=True))
            joints, limbs = graph(pixels)
            return StageOutput(joints[:count], limbs[:count])

    def _capture(self, shape: Shape) -> CudaGraph:
        # The stream that torch would take is one for all GPUs, on the first that records.
        if self._side is None:
            self._side = torch.cuda.Stream(self._device)
        # One runs at a time and its output holds until the next, so they share their memory; for
        # that they have to be recorded on the same stream.
        graph = CudaGraph(self._network, shape, self._device, self._pool, self._side)
        self._pool = graph.pool
        return graph

    def close(self) -> None:
        """Give back the memory of the device; the runtime cannot be used after."""
        del self._network, self._graphs
        if self._device.type == 'cuda':
            torch.cuda.empty_cache()


def _batched(shape: Shape) -> Shape:
    """Few batch sizes, so that few graphs serve all: what is added is thrown away."""
    return (1 << (shape[0] - 1).bit_length(), *shape[1:])


def _fastest() -> AbstractContextManager[None]:
    """With the convolutions of cuDNN that it finds to be the fastest by trying.

    `flags` sets whatever it is not told: without `enabled` it switches cuDNN off. The rest are the
    values that torch starts with.
    """
    return torch.backends.cudnn.flags(enabled=True, benchmark=True)


class CudaGraph:
    """A network recorded for inputs of one shape: one launch instead of one for each layer.

    Args:
        pool: of the memory of another graph that was recorded on the same stream, or None.
        side: a stream of the device that nothing else runs on.
    """

    def __init__(
        self,
        network: Deployed,
        shape: Shape,
        device: torch.device,
        pool: Any,
        side: torch.cuda.Stream,
    ) -> None:
        self._images = torch.zeros(shape, dtype=torch.uint8, device=device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side), _fastest():
            for _ in range(3):
                network(self._images)
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, such as the recogniser's, may use the GPU meanwhile. A recording that
        # cannot be ended leaves its own stream behind as the current one.
        with (
            torch.cuda.stream(torch.cuda.current_stream(device)),
            torch.cuda.graph(self._graph, pool, stream=side, capture_error_mode='thread_local'),
            _fastest(),
        ):
            self._output = network(self._images)
        self.pool = self._graph.pool()

    def __call__(self, pixels: Tensor) -> StageOutput:
        """Maps of as many images as the graph takes, for pinned pixels of as many or fewer."""
        self._images[: len(pixels)].copy_(pixels, non_blocking=True)
        self._graph.replay()
        return self._output
