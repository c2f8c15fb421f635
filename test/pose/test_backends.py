"""Pose estimators of others: found by name, loaded or refused in one line, and made ours."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from action_recognition.cli import main
from action_recognition.errors import UserError
from action_recognition.evaluation import pose as evaluation_pose
from action_recognition.evaluation import video
from action_recognition.evaluation.estimated import JointCache
from action_recognition.pose.backends import mediapipe_worker, registry
from action_recognition.pose.backends.selection import select
from action_recognition.pose.decode import DecoderConfig
from action_recognition.pose.estimator import EstimatorConfig, create_estimator, sees_crops
from action_recognition.pose.gaze import Gaze
from action_recognition.skeleton import Joint, Poses

DOCS = Path(__file__).resolve().parents[2] / 'docs' / 'backends.md'
IMAGE = np.full((120, 160, 3), 90, np.uint8)


def config(backend, **decoder):
    return EstimatorConfig(backend=backend, decoder=DecoderConfig(**decoder))


PLUG_IN = """
import numpy as np
from action_recognition.skeleton import Poses

made = []

class Corner:
    name, device, runtime = 'corner', 'cpu', 'numpy'
    closed = False
    def __init__(self, *asked):
        self.asked = asked
    def estimate(self, image, stamp=0):
        xy = np.tile(np.float32([5, 7]), (1, 14, 1))
        size = image.shape[1], image.shape[0]
        return Poses(xy, np.full((1, 14), 0.8), stamp=stamp, image_size=size)
    def close(self):
        self.closed = True

def broken(model, device, config):
    raise OSError('no such\\n camera')

def wordless(model, device, config):
    found = Corner()
    found.estimate = lambda image, stamp=0: [1, 2]
    made.append(found)
    return found

def timeless(model, device, config):
    found = Corner()
    found.estimate = lambda image, stamp=0: Poses.empty(0, (640, 480))
    made.append(found)
    return found
