"""Engines that do not fit are refused before TensorRT sees them.

Building and running needs a GPU with TensorRT; the ONNX model in float16 that it is built from is
tested in `test_onnx_file`.
"""

import json
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from action_recognition.errors import UserError
from action_recognition.pose import tensorrt_runtime
from action_recognition.pose.heads import PoseNetwork
from action_recognition.pose.tensorrt_runtime import (
    MOST_IMAGES,
    TensorRtRuntime,
    _header,
    build_engine,
    engine_path,
    profiles,
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
    header = _header(trt, network, CUDA) | {'size': [200, 264], 'crop_size': 160, key: value}
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


def test_an_engine_is_beside_the_weights_unless_it_is_named(monkeypatch):
    monkeypatch.setenv('HOME', '/home/robot')
    weights = Path('/opt/share/models/pose.safetensors')
    assert engine_path(weights) == Path('/opt/share/models/pose.engine')
    assert engine_path(weights, '~/pose.engine') == Path('/home/robot/pose.engine')


def test_engine_of_the_format_before_is_told_by_its_format(trt, network, tmp_path):
    header = _header(trt, network, CUDA) | {'size': [200, 264], 'format': 2}
    path = tmp_path / 'pose.engine'
    path.write_bytes(json.dumps(header).encode() + b'\nplan')
    assert 'was built for format 2, not 3' in refusal(path, network)


def test_header_tells_weights_apart(trt, network):
    assert _header(trt, network, CUDA) == _header(trt, network, CUDA)
    assert _header(trt, network, CUDA) != _header(trt, PoseNetwork(1), CUDA)


@pytest.fixture
def runtime():
    """An engine tuned for images of 264x200 and crops of 160, which were never on a GPU."""
    runtime = TensorRtRuntime.__new__(TensorRtRuntime)
    runtime._profiles = profiles((200, 264), 160)
    return runtime


@pytest.mark.parametrize(
    ('shape', 'reason'),
    [
        ((MOST_IMAGES + 1, 128, 128, 3), r'up to 32 images at once, not 33: .*look\.max_crops'),
        ((1, 200, 536, 3), r'32 to 528 x 400 pixels, not 536 x 200: .*--input-size'),
        ((1, 24, 264, 3), r'not 264 x 24: .*--input-size'),
        ((3, 168, 168, 3), r'takes crops of 32 to 160 pixels, not 168 x 168: .*--crop-size'),
    ],
)
def test_images_that_the_engine_does_not_take(runtime, shape, reason):
    with pytest.raises(UserError, match=reason):
        runtime(np.zeros(shape, np.uint8))
    with pytest.raises(UserError, match=reason):
        runtime.require(shape)
    runtime.require((MOST_IMAGES, 160, 160, 3))
    runtime.require((2, 400, 528, 3))


def test_engine_for_a_cpu_cannot_be_built(trt, network):
    with pytest.raises(UserError, match="needs a GPU, and device 'cpu' is none"):
        build_engine(network, (200, 264), 160, 'cpu')


class Builder:
    """TensorRT's, as far as it is asked for; the engine says what it was asked."""

    def __init__(self, logger):
        self.asked = {'profiles': [], 'config': []}

    def create_builder_config(self):
        return SimpleNamespace(
            add_optimization_profile=lambda profile: None, set_flag=self.asked['config'].append
        )

    def create_network(self, flags):
        self.asked['network'] = flags
        return 'definition'

    def create_optimization_profile(self):
        return SimpleNamespace(
            set_shape=lambda name, *shapes: self.asked['profiles'].append((name, *shapes))
        )

    def build_serialized_network(self, definition, config):
        assert definition == 'definition'
        return json.dumps(self.asked).encode()


@pytest.fixture
def cuda(monkeypatch):
    """A GPU that is the CPU; work on another stream is in `streams`."""
    streams = []

    @contextmanager
    def use(stream):
        streams.append(stream)
        yield
        streams.remove(stream)

    for name, value in {
        'device': lambda device: nullcontext(),
        'stream': use,
        'Stream': lambda device: SimpleNamespace(cuda_stream=77),
        'current_stream': lambda device: SimpleNamespace(wait_stream=lambda other: None),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, 'record_stream', lambda tensor, stream: None)
    monkeypatch.setattr(tensorrt_runtime, 'resolve_device', lambda device: CUDA)
    return streams


#: Ways of making a network, by the versions of TensorRT that have them: the bits of its flags.
CREATION_FLAGS = {'8.6': {'EXPLICIT_BATCH': 0}, '10.3': {'EXPLICIT_BATCH': 0, 'STRONGLY_TYPED': 1}}


@pytest.fixture(params=CREATION_FLAGS)
def builder(request, trt, cuda):
    """TensorRT as far as it builds, of engines that list the shapes of their profiles."""
    trt.__version__ = request.param
    trt.Logger = lambda level: None
    trt.Logger.ERROR = None
    trt.Builder = Builder
    trt.BuilderFlag = SimpleNamespace(FP16='FP16')
    trt.NetworkDefinitionCreationFlag = SimpleNamespace(**CREATION_FLAGS[request.param])
    trt.OnnxParser = lambda *args: SimpleNamespace(parse=lambda onnx: True)
    return trt


def built(network):
    """The header of an engine, and what TensorRT was asked for it."""
    line, _, plan = build_engine(network, (200, 264), 160, 'cuda').partition(b'\n')
    return json.loads(line), json.loads(plan)


def test_float16_is_allowed_to_a_tensorrt_that_does_not_take_the_types_of_the_model(
    builder, network
):
    """The model says itself what is float16: later ones go by that."""
    header, asked = built(network)
    assert header['tensorrt'] == builder.__version__
    wanted = {'8.6': (0b01, ['FP16']), '10.3': (0b10, [])}
    assert (asked['network'], asked['config']) == wanted[builder.__version__]


def test_a_network_that_tensorrt_cannot_read_is_refused_with_all_its_reasons(builder, network):
    reasons = ['no such operator: Warp', 'wrong shape']

    def make_parser(definition, logger):
        assert definition == 'definition'
        return SimpleNamespace(
            parse=lambda onnx: not onnx,
            num_errors=len(reasons),
            get_error=lambda i: SimpleNamespace(desc=lambda: reasons[i]),
        )

    builder.OnnxParser = make_parser
    with pytest.raises(UserError, match=r'cannot read the network: no such .*: Warp; wrong shape'):
        build_engine(network, (200, 264), 160, 'cuda')


def test_an_engine_that_tensorrt_cannot_build_is_an_error(builder, network, monkeypatch):
    monkeypatch.setattr(Builder, 'build_serialized_network', lambda *args: None)
    with pytest.raises(UserError, match='could not build the engine: its reasons stand above'):
        build_engine(network, (200, 264), 160, 'cuda')


def test_an_engine_is_built_for_the_gpu_that_is_asked_for(builder, network, monkeypatch):
    """Which is the current one from before there is a builder until the engine is there."""
    second = torch.device('cuda:1')
    current, seen = [], []

    @contextmanager
    def use(device):
        current.append(device)
        yield
        current.pop()

    class Watched(Builder):
        def __init__(self, logger):
            super().__init__(logger)
            seen.append(list(current))

        def build_serialized_network(self, definition, config):
            seen.append(list(current))
            return super().build_serialized_network(definition, config)

    monkeypatch.setattr(torch.cuda, 'device', use)
    monkeypatch.setattr(tensorrt_runtime, 'resolve_device', torch.device)
    builder.Builder = Watched
    build_engine(network, (200, 264), 160, 'cuda:1')
    assert seen == [[second], [second]]
    assert current == []


def test_an_engine_takes_many_crops_but_few_full_frames(builder, network):
    header, asked = built(network)
    assert (header['size'], header['crop_size']) == ([200, 264], 160)
    crops, frames = asked['profiles']
    assert crops == ['images', [1, 32, 32, 3], [3, 160, 160, 3], [32, 160, 160, 3]]
    assert frames == ['images', [1, 32, 32, 3], [1, 200, 264, 3], [2, 400, 528, 3]]


class Context:
    """Computes nothing, and keeps to the rules: a shape has to fit the profile in use."""

    def __init__(self, streams):
        self.streams = streams
        self.profile, self.shape = 0, None
        self.addresses, self.done = set(), []

    def set_optimization_profile_async(self, index, stream):
        assert self.streams and stream == 77
        self.profile, self.shape = index, None
        return True

    def set_input_shape(self, name, shape):
        self.shape = shape
        return profiles((200, 264), 160)[self.profile].takes(shape)

    def set_tensor_address(self, name, address):
        self.addresses.add(name)
        return address != 0

    def execute_async_v3(self, stream):
        assert self.streams and stream == 77
        assert self.addresses == {'images', 'joints', 'limbs'}
        self.done.append((self.profile, self.shape))
        return True


@pytest.fixture
def open_engine(trt, cuda, network, tmp_path):
    def open_engine(context, readable=True):
        engine = SimpleNamespace(create_execution_context=lambda: context) if readable else None
        trt.Logger = lambda level: None
        trt.Logger.ERROR = None
        trt.Runtime = lambda log: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine)
        header = _header(trt, network, CUDA) | {'size': [200, 264], 'crop_size': 160}
        path = tmp_path / 'pose.engine'
        path.write_bytes(json.dumps(header).encode() + b'\nplan')
        return TensorRtRuntime(path, network, torch.device('cpu'))

    return open_engine


