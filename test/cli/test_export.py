"""`export`: files for other runtimes, and one clear line where that cannot be."""

import json
import sys

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.cli import main
from action_recognition.pose import tensorrt_runtime
from action_recognition.pose.deployed import Deployed
from action_recognition.pose.estimator import load_network
from action_recognition.pose.gaze import LookConfig
from action_recognition.pose.heads import PoseNetwork
from action_recognition.skeleton import JOINT_NAMES


@pytest.fixture
def model(tmp_path):
    """Weights of an untrained two-stage network."""
    torch.manual_seed(0)
    path = tmp_path / 'tiny.safetensors'
    header = weights.Header('pose', 'tiny', {'stages': 2}, licence='for research')
    weights.save(path, PoseNetwork(2).state_dict(), header)
    return path


@pytest.mark.parametrize('stages', [1, 2])
def test_onnx_file_is_the_network_and_says_what_it_is(model, tmp_path, capsys, stages):
    onnxruntime = pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
    out = tmp_path / 'new' / 'pose.onnx'
    args = ['--model', str(model), '--stages', str(stages), '--input-size', '48x32']
    assert main(['export', 'onnx', '--out', str(out), *args]) == 0
    assert str(out) in capsys.readouterr().out
    session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape == ['n', 32, 48, 3]
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), np.uint8)
    with torch.inference_mode():
        want = Deployed(load_network(str(model), stages).network)(torch.from_numpy(images))
    for got, maps in zip(session.run(None, {'images': images}), want, strict=True):
        np.testing.assert_allclose(got, maps, atol=1e-5)
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts['name'], facts['licence'], facts['stride']) == ('tiny', 'for research', '8')
    assert json.loads(facts['joints']) == list(JOINT_NAMES)


def test_tensorrt_that_is_not_installed(model, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'tensorrt', None)
    assert main(['export', 'tensorrt', '--model', str(model)]) == 1
    assert capsys.readouterr().err == (
        'action-recognition: error: TensorRT is not installed: it comes with the JetPack of a '
        'Jetson, elsewhere pip install tensorrt\n'
    )


def test_file_that_cannot_be_written(model, tmp_path, capsys):
    (tmp_path / 'file').touch()
    out = tmp_path / 'file' / 'pose.onnx'
    assert main(['export', 'onnx', '--model', str(model), '--out', str(out)]) == 1
    assert f'cannot write {out}' in capsys.readouterr().err


@pytest.fixture
def built(monkeypatch):
    """What engines were built: nothing here has the GPU that the real ones need."""
    built = []

    def build(network, size, crop_size, device):
        built.append((len(network.joint_stages), size, crop_size, device))
        return b'an engine'

    monkeypatch.setattr(tensorrt_runtime, 'build_engine', build)
    return built


def test_an_engine_lies_beside_the_weights_where_perception_looks(model, built, capsys):
    assert main(['export', 'tensorrt', '--model', str(model)]) == 0
    assert model.with_name('tiny.engine').read_bytes() == b'an engine'
    assert tensorrt_runtime.engine_path(model) == model.with_name('tiny.engine')
    assert built == [(2, (200, 264), LookConfig().crop_size, 'cuda')]
    assert 'parameter' not in capsys.readouterr().out


def test_an_engine_is_built_for_the_sizes_that_are_asked_for(model, built):
    sizes = ['--input-size', '320x240', '--crop-size', '192', '--device', 'cuda:1']
    assert main(['export', 'tensorrt', '--model', str(model), *sizes]) == 0
    assert built == [(2, (240, 320), 192, 'cuda:1')]


def test_of_an_engine_elsewhere_it_says_how_perception_finds_it(model, built, tmp_path, capsys):
    out = tmp_path / 'new' / 'robot.engine'
    out.parent.mkdir()
    out.write_bytes(b'of last year')
    assert main(['export', 'tensorrt', '--model', str(model), '--out', str(out)]) == 0
    assert out.read_bytes() == b'an engine'
    assert list(out.parent.iterdir()) == [out]
    assert f'-p engine:={out}' in capsys.readouterr().out


def test_no_engine_is_built_that_could_not_be_written(model, built, tmp_path, capsys, monkeypatch):
    (tmp_path / 'file').touch()
    out = tmp_path / 'file' / 'pose.engine'
    monkeypatch.setattr(tensorrt_runtime, 'engine_path', lambda weights: out)
    assert main(['export', 'tensorrt', '--model', str(model)]) == 1
    assert built == []
    error = capsys.readouterr().err
    assert f'cannot write {out}' in error
    assert 'name a place by --out, and by parameter engine' in error
    assert main(['export', 'tensorrt', '--model', str(model), '--out', str(out)]) == 1
    assert built == []
    assert '--out' not in capsys.readouterr().err


def test_an_engine_that_cannot_be_built_leaves_the_old_one(model, monkeypatch):
    engine = model.with_name('tiny.engine')
    engine.write_bytes(b'of last year')
    monkeypatch.setitem(sys.modules, 'tensorrt', None)
    assert main(['export', 'tensorrt', '--model', str(model)]) == 1
    assert engine.read_bytes() == b'of last year'
    assert not list(model.parent.glob('*.partial'))


@pytest.mark.parametrize('size', ['224', '100x200', '24x64', 'axb', '-64x64'])
def test_sizes_that_the_network_cannot_take(model, size, capsys):
    with pytest.raises(SystemExit) as end:
        main(['export', 'onnx', '--model', str(model), '--out', 'x.onnx', f'--input-size={size}'])
    assert end.value.code == 2
    assert f'multiples of 8 from 32 on, such as 264x200, not {size}' in capsys.readouterr().err


@pytest.mark.parametrize('size', ['100', '24', '-64', 'a', '160x160'])
def test_sizes_of_crops_that_the_network_cannot_take(model, size, capsys):
    with pytest.raises(SystemExit) as end:
        main(['export', 'tensorrt', '--model', str(model), f'--crop-size={size}'])
    assert end.value.code == 2
    assert f'a multiple of 8 from 32 on, such as 160, not {size}' in capsys.readouterr().err
