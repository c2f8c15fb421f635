"""A small network, and modules that stand in for installed packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from action_recognition.pose.backends import registry
from action_recognition.pose.heads import PoseNetwork

RTMPOSE = 'action_recognition.pose.backends.rtmpose'


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts modules where Python finds packages, and distributions that register in our group."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def add(module, source, entry='', version='1.5'):
        (tmp_path / f'{module}.py').write_text(source)
        if entry:
            info = tmp_path / f'{module}-{version}.dist-info'
            info.mkdir()
            (info / 'METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n'
            )
            (info / 'entry_points.txt').write_text(f'[{registry.GROUP}]\n{entry}\n')
        return tmp_path

    yield add
    for name in set(sys.modules) - before:
        if name == RTMPOSE or Path(getattr(sys.modules[name], '__file__', None) or '/').parent == (
            tmp_path
        ):
            del sys.modules[name]


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    network = PoseNetwork(2)
    network(torch.randn(4, 3, 64, 64))
    return network.eval()
