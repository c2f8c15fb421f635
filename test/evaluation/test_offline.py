"""Parameters of the stages from ROS parameter files, and which topic of a bag is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from action_recognition.errors import UserError
from action_recognition.evaluation.offline import create_setup, read_parameters
from action_recognition.recognition.labels import LabelConfig
from action_recognition.stages import PerceptionConfig, RecognizerConfig

ROOT = Path(__file__).resolve().parents[2]


def parameters(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'robot.yaml'
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    'text',
    [
        '/**/recognizer: {ros__parameters: {labels.enter: 0.9}}',
        'recognizer: {ros__parameters: {labels: {enter: 0.9}}}',
        '/robot/recognizer: {ros__parameters: {labels.enter: 0.9, autostart: false}}',
        'robot: {recognizer: {ros__parameters: {labels.enter: 0.9}}}',
        '/**: {ros__parameters: {labels.enter: 0.9, use_sim_time: true}}',
    ],
)
def test_parameters_in_any_namespace(tmp_path: Path, text: str) -> None:
    setup = create_setup(parameters(tmp_path, text))
    assert setup.recognizer == RecognizerConfig(labels=LabelConfig(enter=0.9))
    assert setup.perception == PerceptionConfig()
    assert (setup.name, setup.sees) == ('robot', False)


def test_what_is_given_one_by_one_wins(tmp_path: Path) -> None:
    path = parameters(
        tmp_path,
        'perception: {ros__parameters: {model: far, look: {mode: full}}}\n'
        'recognizer: {ros__parameters: {model: old}}\n',
    )
    setup = create_setup(path, model='new', device='cpu')
    assert (setup.perception.model, setup.perception.look.mode) == ('far', 'full')
    assert (setup.recognizer.model, setup.perception.device) == ('new', 'cpu')
    assert (setup.name, setup.sees) == ('new', True)
    assert create_setup(pose='near').sees
    assert not create_setup(device='cpu').sees


def test_the_file_that_ships_holds_the_defaults() -> None:
    setup = create_setup(ROOT / 'config' / 'action_recognition.yaml')
    assert setup.perception == PerceptionConfig()
    assert setup.recognizer == RecognizerConfig()


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('recognizer: {ros__parameters: {labels.entre: 0.9}}', 'has no parameter labels.entre'),
        ('recognizer: [', 'is not YAML'),
        ('recognizer: {ros__parameters: {labels.exit: 0.99}}', 'must not be above enter'),
    ],
)
def test_bad_files(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        create_setup(parameters(tmp_path, text))
    with pytest.raises(UserError, match='cannot read'):
        read_parameters(tmp_path / 'gone.yaml')
