"""Two processes train one model, as under `torchrun`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from action_recognition.training import loop

PROGRAM = """
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.training import loop
from action_recognition.training.action import fit
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Sampler

torch.set_num_threads(1)
rng = np.random.default_rng(0)
clips = [
    SkeletonClip(
        name=f'{k}',
        label='ab'[k % 2],
        group=f'{k}',
        xy=rng.uniform(0, 100, (6, 14, 2)).astype(np.float32),
        score=np.ones((6, 14), np.float32),
        stamps=np.arange(6) * 10**8,
        image_size=(100, 100),
    )
    for k in range(24)
]
config = ActionConfig('t', 'online', settings={'units': 8}, batch=4, epochs=2, ema=0.5)
out = Path(sys.argv[1])
model = fit(config, 0, Sampler(config, clips, 'ab', {}), 'ab', clips[:4], out, False)
rank = loop.launch(config.precision).global_rank
weights = {name: value.contiguous() for name, value in model.named_parameters()}
save_file(weights, out / f'rank{rank}.safetensors')
"""


def train(folder: Path, processes: int) -> list[dict[str, torch.Tensor]]:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    (folder / 'program.py').write_text(PROGRAM)
    running = []
    for rank in range(processes):
        environment = {
            **os.environ,
            'OMP_NUM_THREADS': '1',
            'PYTHONPATH': str(Path(__file__).resolve().parent.parent.parent),
        }
        if processes > 1:  # what torchrun sets
            environment |= {
                'RANK': str(rank),
                'LOCAL_RANK': str(rank),
                'GROUP_RANK': '0',
                'WORLD_SIZE': str(processes),
                'LOCAL_WORLD_SIZE': str(processes),
                'MASTER_ADDR': '127.0.0.1',
                'MASTER_PORT': str(port),
                'TORCHELASTIC_RUN_ID': 'test',
            }
        command = [sys.executable, str(folder / 'program.py'), str(folder)]
        running.append(
            subprocess.Popen(command, env=environment, stdout=-1, stderr=subprocess.STDOUT)
        )
    for process in running:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output.decode()
    return [load_file(folder / f'rank{rank}.safetensors') for rank in range(processes)]


def test_processes_end_with_the_same_weights_and_one_writes(tmp_path):
    pytest.importorskip('lightning_fabric')
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
    first, second = train(tmp_path / 'two', 2)
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0)
    (alone,) = train(tmp_path / 'one', 1)
    assert any(not torch.equal(value, first[name]) for name, value in alone.items())
    rows = (tmp_path / 'two' / 'curves.csv').read_text().splitlines()
    assert len(rows) == 3
    assert (tmp_path / 'two' / loop.CHECKPOINT).is_file()
