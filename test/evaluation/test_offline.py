"""Parameters of the stages from ROS parameter files, and people named as a recording names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bag_recipes import walk

from action_recognition.errors import UserError
from action_recognition.evaluation.offline import Frames, create_setup, read_parameters, renamed
from action_recognition.recognition.labels import LabelConfig
from action_recognition.skeleton import Poses
from action_recognition.stages.perception import PerceptionConfig
from action_recognition.stages.recognition import RecognizerConfig

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


def test_tracks_are_named_by_the_recorded_people_on_whom_they_lie() -> None:
    recorded = walk(10, ids=(7, 9))
    ours = [p[[1, 0]].with_ids([3, 4]) for p in recorded[:6]]
    ours += [p[[1]].with_ids([5]) for p in recorded[6:]]
    ghost = walk(10, ids=(1,), seed=9)[0]
    ours[0] = Poses(
        np.concatenate([ours[0].xy, ghost.xy + 5000]),
        np.concatenate([ours[0].score, ghost.score]),
        np.array([3, 4, 8]),
        ours[0].stamp,
    )
    assert renamed(Frames('t', ours), recorded) == {3: 9, 4: 7, 5: 9}
