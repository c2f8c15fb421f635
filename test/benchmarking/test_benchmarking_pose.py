"""What `benchmark pose` measures and gives back; never how long it takes."""

from __future__ import annotations

from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.benchmarking import pose
from action_recognition.datasets.people import Person
from action_recognition.errors import UserError
from action_recognition.pose.decode import DecoderConfig, decode
from action_recognition.pose.heads import PoseNetwork
from action_recognition.pose.tensorrt_runtime import TensorRtRuntime, profiles


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(pose, 'WARM_UP', 1)
    monkeypatch.setattr(pose, 'PICTURES', 2)
    monkeypatch.setattr(pose.speed, 'TURN', 2)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / 'tiny.safetensors'
    weights.save(path, PoseNetwork(2).state_dict(), weights.Header('pose', 'tiny', {'stages': 2}))
    return str(path)


def test_every_runtime_stage_and_crowd_has_its_row(model):
    found = pose.run(model, 'cpu', threads=1, input_size=64, rounds=1)
    installed = [name for name in ('openvino', 'onnxruntime', 'torch') if find_spec(name)]
    assert [row['what'].split()[0] for row in found['rows']] == installed
    assert all(row['network_ms'] > 0 and row['pck'] is None for row in found['rows'])
    ours, *_, torch_row = found['rows']
    assert ours['ratio'] == 1
    assert (found['runtime'], found['ms_median']) == (ours['what'], ours['ms_median'])
    assert (found['peer'], found['ratio']) == ('torch', torch_row['ratio'])
    assert torch_row['ratio'] == pytest.approx(torch_row['ms_median'] / ours['ms_median'])
    assert [row['stages'] for row in found['stages']] == [1, 2]
    assert [(row['what'], row['people']) for row in found['people']] == [
        ('decode', 1),
        ('estimate', 1),
        ('decode', 5),
        ('estimate', 5),
    ]
    assert [row['ratio'] for row in found['people'][:2]] == [1, 1]
    assert (found['device'], found['threads'], found['input']) == ('cpu', 1, [80, 56])
    assert found['gpu'] == []
    assert all(row['gflop'] == found['bounds'][0]['gflop'] > 0.1 for row in found['bounds'])


def refuse(monkeypatch, *names):
    """Has runtimes of these names not work."""

    def create(network, device, name, engine):
        if name in names:
            raise UserError(f'runtime {name!r} does not work here: illegal instruction')
        return pose.TorchRuntime(network, device)

    monkeypatch.setattr(pose, 'find_spec', lambda name: True)
    monkeypatch.setattr(pose, 'create_runtime', create)
    monkeypatch.setattr(pose, '_stages', lambda *args: [])


def test_runtime_that_does_not_work_has_no_row(model, monkeypatch, caplog):
    refuse(monkeypatch, 'openvino')
    found = pose.run(model, 'cpu', 1, 64, rounds=1)
    assert len(found['rows']) == 2
    assert found['rows'][0]['ratio'] == 1
    assert caplog.messages == [
        "left out: runtime 'openvino' does not work here: illegal instruction"
    ]


@pytest.mark.parametrize(
    ('size', 'people', 'refused'),
    [
        ((28, 80), False, None),  # takes up to 160 x 56
        ((28, 80), True, '48 x 96'),
        ((24, 32), True, '80 x 56'),
        ((48, 32), True, '80 x 56'),
        ((48, 40), True, None),
    ],
)
def test_engine_that_does_not_take_all_of_the_images_has_no_row(
    model, monkeypatch, caplog, size, people, refused
):
    """Frames are 80 x 56 for the network, and upright pictures of people 48 x 96."""

    class Engine(pose.TorchRuntime):
        _profiles = profiles(size, 32)
        _profile_for, require = TensorRtRuntime._profile_for, TensorRtRuntime.require
        closed = 0

        def __call__(self, images):
            self.require(images.shape)
            return super().__call__(images)

        def close(self):
            Engine.closed += 1
            super().close()

    def create(network, device, name, engine):
        assert name == 'torch' or engine.exists()
        return (pose.TorchRuntime if name == 'torch' else Engine)(network, device)

    upright = Person(cv2.imencode('.png', np.zeros((128, 64, 3), np.uint8))[1].tobytes(), None)
    pose.Path(model).with_suffix('.engine').touch()
    monkeypatch.setattr(pose, 'PREFERENCE', {'cpu': ('tensorrt', 'torch')})
    monkeypatch.setattr(pose, 'find_spec', lambda name: True)
    monkeypatch.setattr(pose, 'create_runtime', create)
    monkeypatch.setattr(pose, '_stages', lambda *args: [])
    monkeypatch.setattr(pose, 'lspet_people', lambda root, part: [upright] * 4)

    def evaluate(name, data, estimator, limit):
        estimator.estimate(upright.image())
        return {'pck_limb12': 0.5}

    monkeypatch.setattr(pose, 'evaluate', evaluate)
    found = pose.run(model, 'cpu', 1, 64, pose.Path('data') if people else None, rounds=1)
    assert len(found['rows']) == 1 + (refused is None)
    assert Engine.closed == 1
    assert len(caplog.messages) == (refused is not None)
    for message in caplog.messages:
        assert message.startswith('left out: the TensorRT engine takes images of 32 to')
        assert f'not {refused}: build one by action-recognition export' in message


def test_without_pytorch_there_is_nothing_to_compare_with(model, monkeypatch):
    refuse(monkeypatch, 'torch')
    with pytest.raises(UserError, match="runtime 'torch' does not work"):
        pose.run(model, 'cpu', 1, 64, rounds=1)


def test_peer_is_measured_beside_ours(model, monkeypatch):
    class Peer:
        runtime, device, closed = 'their own', 'cpu', False

        def estimate(self, image, stamp=0):
            shapes.append(image.shape)

        def close(self):
            self.closed = True

    peer, shapes = Peer(), []
    monkeypatch.setattr(pose.MoveNet, 'load', lambda path, threads: peer)
    found = pose.run(model, 'cpu', 1, 64, movenet=[pose.Path('lightning.onnx')], rounds=1)
    row = found['rows'][-1]
    assert row['what'] == 'lightning (their own)'
    assert 'network_ms' not in row
    assert (found['peer'], found['ratio']) == ('lightning', row['ratio'])
    assert shapes == [(480, 640, 3)] * 3
    assert peer.closed


def test_pck_is_measured_where_there_is_data(model, data_root):
    found = pose.run(model, 'cpu', 1, 64, data_root, limit=3, rounds=1)
    for row in (*found['rows'], *found['stages']):
        assert 0 <= row['pck'] <= 1


@pytest.mark.parametrize('people', [1, 5])
def test_a_crowd_decodes_to_its_people(people):
    (found,) = decode(pose.crowd(people, (25, 33)), DecoderConfig())
    assert len(found.xy) == people
    assert (found.score > 0).all()


def test_picture_stands_whole_in_the_middle_of_the_frame():
    frame = pose.compose(np.full((100, 50, 3), 7, np.uint8))
    assert frame.shape == (480, 640, 3)
    assert (frame[:, 200:440] == 7).all()
    assert (frame[:, :200] == frame[0, 0]).all()
    assert frame[0, 0, 0] != 7


def test_weights_that_do_not_exist_are_refused():
    with pytest.raises(UserError, match="no weights named 'nobody'"):
        pose.run('nobody', 'cpu', 1, 64)
