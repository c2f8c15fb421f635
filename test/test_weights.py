"""Weights files: what is written is read back, and anything else is refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.weights import Header

HEADER = Header(
    kind='action',
    name='online_test',
    config={'hidden': 3, 'dropout': 0.5},
    labels=('walk', 'wave'),
    training={'seed': 1},
    metrics={'accuracy': 0.75},
    licence='research only',
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / 'online_test.safetensors'
    weights.save(file, nn.Linear(3, 2).state_dict(), HEADER)
    return file


def write_header(path: Path, header: object) -> None:
    """A valid safetensors file with this object as our header."""
    text = header if isinstance(header, str) else json.dumps(header)
    save_file({'a': np.zeros(1)}, path, metadata={weights.METADATA_KEY: text})


def test_round_trip(path):
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    weights.save(path, layer.state_dict(), HEADER)
    header, state = weights.load(path, 'action')
    assert header == weights.read_header(path) == HEADER
    assert set(state) == {'weight', 'bias'}
    other = nn.Linear(3, 2)
    weights.restore(other, state, path)
    torch.testing.assert_close(other.weight, layer.weight, rtol=0, atol=0)
    torch.testing.assert_close(other.bias, layer.bias, rtol=0, atol=0)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_views_are_saved_as_they_look(path):
    weights.save(path, {'a': torch.arange(6.0).reshape(2, 3).T}, HEADER)
    _, state = weights.load(path, 'action')
    assert state['a'].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_failed_save_leaves_the_old_file(path):
    before = path.read_bytes()
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError):
        weights.save(path, {'a': shared, 'b': shared}, HEADER)
    assert path.read_bytes() == before


def test_weights_of_another_kind(path):
    with pytest.raises(UserError, match=r'test\.safetensors holds action weights, but pose'):
        weights.load(path, 'pose')
    assert weights.read_header(path).kind == 'action'


GOOD = {'format': 1, 'kind': 'pose', 'name': 'a', 'config': {}, 'labels': []}


def test_smallest_header(tmp_path):
    write_header(tmp_path / 'a.safetensors', GOOD)
    header = weights.read_header(tmp_path / 'a.safetensors', 'pose')
    assert header == Header(kind='pose', name='a', config={})


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        ('{', 'damaged header'),
        ('[]', 'damaged header'),
        ('null', 'damaged header'),
        ('3', 'damaged header'),
        ({key: GOOD[key] for key in GOOD if key != 'format'}, 'damaged header'),
        ({key: GOOD[key] for key in GOOD if key != 'labels'}, 'damaged header'),
        ({key: GOOD[key] for key in GOOD if key != 'config'}, 'damaged header'),
        (GOOD | {'surprise': 1}, 'damaged header'),
        (GOOD | {'labels': 5}, 'damaged header'),
        (GOOD | {'labels': 'walk'}, 'damaged header'),
        (GOOD | {'labels': [['walk']]}, 'damaged header'),
        (GOOD | {'labels': [1, 2]}, 'damaged header'),
        (GOOD | {'config': [1]}, 'damaged header'),
        (GOOD | {'metrics': 0.9}, 'damaged header'),
        (GOOD | {'kind': 'poem'}, "damaged header \\(kind 'poem'\\)"),
        (GOOD | {'format': 2}, 'has header format 2; this version reads 1'),
        (GOOD | {'labels': ['walk', 'wave', 'walk']}, 'names a label twice'),
    ],
)
def test_damaged_header(tmp_path, header, message):
    path = tmp_path / 'a.safetensors'
    write_header(path, header)
    for read in (weights.read_header, lambda path: weights.load(path, 'pose')):
        with pytest.raises(UserError, match=rf'a\.safetensors.* {message}') as caught:
            read(path)
        assert '\n' not in str(caught.value)


def test_weights_of_another_program(tmp_path):
    path = tmp_path / 'a.safetensors'
    save_file({'a': np.zeros(1)}, path)
    with pytest.raises(UserError, match='has no action_recognition header: not weights of this'):
        weights.read_header(path)


class Bomb:
    """Makes a file appear where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_pickles_are_refused_and_not_run(tmp_path):
    path = tmp_path / 'a.safetensors'
    for write in (
        lambda obj: path.write_bytes(pickle.dumps(obj)),
        lambda obj: torch.save(obj, path),
    ):
        write({'a': Bomb(tmp_path / 'boom')})
        with pytest.raises(UserError, match=r'cannot read weights .*a\.safetensors'):
            weights.load(path, 'action')
    assert not (tmp_path / 'boom').exists()