"""
ENTRIES = """corner = corner_pose:Corner
broken = corner_pose:broken
wordless = corner_pose:wordless
timeless = corner_pose:timeless
absent = corner_pose:nothing
rtmlib = corner_pose:broken"""


def test_plug_in_is_found_by_its_entry_point(install):
    install('corner_pose', PLUG_IN, ENTRIES)
    assert registry.names() == (
        'ours', 'rtmlib', 'mediapipe', 'absent', 'broken', 'corner', 'timeless', 'wordless',
    )  # fmt: skip
    asked = config('corner')
    estimator = create_estimator('tiny.bin', 'cuda:1', asked)
    assert estimator.asked == ('tiny.bin', 'cuda:1', asked)
    assert estimator.estimate(IMAGE, 9).stamp == 9
    assert create_estimator(config=asked).asked == ('', 'auto', asked)  # its own default


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('broken', r"'broken' does not work here: OSError: no such camera$"),
        ('wordless', r"'wordless' answers list: its estimate must return Poses$"),
        ('timeless', r"'timeless' answers Poses of another stamp or image_size: its estimate must"),
        ('absent', r"'absent' \(corner_pose:nothing\) cannot be loaded: AttributeError"),
        ('yolo', r"unknown backend 'yolo': use one of ours, rtmlib, mediapipe, absent, broken,"),
    ],
)
def test_plug_in_that_fails_is_one_line(install, name, words):
    install('corner_pose', PLUG_IN, ENTRIES)
    with pytest.raises(UserError, match=words) as caught:
        create_estimator(config=config(name))
    assert '\n' not in str(caught.value)
    loaded = sys.modules.get('corner_pose', SimpleNamespace(made=[]))
    assert all(estimator.closed for estimator in loaded.made)


def test_the_folder_that_one_is_in_is_no_model(install, tmp_path, monkeypatch):
    install('corner_pose', PLUG_IN, ENTRIES)
    monkeypatch.chdir(tmp_path)
    model = tmp_path / 'mine.bin'
    told = []
    for text in ('one', 'two'):
        model.write_text(text)
        told.append([registry.fingerprint('corner', name) for name in ('', 'pose', str(model))])
    (of_none, of_default, of_file), (none, default, file) = told
    assert (none, default) == (of_none, of_default)
    assert file != of_file


def test_others_are_shown_full_images(install, caplog):
    install('corner_pose', PLUG_IN, ENTRIES)
    estimator = create_estimator(config=config('corner'))
    assert not sees_crops(estimator)
    gaze = Gaze(estimator)
    assert 'corner is shown full images' in caplog.text
    known = estimator.estimate(IMAGE).with_ids([1])
    for stamp in range(3):
        assert len(gaze.look(IMAGE, stamp, known)) == 1
        assert gaze.last.full
        assert len(gaze.last.regions) == 0


def test_cached_joints_tell_backends_and_models_apart(install, tmp_path):
    folder = install('corner_pose', PLUG_IN, ENTRIES)
    install('other_pose', PLUG_IN, 'other = other_pose:Corner')
    weights = folder / 'weights'
    weights.mkdir()

    def places():
        return [
            JointCache(tmp_path, model, config=config(backend)).place
            for backend in ('corner', 'other')
            for model in ('pose', 'large', str(weights), str(weights / 'a.onnx'))
        ]

    (weights / 'a.onnx').write_bytes(b'1')
    first = places()
    assert len({*first, JointCache(tmp_path).place}) == 9
    assert places() == first
    (weights / 'a.onnx').write_bytes(b'2')
    changed = [new != old for new, old in zip(places(), first, strict=True)]
    assert changed == [False, False, True, True] * 2
    (folder / 'corner_pose-1.5.dist-info/METADATA').write_text('Name: corner_pose\nVersion: 2\n')
    assert [new != old for new, old in zip(places(), first, strict=True)][:2] == [True, True]
    with pytest.raises(UserError, match="unknown backend 'yolo'"):
        assert JointCache(tmp_path, config=config('yolo')).place


def test_backend_of_the_command_line(install, monkeypatch, tmp_path, capsys):
    install('corner_pose', PLUG_IN, ENTRIES)
    given = []
    monkeypatch.setattr(
        evaluation_pose, 'evaluate', lambda *args: given.append(args[2]) or {'n': 1}
    )
    monkeypatch.setattr(video, 'run', lambda *args: given.append(args[2]) or {'n': 1})
    pose = ['evaluate', 'pose', '--set', 'lspet', '--data', str(tmp_path), '--backend', 'corner']
    assert main([*pose, '--model', 'tiny', '--device', 'cpu']) == 0
    assert given[0].asked[:2] == ('tiny', 'cpu')
    assert given[0].closed
    assert 'corner' in capsys.readouterr().out
    assert main([*pose, '--input-size', '160']) == 1
    assert '--input-size is of our own network' in capsys.readouterr().err
    of_video = ['evaluate', 'video', '--data', str(tmp_path), '--backend', 'corner']
    assert main([*of_video, '--pose', 'tiny', '--cache', str(tmp_path)]) == 0
    assert (given[1].pose, given[1].config) == ('tiny', EstimatorConfig(backend='corner'))


def test_what_counts():
    xy = np.tile(np.linspace(10, 100, 14)[:, None], (4, 1, 2))
    xy[1, 3] = -0.6, 20  # beyond the border
    xy[1, 4] = 159.4, 20  # on it
    score = np.full((4, 14), 0.5)
    score[0, 6] = 0.29
    score[2, 5:] = 0.1  # too few joints
    score[3] = 0.3  # too unsure
    poses = Poses(xy, score, stamp=3, image_size=(160, 120))
    asked = DecoderConfig(joint_threshold=0.3, min_joints=6, min_score=0.4)
    found = select(poses, asked)
    assert len(found) == 2
    assert (found.stamp, found.image_size) == (3, (160, 120))
    assert np.flatnonzero(~found.seen[0]).tolist() == [6]
    assert np.flatnonzero(~found.seen[1]).tolist() == [3]
    score[1] = 0.9
    best = select(Poses(xy, score, image_size=(160, 120)), asked)
    np.testing.assert_allclose(best.person_score[0], 0.9 * 13 / 14, rtol=1e-6)
    assert len(select(poses, DecoderConfig(max_people=1))) == 1
    assert len(select(Poses.empty(image_size=(160, 120)), asked)) == 0


def test_example_of_the_documentation(install):
    (source,) = re.findall(r'```python\n(# my_yolo_pose\.py.*?)```', DOCS.read_text(), re.DOTALL)
    (entry,) = re.findall(r"'(yolo = my_yolo_pose:\w+)'", DOCS.read_text())
    assert len(source.splitlines()) <= 45
    xy = torch.from_numpy(np.linspace((10, 10), (90, 110), 17)[None])
    yolo = SimpleNamespace(calls=[], keypoints=None)

    def predict(image, **options):
        yolo.calls.append(options)
        return [SimpleNamespace(keypoints=yolo.keypoints)]

    yolo.keypoints = SimpleNamespace(xy=xy, conf=torch.full((1, 17), 0.9))
    install('ultralytics', 'class YOLO:\n    def __init__(self, model): self.model = model\n')
    install('my_yolo_pose', source, entry)
    import ultralytics

    ultralytics.YOLO.predict = staticmethod(predict)
    estimator = create_estimator(device='cpu', config=config('yolo'))
    poses = estimator.estimate(IMAGE, 5)
    assert (len(poses), poses.stamp, poses.image_size) == (1, 5, (160, 120))
    np.testing.assert_allclose(poses.xy[0, Joint.RIGHT_ANKLE], (90, 110))
    assert yolo.calls[-1] == {'device': 'cpu', 'verbose': False}
    xy[0, 16] = 0  # as it gives a joint that it is unsure of
    assert not estimator.estimate(IMAGE).seen[0, Joint.RIGHT_ANKLE]
    yolo.keypoints = SimpleNamespace(xy=torch.zeros(0, 17, 2), conf=None)
    assert len(estimator.estimate(IMAGE)) == 0
    estimator.close()


def test_the_worker_of_another_python_finds_its_own_standard_library():
    """It runs as a script, so the files beside it come before all other modules."""
    folder = Path(mediapipe_worker.__file__).parent
    assert not {path.stem for path in folder.glob('*.py')} & sys.stdlib_module_names
