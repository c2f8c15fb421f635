"""What is done on a GPU to record a graph, with a GPU that is none: nothing here computes on one.

That the maps of a graph are those of the network is tested in `test_runtimes`, on a GPU.
"""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from action_recognition.pose.heads import StageOutput
from action_recognition.pose.torch_runtime import CudaGraph

CPU = torch.device('cpu')


class Gpu:
    """Stands in for `torch.cuda`; `doing` says whether a graph is being recorded."""

    def __init__(self, monkeypatch):
        self.doing = 'computing'
        stream = SimpleNamespace(wait_stream=lambda other: None)
        for name, value in {
            'Stream': lambda device: stream,
            'current_stream': lambda device: stream,
            'stream': lambda stream: nullcontext(),
            'CUDAGraph': lambda: SimpleNamespace(pool=lambda: 'pool', replay=lambda: None),
            'graph': self._graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    @contextmanager
    def _graph(self, graph, pool, capture_error_mode):
        assert capture_error_mode == 'thread_local'
        self.doing = 'recording'
        yield
        self.doing = 'computing'


@pytest.fixture
def gpu(monkeypatch):
    return Gpu(monkeypatch)


def test_a_graph_is_recorded_with_cudnn_and_the_algorithms_that_it_found_to_be_fastest(gpu):
    cudnn, seen = torch.backends.cudnn, []

    def settings():
        return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32

    def network(images):
        seen.append((gpu.doing, settings()))
        return StageOutput(images, images)

    before = settings()
    assert before == (True, False, False, True)  # what torch starts with
    CudaGraph(network, (2, 8, 8, 3), CPU, None)
    wanted = (True, True, False, True)
    assert seen == [('computing', wanted)] * 3 + [('recording', wanted)]
    assert settings() == before
