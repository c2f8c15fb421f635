"""The command that tries thresholds of the published label, `benchmarks/labels.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from action_recognition.datasets.streams import SkeletonStream
from action_recognition.recognition.labels import LabelConfig
from action_recognition.recognition.models import create_model
from action_recognition.training import loop
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.tasks import fit_temperature, logits_of

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'labels.py'
CONFIG = ActionConfig('tiny', 'online', settings={'units': 8}, epochs=3)


@pytest.fixture(scope='module')
def labels():
    """The module `benchmarks/labels.py`."""
    spec = importlib.util.spec_from_file_location('benchmarks_labels', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_model_asked_is_the_average_of_the_run_without_the_validation_part(
    labels, tmp_path, make_clips, capsys
):
    torch.manual_seed(0)
    clips = make_clips(12, 0)
    last, average = (create_model('online', 2, **CONFIG.settings) for _ in range(2))
    folder = tmp_path / 'seed4' / 'validated'
    folder.mkdir(parents=True)
    optimiser = torch.optim.AdamW(last.parameters())
    loop.save_checkpoint(folder, last, loop.Ema(average, 0.9), optimiser, {'epoch': 2})
    task = SimpleNamespace(labels=('left', 'right'), validation=clips)
    model = labels.trained(tmp_path, CONFIG, task, 4)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, average.state_dict()[name], msg=name)
    assert not model.training
    logits = logits_of(average.eval(), clips)
    assert model.temperature == pytest.approx(fit_temperature(logits, clips, task.labels))
    assert 'only 2 of 3 epochs' in capsys.readouterr().out


def test_figures_of_one_action_between_two_pauses(labels):
    """A second each; the label comes 0.2 s late and leaves in time."""
    rng = np.random.default_rng(0)
    stream = SkeletonStream(
        'a',
        'a',
        rng.uniform(0, 100, (30, 14, 2)),
        np.ones((30, 14)),
        np.arange(30) * 10**8,
        (100, 100),
        ('background', 'wave'),
        np.repeat([0, 1, 0], 10),
    )
    wave = np.full(30, 0.1, np.float32)
    wave[12:20] = 0.9
    scene = labels.Scene([stream], [np.stack([1 - wave, wave], 1)])
    assert labels.figures([scene], LabelConfig()) == pytest.approx(
        {
            'f1_25': 1,
            'f1_50': 1,
            'changes': 0,
            'time_to_detect_s': 0.2,
            'missed': 0,
            'false_alarms_per_min': 0,
        }
    )
