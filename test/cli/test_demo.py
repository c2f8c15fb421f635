"""The demo as a user runs it: the real graph, and every file it leaves.

With the data sets and trained pose weights at hand it plays a real clip; otherwise noise, through
networks of random weights, in which nobody is seen.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS')

from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader

from action_recognition import weights
from action_recognition.cli import demo, main
from action_recognition.cli import graph as graph_module
from action_recognition.msg import ActionLabelArray, SkeletonArray

FRAMES = 12
SIZE = (320, 240)
#: A clip with one person in full view.
CLIP = 'jhmdb/ReCompress_Videos/walk/*.mp4'


class Play(NamedTuple):
    """A short clip and the arguments of the demo that play it."""

    source: Path
    arguments: list[str]
    is_real: bool


def write_clip(path: Path, images: list[np.ndarray]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 15, SIZE)
    for image in images:
        writer.write(cv2.resize(image, SIZE))
    writer.release()
    return path


def random_weights(folder: Path) -> list[str]:
    import torch

    from action_recognition.pose.heads import PoseNetwork
    from action_recognition.recognition.models import create_model

    torch.manual_seed(0)
    pose, action = folder / 'pose.safetensors', folder / 'action.safetensors'
    network = PoseNetwork(stages=1)
    weights.save(pose, network.state_dict(), weights.Header('pose', 'pose', {'stages': 1}))
    model = create_model('online', 3)
    config = {'model': 'online', 'temperature': 1.0}
    header = weights.Header('action', 'action', config, ('run', 'sit', 'wave'))
    weights.save(action, model.state_dict(), header)
    return ['--pose', str(pose), '--recognizer', str(action)]


@pytest.fixture(scope='module')
def play(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Play:
    folder = tmp_path_factory.mktemp('play')
    arguments = ['--device', 'cpu']
    if {'pose', 'online_union32'} <= set(weights.available()):
        try:
            root: Path = request.getfixturevalue('data_root')
        except pytest.skip.Exception:
            pass
        else:
            capture = cv2.VideoCapture(str(sorted(root.glob(CLIP))[0]))
            clip = write_clip(folder / 'clip.mp4', [capture.read()[1] for _ in range(FRAMES)])
            return Play(clip, arguments, True)
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (*SIZE[::-1], 3), np.uint8) for _ in range(FRAMES)]
    clip = write_clip(folder / 'clip.mp4', noise)
    return Play(clip, arguments + random_weights(folder), False)


@pytest.fixture(scope='module')
def separate(play: Play, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run in three processes leaves."""
    out = tmp_path_factory.mktemp('separate') / 'out'
    command = ['demo', '--source', str(play.source), '--out', str(out), *play.arguments]
    assert main(command) == 0
    return out


def test_every_frame_is_processed(separate: Path) -> None:
    summary = json.loads((separate / 'summary.json').read_text())
    assert summary['frames'] == {'came': FRAMES, 'processed': FRAMES, 'dropped': {}}
    assert summary['processes'] == 3
    assert not summary['interrupted']
    assert len(summary['models']['pose']['sha256']) == 64
    assert {'camera publish', 'perception pose'} <= set(summary['milliseconds'])


def test_video_and_page(separate: Path, play: Play) -> None:
    capture = cv2.VideoCapture(str(separate / 'annotated.mp4'))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(15)
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 640  # letters on 320 are hard to read
    page = (separate / 'index.html').read_text()
    assert '<h1>clip.mp4</h1>' in page
    assert ('Person 1' in page) == play.is_real


def test_bag_and_labels_agree(separate: Path, play: Play) -> None:
    """One message of each kind for each frame, under the media times of the frames."""
    stamps: dict[str, list[int]] = {'/skeletons': [], '/actions': []}
    rows = []
    with AnyReader([separate / 'bag']) as reader:
        for connection, time, data in reader.messages():
            kind = {'/skeletons': SkeletonArray, '/actions': ActionLabelArray}[connection.topic]
            message = deserialize_message(bytes(data), kind)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            assert time == stamp
            stamps[connection.topic].append(stamp)
            if kind is ActionLabelArray:
                rows += [(f'{stamp * 1e-9:.9f}', str(a.track_id)) for a in message.actions]
    assert stamps['/skeletons'] == stamps['/actions']
    np.testing.assert_allclose(stamps['/actions'], np.arange(FRAMES) * 1e9 / 15, atol=2e6)
    with (separate / 'labels.csv').open() as file:
        labels = list(csv.DictReader(file))
    assert [(row['stamp'], row['person']) for row in labels] == rows
    assert bool(labels) == play.is_real