def test_each_image_is_computed_by_the_profile_that_takes_it(cuda, open_engine):
    context = Context(cuda)
    runtime = open_engine(context)
    assert runtime.tuned == [(3, 160, 160, 3), (1, 200, 264, 3)]
    shapes = [(3, 160, 160), (1, 200, 264), (2, 200, 264), (32, 160, 160), (1, 64, 96)]
    for shape in shapes:
        maps = runtime(np.zeros((*shape, 3), np.uint8))
        cells = shape[0], shape[1] // 8, shape[2] // 8
        assert maps.joints.shape == (cells[0], 14, *cells[1:])
        assert maps.limbs.shape == (cells[0], 26, *cells[1:])
    assert context.done == [
        (profile, (*shape, 3)) for profile, shape in zip((0, 1, 1, 0, 0), shapes, strict=True)
    ]


def test_an_engine_for_which_there_is_no_memory(open_engine):
    with pytest.raises(UserError, match=r'no memory on cpu for .*pose\.engine: free some, or exp'):
        open_engine(None)


def test_an_engine_whose_plan_is_damaged(open_engine):
    with pytest.raises(UserError, match=r'cannot read .*pose\.engine: build it here: action-rec'):
        open_engine(None, readable=False)


@pytest.mark.parametrize(
    'step',
    ['set_optimization_profile_async', 'set_input_shape', 'set_tensor_address', 'execute_async_v3'],
)
def test_maps_are_not_given_back_where_tensorrt_fails(cuda, open_engine, monkeypatch, step):
    context = Context(cuda)
    runtime = open_engine(context)
    monkeypatch.setattr(context, step, lambda *args: False)
    with pytest.raises(RuntimeError, match='TensorRT failed: its reasons stand above'):
        runtime(np.zeros((1, 200, 264, 3), np.uint8))
