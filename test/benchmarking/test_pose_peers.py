"""Other estimators: images go in as they want them, joints come out in pixels of the image."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from action_recognition.benchmarking.pose_peers import MediaPipe, MoveNet
from action_recognition.errors import UserError
from action_recognition.pose.estimator import sees_crops
from action_recognition.skeleton import Joint


class Session:
    """A MoveNet that sees every joint on the brightest red pixel."""

    def __init__(self, kind='tensor(int32)', shape=(1, 192, 192, 3)):
        self.entry = SimpleNamespace(name='input', type=kind, shape=list(shape))
        self.inputs = None

    def get_inputs(self):
        return [self.entry]

    def run(self, names, feed):
        self.inputs = feed['input']
        picture = self.inputs[0]
        red = picture[0] if self.entry.shape[1] == 3 else picture[..., 0]
        y, x = np.unravel_index(np.argmax(red), red.shape)
        row = [(y + 0.5) / red.shape[0], (x + 0.5) / red.shape[1], 0.7]
        return [np.float32([[[row] * 17]])]


@pytest.mark.parametrize('size', [(240, 320), (320, 240)])
@pytest.mark.parametrize(
    ('kind', 'shape', 'dtype'),
    [
        ('tensor(int32)', (1, 192, 192, 3), np.int32),
        ('tensor(uint8)', (1, 256, 256, 3), np.uint8),
        ('tensor(float)', (1, 3, 192, 192), np.float32),
    ],
)
def test_movenet_finds_the_red_spot_of_a_bgr_image(size, kind, shape, dtype):
    session = Session(kind, shape)
    image = np.zeros((*size, 3), np.uint8)
    image[100:110, 60:70, 2] = 255
    image[30:40, 200:210, 0] = 255  # blue
    poses = MoveNet(session, 'lightning').estimate(image, stamp=4)
    assert session.inputs.shape == shape
    assert session.inputs.dtype == dtype
    assert (poses.stamp, poses.image_size) == (4, (size[1], size[0]))
    np.testing.assert_allclose(poses.xy[0], np.tile([65, 105], (14, 1)), atol=6)
    np.testing.assert_allclose(poses.score, 0.7)


def test_peers_are_not_taken_for_estimators_that_see_crops():
    assert not sees_crops(MoveNet(Session(), 'lightning'))


def test_movenet_of_any_size_takes_that_of_its_kind():
    free = (1, 'height', 'width', 3)
    assert MoveNet(Session(shape=free), 'movenet_lightning').size == 192
    assert MoveNet(Session(shape=free), 'MoveNet_Thunder').size == 256


@pytest.mark.parametrize(
    ('kind', 'shape'),
    [
        ('tensor(double)', (1, 192, 192, 3)),
        ('tensor(float)', (1, 5, 8, 9)),
        *[('tensor(float)', (3,) * rank) for rank in (0, 1, 2, 3, 5)],
    ],
)
def test_network_of_another_kind_is_refused(kind, shape):
    with pytest.raises(UserError, match='is no MoveNet'):
        MoveNet(Session(kind, shape), 'other')


def test_file_that_is_no_onnx_is_refused(tmp_path):
    pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
    path = tmp_path / 'movenet.onnx'
    path.write_bytes(b'not at all')
    with pytest.raises(UserError, match=r'cannot read the ONNX file .*movenet\.onnx'):
        MoveNet.load(path, 1)


#: Stands in for mediapipe in the other process: its landmarks are the mean of the red channel,
#: and the number of the landmark; nobody is in a black image.
MEDIAPIPE = """
from types import SimpleNamespace as S
print('libraries like to talk')
def detect(image):
    if not image.any():
        return S(pose_landmarks=[])
    red = float(image[..., 0].mean()) / 255
    return S(pose_landmarks=[[S(x=red, y=i / 33, visibility=0.5) for i in range(33)]])
Image = lambda image_format, data: data
ImageFormat = S(SRGB=1)
def create(options):
    if not open(options.base_options.model_asset_path).read():
        raise ValueError('empty model')
    return S(detect=detect)
tasks = S(
    BaseOptions=S,
    vision=S(PoseLandmarkerOptions=S, PoseLandmarker=S(create_from_options=create)),
)
"""


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A folder that the other Python finds mediapipe and a model in."""
    (tmp_path / 'mediapipe.py').write_text(MEDIAPIPE)
    (tmp_path / 'model.task').write_text('weights')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    return tmp_path


def test_mediapipe_answers_from_its_own_process(environment):
    peer = MediaPipe(Path(sys.executable), environment / 'model.task', 1)
    image = np.zeros((40, 60, 3), np.uint8)
    assert len(peer.estimate(image)) == 0
    image[..., 2] = 51  # red, a fifth of the brightest
    for height in (40, 30):
        poses = peer.estimate(image[:height], stamp=9)
        assert (poses.stamp, poses.image_size) == (9, (60, height))
        np.testing.assert_allclose(poses.xy[0, :, 0], 11.5, atol=1e-4)
        wrist = 16  # BlazePose's right wrist
        assert poses.xy[0, Joint.RIGHT_WRIST, 1] == pytest.approx(wrist / 33 * height - 0.5)
    peer.close()
    assert peer._process.returncode == 0


@pytest.mark.parametrize('size', [(40, 60), (480, 640)])
@pytest.mark.parametrize(
    'end', [None, 'os._exit(3)', "print('{', end='', flush=True), os._exit(3)"]
)
def test_mediapipe_whose_process_dies_says_so_and_can_be_closed(environment, end, size):
    """Between images, and while it is asked about one."""
    if end:
        dying = MEDIAPIPE.replace(
            '    if not image.any', f'    import os; {end}\n    if not image.any'
        )
        (environment / 'mediapipe.py').write_text(dying)
    peer = MediaPipe(Path(sys.executable), environment / 'model.task', 1)
    if not end:
        peer._process.kill()
        peer._process.wait()
    for _ in range(2):
        with pytest.raises(UserError, match='mediapipe: the process has ended without an'):
            peer.estimate(np.zeros((*size, 3), np.uint8))
    peer.close()
    assert peer._process.returncode == (3 if end else -9)


def test_mediapipe_that_is_not_installed_is_named(monkeypatch, tmp_path):
    (tmp_path / 'mediapipe.py').write_text("raise ImportError('no mediapipe here')")
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    with pytest.raises(UserError, match='ImportError: no mediapipe here'):
        MediaPipe(Path(sys.executable), None, 1)


def test_mediapipe_without_a_model_asks_for_one(environment):
    with pytest.raises(UserError, match=r'give a pose_landmarker_\*\.task file'):
        MediaPipe(Path(sys.executable), None, 1)


def test_mediapipe_model_that_cannot_be_read(environment):
    (environment / 'model.task').write_text('')
    with pytest.raises(UserError, match='ValueError: empty model'):
        MediaPipe(Path(sys.executable), environment / 'model.task', 1)


def test_interpreter_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match=r'cannot start .*nowhere: No such file'):
        MediaPipe(tmp_path / 'nowhere', None, 1)


def test_interpreter_that_is_none():
    with pytest.raises(UserError, match='ended without an answer'):
        MediaPipe(Path('/bin/false'), None, 1)
