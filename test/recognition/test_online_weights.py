"""Weights in NumPy: the same answers as in PyTorch, and what is left to PyTorch to judge."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.recognition.models import create_model, load_recognizer
from action_recognition.recognition.online_weights import OnlineSettings, OnlineWeights, load_online
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import NUM_JOINTS, Poses

SETTINGS = {'units': 12, 'layers': 2, 'dense': 10, 'sharing': 0.2, 'temperature': 1.5}
LABELS = ('run', 'sit', 'wave')


def state_of(model):
    """What a trained model holds: normalisations far from the identity, large matrices halved."""
    torch.manual_seed(0)
    state = {}
    for key, value in model.state_dict().items():
        if key.endswith('running_std'):
            value = torch.empty_like(value).uniform_(0.5, 2)
        elif key.endswith(('running_mean', 'bias', 'norm.weight')):
            value = torch.randn_like(value)
        state[key] = value.half() if value.dim() == 2 else value
    return state


@pytest.fixture
def saved(tmp_path):
    model = create_model('online', 3, **SETTINGS)
    path = tmp_path / 'w.safetensors'
    header = weights.Header('action', 'w', {'model': 'online', **SETTINGS}, LABELS)
    weights.save(path, state_of(model), header)
    return path


def change(path, config=None, **tensors):
    header, state = weights.load(path, 'action')
    weights.save(path, {**state, **tensors}, replace(header, config=config or header.config))


def test_shapes_are_those_of_the_model():
    state = create_model('online', 3, **SETTINGS).state_dict()
    shapes = dict(OnlineSettings(**SETTINGS).shapes(3))
    assert shapes == {key: tuple(value.shape) for key, value in state.items()}


def test_arrays_are_those_of_the_model_that_pytorch_loads(saved):
    header, model = load_recognizer(str(saved))
    again, loaded = load_online(str(saved))
    wanted = OnlineWeights.of(model)
    assert again == header
    assert (loaded.layers, loaded.sharing, loaded.temperature) == (2, 0.2, 1.5)
    assert (wanted.layers, wanted.sharing, wanted.temperature) == (2, 0.2, 1.5)
    assert loaded.num_classes == 3
    assert_same(loaded, wanted)


def assert_same(loaded, wanted):
    for mine, theirs in zip(loaded.members, wanted.members, strict=True):
        assert set(mine) == set(theirs)
        for key, array in mine.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, theirs[key])


def test_so_are_those_of_the_members_of_an_ensemble(tmp_path):
    config = {**SETTINGS, 'temperatures': [0.7, 2.0, 1.1]}
    path = tmp_path / 'w.safetensors'
    header = weights.Header('action', 'w', {'model': 'ensemble', **config}, LABELS)
    weights.save(path, state_of(create_model('ensemble', 3, **config)), header)
    _, model = load_recognizer(str(path))
    again, loaded = load_online(str(path))
    assert again == header
    assert loaded.temperatures == model.temperatures == (0.7, 2.0, 1.1)
    assert (loaded.layers, loaded.sharing, loaded.temperature) == (2, 0.2, 1.5)
    assert loaded.num_classes == 3
    assert len(loaded.members) == 3
    assert set(loaded.members[0]) == set(dict(OnlineSettings(**SETTINGS).shapes(3)))
    assert_same(loaded, OnlineWeights.of(model))


def test_a_copy_does_not_change_with_its_model(saved):
    _, model = load_recognizer(str(saved))
    copy = OnlineWeights.of(model)
    before = copy.members[0]['dense.bias'].copy()
    with torch.no_grad():
        model.dense.bias += 1
    np.testing.assert_array_equal(copy.members[0]['dense.bias'], before)


def test_answers_are_those_of_pytorch(saved):
    header, model = load_recognizer(str(saved))
    in_numpy = StreamingRecognizer.from_weights(str(saved))
    in_torch = StreamingRecognizer(model, header.labels)
    assert isinstance(in_numpy.model, OnlineWeights)
    assert in_numpy.device == in_torch.device == 'cpu'
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 200, (2, NUM_JOINTS, 2)).astype(np.float32)
    for t in range(20):
        xy += rng.normal(0, 3, xy.shape).astype(np.float32)
        poses = Poses(xy, np.full((2, NUM_JOINTS), 0.9), np.array([1, 2]), t * 33_333_333)
        answers = in_numpy.update(poses), in_torch.update(poses)
        for a, b in zip(*answers, strict=True):
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-6)


@pytest.mark.parametrize(
    ('config', 'tensors', 'complaint'),
    [
        ({'model': 'online', 'units': 13}, {}, 'does not fit the network'),
        ({'model': 'online', **SETTINGS, 'sharing': 2}, {}, 'wrong settings'),
        ({'model': 'online', **SETTINGS, 'gates': 2}, {}, 'wrong settings'),
        ({'model': 'online', **SETTINGS, 'temperature': 0}, {}, 'wrong settings'),
        ({'model': 'transformer', **SETTINGS}, {}, 'unknown recogniser'),
        (None, {'extra': torch.zeros(1)}, 'does not fit the network'),
        (None, {'classifier.bias': torch.zeros(4)}, '3 labels but has 4 outputs'),
        (None, {'dense.bias': torch.zeros(11)}, 'does not fit the network'),
    ],
)
def test_what_is_not_as_it_should_be_is_left_to_pytorch_which_says_why(
    saved, config, tensors, complaint
):
    change(saved, config, **tensors)
    assert load_online(str(saved)) is None
    with pytest.raises(UserError, match=complaint):
        StreamingRecognizer.from_weights(str(saved))


def test_bfloat16_which_numpy_does_not_have_is_left_to_pytorch(saved):
    _, state = weights.load(saved, 'action')
    change(saved, **{'dense.weight': state['dense.weight'].bfloat16()})
    assert load_online(str(saved)) is None
    assert StreamingRecognizer.from_weights(str(saved)).labels == LABELS


def test_the_paper_s_model_is_left_to_pytorch(tmp_path):
    path = tmp_path / 'w.safetensors'
    header = weights.Header('action', 'w', {'model': 'paper', 'units': 8}, LABELS)
    weights.save(path, create_model('paper', 3, units=8).state_dict(), header)
    assert load_online(str(path)) is None
    assert StreamingRecognizer.from_weights(str(path)).labels == LABELS


@pytest.mark.parametrize('content', [b'', b'\xff' * 100])
def test_a_file_that_cannot_be_read_is_an_error(saved, content):
    saved.write_bytes(content)
    with pytest.raises(UserError, match=r'cannot read weights|larger than'):
        load_online(str(saved))


#: What a process that only names actions has no use for, and what it costs: 182, 46 MB and more.
HEAVY = ('torch', 'scipy', 'action_recognition.pose', 'action_recognition.tracking')


def loaded_by(code):
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, check=True, text=True)
    return set(HEAVY) & set(json.loads(ran.stdout.splitlines()[-1]))


def test_the_node_loads_neither_pytorch_nor_the_pose_network():
    if find_spec('rclpy') is None:
        pytest.skip('ROS 2 is not installed')
    node = 'action_recognition.nodes.recognizer'
    code = f'import json, sys, {node}\nprint(json.dumps([*sys.modules]))'
    assert loaded_by(code) == set()


def test_a_recogniser_on_the_cpu_loads_neither_pytorch_nor_the_pose_network(saved):
    code = f"""
import json, sys
import numpy as np
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import Poses
from action_recognition.stages.recognition import Recognition
stage = Recognition(StreamingRecognizer.from_weights({str(saved)!r}))
person = Poses(np.ones((1, 14, 2)), np.ones((1, 14)), np.array([1]))
assert len(stage.process(person).estimates) == 1
print(json.dumps(sorted(sys.modules)))
"""
    assert loaded_by(code) == set()
