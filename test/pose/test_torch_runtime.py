"""What is done on a GPU to record a graph, with a GPU that is none: nothing here computes on one.

That the maps of a graph are those of the network is tested in `test_runtimes`, on a GPU.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from action_recognition.pose.by_shape import PREPARE_AFTER, ByShape
from action_recognition.pose.heads import PoseNetwork, StageOutput
from action_recognition.pose.torch_runtime import CudaGraph, TorchRuntime

CPU = torch.device('cpu')


class Gpu:
    """Stands in for `torch.cuda`; `doing` says whether a graph is being recorded.

    `recorded`: the streams of graphs, in their order. While `full`, none can be ended.
    """

    def __init__(self, monkeypatch):
        self.doing = 'computing'
        self.recorded, self.full = [], False
        self.first = self.device = None
        self.stream = self.default = self._make_stream(None)
        for name, value in {
            'Stream': self._make_stream,
            'current_stream': lambda device: self.stream,
            'stream': self._use,
            'device': self._on,
            'CUDAGraph': lambda: SimpleNamespace(pool=lambda: 'pool', replay=lambda: None),
            'graph': self._graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda pixels: pixels)

    def _make_stream(self, device):
        return SimpleNamespace(device=device, wait_stream=lambda other: None)

    @contextmanager
    def _use(self, stream):
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    @contextmanager
    def _on(self, device):
        before, self.device = self.device, device
        try:
            yield
        finally:
            self.device = before

    @contextmanager
    def _graph(self, graph, pool, stream=None, capture_error_mode='global'):
        """As torch's: unless it is given a stream, the same for good, of the GPU that came first.

        The stream stays the current one where the recording cannot be ended.
        """
        assert capture_error_mode == 'thread_local'
        if stream is None:
            stream = self.first = self.first or self._make_stream(self.device)
        self.recorded.append(stream)
        before, self.stream = self.stream, stream
        self.doing = 'recording'
        yield
        self.doing = 'computing'
        if self.full:
            raise RuntimeError('CUDA error: out of memory')
        self.stream = before


@pytest.fixture
def gpu(monkeypatch):
    return Gpu(monkeypatch)


def test_a_graph_is_recorded_with_cudnn_and_the_algorithms_that_it_found_to_be_fastest(gpu):
    cudnn, seen = torch.backends.cudnn, []
    side = torch.cuda.Stream(CPU)

    def settings():
        return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32

    def network(images):
        assert gpu.stream is side
        seen.append((gpu.doing, settings()))
        return StageOutput(images, images)

    before = settings()
    assert before == (True, False, False, True)  # what torch starts with
    CudaGraph(network, (2, 8, 8, 3), CPU, None, side)
    wanted = (True, True, False, True)
    assert seen == [('computing', wanted)] * 3 + [('recording', wanted)]
    assert settings() == before


def test_each_gpu_records_its_graphs_on_one_stream_of_its_own(gpu):
    devices = [torch.device('meta', index) for index in (0, 1)]
    for device in devices:
        runtime = TorchRuntime(PoseNetwork(1).eval(), device)
        runtime._graphs = ByShape(runtime._capture)
        for batch in (1, 2):
            runtime.prepare((batch, 32, 48, 3))
    one, same, two, again = gpu.recorded
    assert [one.device, two.device] == devices
    assert (same, again) == (one, two)


@pytest.mark.parametrize('prepared', [False, True])
def test_images_whose_graph_cannot_be_recorded_are_computed_without(gpu, prepared, caplog):
    gpu.full = True
    runtime = TorchRuntime(PoseNetwork(1).eval(), torch.device('meta'))  # no CPU, and of no size
    runtime._graphs = ByShape(runtime._capture)
    if prepared:
        runtime.prepare((1, 32, 48, 3))
    for _ in range(PREPARE_AFTER + 3):
        maps = runtime(np.zeros((1, 32, 48, 3), np.uint8))
        assert maps.joints.shape == (1, 14, 4, 6)
        assert gpu.stream is gpu.default
    assert len(gpu.recorded) == 1
    assert len(caplog.messages) == 1
