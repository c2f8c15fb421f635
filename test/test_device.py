"""The choice of device."""

import pytest
import torch

from action_recognition.device import resolve_device
from action_recognition.errors import UserError


@pytest.mark.parametrize(('gpus', 'want'), [(0, 'cpu'), (1, 'cuda')])
def test_auto_takes_a_gpu_if_there_is_one(monkeypatch, gpus, want):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpus > 0)
    assert resolve_device('auto').type == want


@pytest.mark.parametrize(('device', 'gpus'), [('cuda', 0), ('cuda:0', 0), ('cuda:1', 1)])
def test_gpu_that_is_not_there_is_an_error(monkeypatch, device, gpus):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    with pytest.raises(UserError, match=rf"'{device}'.*sees {gpus} GPUs.*device 'cpu'"):
        resolve_device(device)


@pytest.mark.parametrize('device', ['gpu0', 'mps', ''])
def test_unknown_device_is_an_error(device):
    with pytest.raises(UserError, match=f'unknown device {device!r}'):
        resolve_device(device)
