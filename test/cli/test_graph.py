"""What is asked of the graph, and the account of every frame."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS')

from action_recognition.cli import graph as graph_module
from action_recognition.cli.graph import FrameCount, Recipe, count_frames, free_domain
from action_recognition.errors import UserError

RECIPE = Recipe(
    source='clip.mp4',
    live=False,
    keeps_stamps=False,
    length=100,
    fps=20.0,
    duration=None,
    out=Path('out'),
    composed=False,
    device='cpu',
    pose='pose',
    recognizer='online_union32',
)


@pytest.mark.parametrize(
    ('length', 'duration', 'frames'),
    [(100, None, 100), (100, 1.0, 21), (100, 60.0, 100), (None, None, None), (None, 1.0, None)],
)
def test_frames_to_come(length: int | None, duration: float | None, frames: int | None) -> None:
    assert replace(RECIPE, length=length, duration=duration).frames == frames


@pytest.mark.parametrize(
    ('live', 'keeps_stamps', 'lockstep', 'start_time'),
    [
        (False, False, 'actions', 0.0),  # a file: nothing lost, times count from its begin
        (False, True, 'actions', -1.0),  # a bag: nothing lost, its own stamps
        (True, False, 'off', -1.0),  # a camera: as it comes, by the clock
    ],
)
def test_camera_parameters(
    live: bool, keeps_stamps: bool, lockstep: str, start_time: float
) -> None:
    camera = replace(RECIPE, live=live, keeps_stamps=keeps_stamps).parameters()['camera']
    assert (camera['lockstep'], camera['start_time']) == (lockstep, start_time)
    assert camera['autostart'] is False


def test_input_size_is_the_nodes_own_unless_asked_for() -> None:
    assert 'input_size' not in RECIPE.parameters()['perception']
    assert replace(RECIPE, input_size=288).parameters()['perception']['input_size'] == 288


def test_the_parameters_are_those_of_the_nodes() -> None:
    from action_recognition.nodes.camera import CameraNode
    from action_recognition.nodes.common import AUTOSTART
    from action_recognition.nodes.perception import PerceptionNode
    from action_recognition.nodes.recognizer import RecognizerNode

    for kind in (CameraNode, PerceptionNode, RecognizerNode):
        known = {setting.name: setting for setting in (AUTOSTART, *kind.SETTINGS)}
        for name, value in RECIPE.parameters()[kind.NAME].items():
            assert isinstance(value, type(known[name].default))


@pytest.mark.parametrize(
    ('camera', 'perception', 'answered', 'dropped'),
    [
        ({'received': 9, 'published': 9}, {'processed': 9}, 9, {}),
        (
            {'received': 9, 'published': 9, 'sent_again': 2},
            {'received': 11, 'processed': 9, 'repeated': 2},
            9,
            {},
        ),
        (
            {'received': 30, 'published': 29, 'unreadable': 2},
            {'received': 25, 'processed': 15, 'dropped': 6, 'rejected': 3, 'errors': 1},
            14,
            {
                'damaged in the source': 2,
                'not sent before the end': 1,
                'lost on the way to perception': 4,
                'replaced by a newer image': 6,
                'rejected by perception': 4,
                'without an answer of the recognizer': 1,
            },
        ),
        ({}, {}, 0, {}),
    ],
)
def test_every_frame_is_accounted_for(
    camera: dict, perception: dict, answered: int, dropped: dict
) -> None:
    found = count_frames({'camera': camera, 'perception': perception}, answered)
    came = camera.get('received', 0) + camera.get('unreadable', 0)
    assert found == FrameCount(came, answered, dropped)
    assert found.came == found.processed + sum(found.dropped.values())


def test_a_domain_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = free_domain()
    monkeypatch.setattr(graph_module, 'DOMAINS', range(domain, domain + 1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(('', 7410 + 250 * domain))
        with pytest.raises(UserError, match='all ROS domains'):
            free_domain()
    assert free_domain() == domain
