"""The ONNX file that we write ourselves, read by libraries that we did not write."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from action_recognition.pose.cpu_runtimes import import_openvino
from action_recognition.pose.deployed import Deployed
from action_recognition.pose.heads import PoseNetwork
from action_recognition.pose.onnx_file import to_onnx


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    network = PoseNetwork(3)
    network(torch.randn(4, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope='module')
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 48, 72, 3), np.uint8)


def session_of(model):
    onnxruntime = pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
    return onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])


@pytest.mark.parametrize('half', [False, True])
def test_model_says_what_the_network_says(network, images, half):
    session = session_of(to_onnx(Deployed(network, half), {}))
    with torch.inference_mode():
        want = Deployed(network)(torch.from_numpy(images))
    for got, maps in zip(session.run(None, {'images': images}), want, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, maps, atol=0.02 if half else 1e-5)


def test_openvino_reads_it(network, images):
    if find_spec('openvino') is None:
        pytest.skip('OpenVINO is not installed')
    core = import_openvino().Core()
    model = core.read_model(to_onnx(Deployed(network), {}))
    compiled = core.compile_model(model, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    with torch.inference_mode():
        want = Deployed(network)(torch.from_numpy(images))
    result = compiled([images])
    for name, maps in zip(('joints', 'limbs'), want, strict=True):
        np.testing.assert_allclose(result[name], maps, atol=1e-5)


def test_sizes_are_free_or_bound(network):
    free = session_of(to_onnx(Deployed(network), {}))
    assert free.get_inputs()[0].shape == ['n', 'height', 'width', 3]
    bound = session_of(to_onnx(Deployed(network), {}, (48, 72)))
    assert bound.get_inputs()[0].shape == ['n', 48, 72, 3]
    assert [output.shape for output in bound.get_outputs()] == [['n', 14, 6, 9], ['n', 26, 6, 9]]
    assert [output.name for output in bound.get_outputs()] == ['joints', 'limbs']


def test_metadata_come_back(network):
    long = 'x' * 300  # a length of two bytes
    session = session_of(to_onnx(Deployed(network), {'licence': 'Forschung, ä', 'long': long}))
    meta = session.get_modelmeta()
    assert meta.producer_name == 'action_recognition'
    assert meta.custom_metadata_map == {'licence': 'Forschung, ä', 'long': long}


def test_operator_that_cannot_be_written_is_named(network):
    deployed = Deployed(network)
    deployed.network.reduce.append(torch.nn.GELU())
    with pytest.raises(NotImplementedError, match='GELU'):
        to_onnx(deployed, {})