def test_composed_gives_the_same_labels(play: Play, separate: Path, tmp_path: Path) -> None:
    """In one process, stopped early: the same answers to the frames there are."""
    command = ['demo', '--composed', '--source', str(play.source), '--out', str(tmp_path)]
    assert main([*command, *play.arguments, '--duration', '0.3']) == 0
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['processes'] == 1
    processed = summary['frames']['processed']
    assert 5 <= processed <= FRAMES
    labels = (tmp_path / 'labels.csv').read_text().splitlines()
    assert labels == (separate / 'labels.csv').read_text().splitlines()[: len(labels)]


def test_interrupted(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C once there are results: they are left, and every frame is accounted for."""
    follow = graph_module._follow

    def interrupted(recipe, session, children, catch_up):
        def catch_up_and_interrupt(session):
            catch_up(session)
            if session.moments:
                raise KeyboardInterrupt

        follow(recipe, session, children, catch_up_and_interrupt)

    monkeypatch.setattr(graph_module, '_follow', interrupted)
    command = ['demo', '--composed', '--source', str(play.source), '--out', str(tmp_path)]
    assert main([*command, *play.arguments]) == demo.INTERRUPTED
    summary = json.loads((tmp_path / 'summary.json').read_text())
    frames = summary['frames']
    assert summary['interrupted']
    assert 0 < frames['processed'] <= frames['came']
    assert frames['came'] == frames['processed'] + sum(frames['dropped'].values())
    assert (tmp_path / 'index.html').is_file()


def test_a_node_that_fails(play: Play, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A device that is not there: perception says so, and the demo passes it on."""
    command = ['demo', '--source', str(play.source), '--out', str(tmp_path), *play.arguments]
    assert main([*command, '--device', 'quantum']) == 1
    error = capsys.readouterr().err
    assert error.startswith('action-recognition: error: perception ended with code 1: ')
    assert 'quantum' in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (['--source', '/no/such.mp4'], 'does not exist'),
        (['--duration', '0'], '--duration must be a positive number'),
        (['--duration', 'nan'], '--duration must be a positive number'),
        (['--pose', 'nothing'], "no weights named 'nothing'"),
        (['--recognizer', '/no/such.safetensors'], 'does not exist'),
        (['--source', ''], 'does not exist'),
    ],
)
def test_bad_arguments(
    play: Play, tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str], reason: str
) -> None:
    """Nothing is started, nothing is left behind."""
    out = tmp_path / 'out'
    command = ['demo', '--source', str(play.source), '--out', str(out), *play.arguments]
    assert main([*command, *arguments]) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert error.count('\n') == 1
    assert not out.exists()


def test_other_files_are_not_touched(
    play: Play, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / 'logs').mkdir()
    command = ['demo', '--source', str(play.source), '--out', str(tmp_path), *play.arguments]
    assert main(command) == 1
    assert 'holds other files' in capsys.readouterr().err
    assert (tmp_path / 'logs').is_dir()


def test_weights_of_the_wrong_kind_are_refused_before_anything_is_cleared(
    play: Play, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pose, action = random_weights(tmp_path)[1::2]
    out = tmp_path / 'out'
    command = ['demo', '--source', str(play.source), '--out', str(out)]
    assert main([*command, '--pose', action, '--recognizer', pose]) == 1
    assert 'holds action weights, but pose weights are needed' in capsys.readouterr().err
    assert not out.exists()


def test_results_of_an_earlier_run_make_way_but_not_when_they_are_the_source(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / 'out'
    demo._clear(out)
    source = write_clip(out / 'annotated.mp4', [np.zeros((8, 8, 3), np.uint8)] * 3)
    models = random_weights(tmp_path)
    assert main(['demo', '--source', str(source), '--out', str(out), *models]) == 1
    assert 'use another --out' in capsys.readouterr().err
    assert source.is_file()
    demo._clear(out)
    assert not source.exists()
