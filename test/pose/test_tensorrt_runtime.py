"""Engines that do not fit are refused before TensorRT sees them.

Building and running needs a GPU with TensorRT; the ONNX model in float16 that it is built from is
tested in `test_onnx_file`.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from action_recognition.errors import UserError
from action_recognition.pose.heads import PoseNetwork
from action_recognition.pose.tensorrt_runtime import (
    MOST_IMAGES,
    TensorRtRuntime,
    _header,
    build_engine,
)

CUDA = torch.device('cuda')


@pytest.fixture(scope='module')
def network():
    return PoseNetwork(1).eval()


@pytest.fixture
def trt(monkeypatch):
    module = SimpleNamespace(__version__='10.3')
    monkeypatch.setitem(sys.modules, 'tensorrt', module)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'Orin')
    return module


def refusal(path, network):
    with pytest.raises(UserError, match='action-recognition export tensorrt') as error:
        TensorRtRuntime(path, network, CUDA)
    return str(error.value)


@pytest.mark.parametrize(
    ('key', 'value'), [('format', 0), ('weights', 'ab'), ('tensorrt', '8.6'), ('gpu', 'H100')]
)
def test_engine_of_something_else(trt, network, tmp_path, key, value):
    header = _header(trt, network, CUDA) | {'size': [200, 264], key: value}
    path = tmp_path / 'pose.engine'
    path.write_bytes(json.dumps(header).encode() + b'\nplan')
    assert f'was built for {key} {value}, not ' in refusal(path, network)


@pytest.mark.parametrize('content', [b'', b'\x00\xff\n', b'[]\n', b'{}\n', b'{"size": 3}\n'])
def test_file_that_is_no_engine(trt, network, tmp_path, content):
    path = tmp_path / 'pose.engine'
    path.write_bytes(content)
    assert 'is not an engine of ours' in refusal(path, network)


def test_engine_that_is_not_there(trt, network, tmp_path):
    assert 'there is no engine' in refusal(tmp_path / 'pose.engine', network)


def test_header_tells_weights_apart(trt, network):
    assert _header(trt, network, CUDA) == _header(trt, network, CUDA)
    assert _header(trt, network, CUDA) != _header(trt, PoseNetwork(1), CUDA)


@pytest.fixture
def runtime():
    """An engine tuned for images of 264x200 that were never on a GPU."""
    runtime = TensorRtRuntime.__new__(TensorRtRuntime)
    runtime._longest = [400, 528]
    return runtime


@pytest.mark.parametrize(
    ('shape', 'reason'),
    [
        ((MOST_IMAGES + 1, 128, 128, 3), r'up to 32 images at once, not 33: .*look\.max_crops'),
        ((1, 200, 536, 3), r'32 to 528 x 400 pixels, not 536 x 200: .*--input-size'),
        ((1, 24, 264, 3), r'not 264 x 24: .*--input-size'),
    ],
)
def test_images_that_the_engine_does_not_take(runtime, shape, reason):
    with pytest.raises(UserError, match=reason):
        runtime(np.zeros(shape, np.uint8))


def test_engine_for_a_cpu_cannot_be_built(trt, network):
    with pytest.raises(UserError, match="needs a GPU, and device 'cpu' is none"):
        build_engine(network, (200, 264), 'cpu')