def test_files_that_cannot_be_read(tmp_path, path):
    whole = path.read_bytes()
    for content in (b'', b'weights', whole[:100], whole[:-4]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r'cannot read weights .*test\.safetensors'):
            weights.load(path, 'action')
    with pytest.raises(UserError, match=r'cannot read weights .*missing\.safetensors'):
        weights.read_header(tmp_path / 'missing.safetensors')
    (tmp_path / 'folder.safetensors').mkdir()
    with pytest.raises(UserError, match=r'cannot read weights .*folder\.safetensors'):
        weights.read_header(tmp_path / 'folder.safetensors')


def test_file_too_large_is_not_read(path, monkeypatch):
    monkeypatch.setattr(weights, 'MAX_BYTES', 100)
    with pytest.raises(UserError, match='larger than 100 bytes: not weights of ours'):
        weights.load(path, 'action')


def test_header_too_large_is_not_read(path, monkeypatch):
    monkeypatch.setattr(weights, 'MAX_HEADER_BYTES', 100)
    for read in (weights.read_header, lambda path: weights.load(path, 'action')):
        with pytest.raises(UserError, match='has a header larger than 100 bytes: not weights of'):
            read(path)


def test_a_file_that_is_overwritten_does_not_reach_those_who_have_loaded_it(path):
    """Were the file mapped into memory, this process would end by a bus error."""
    _, state = weights.load(path, 'action')
    before = {name: value.clone() for name, value in state.items()}
    with path.open('r+b') as file:
        file.truncate(0)
    assert all(torch.equal(state[name], value) for name, value in before.items())


def test_find_by_name_and_by_path(path, monkeypatch):
    prefix = path.parent / 'prefix'
    share = prefix / 'share' / 'action_recognition' / 'models'
    share.mkdir(parents=True)
    installed = share / path.name
    installed.write_bytes(path.read_bytes())
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{path.parent}{os.pathsep}{prefix}')
    assert weights.find('online_test') == installed
    assert weights.find(str(path)) == path
    assert 'online_test' in weights.available()
    assert weights.available() == sorted(weights.available())


def test_weights_can_be_read_by_other_users(path):
    assert path.stat().st_mode & 0o777 == 0o644


def test_unknown_name_lists_what_there_is(path, tmp_path, monkeypatch):
    installed = tmp_path / 'installed' / 'models' / path.name
    installed.parent.mkdir(parents=True)
    installed.write_bytes(path.read_bytes())
    monkeypatch.setattr(weights.resources, 'folders', lambda: [tmp_path / 'installed'])
    with pytest.raises(UserError, match="no weights named 'onlin'; available: online_test \\(or"):
        weights.find('onlin')
    monkeypatch.setattr(weights.resources, 'folders', lambda: [tmp_path / 'nowhere'])
    with pytest.raises(UserError, match='available: none'):
        weights.find('online_test')
    with pytest.raises(UserError, match=r'weights file .*other\.safetensors does not exist'):
        weights.find(str(path.with_name('other.safetensors')))


@pytest.mark.parametrize('network', [nn.Linear(3, 5), nn.Conv1d(3, 2, 1), nn.LayerNorm(4)])
def test_weights_that_do_not_fit_the_network(path, network):
    _, state = weights.load(path, 'action')
    with pytest.raises(UserError, match=r'test\.safetensors does not fit the network') as caught:
        weights.restore(network, state, path)
    assert '\n' not in str(caught.value)


def test_digest_is_sha_256(path):
    assert weights.digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
