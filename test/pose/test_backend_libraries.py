"""Backends of libraries (rtmlib, MediaPipe), by stand-ins that answer as they do."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from action_recognition.errors import UserError
from action_recognition.pose.backends import blazepose, registry
from action_recognition.pose.decode import DecoderConfig
from action_recognition.pose.estimator import EstimatorConfig, create_estimator
from action_recognition.skeleton import Joint

IMAGE = np.full((120, 160, 3), 90, np.uint8)
RTMPOSE = 'action_recognition.pose.backends.rtmpose'


def config(backend, **decoder):
    return EstimatorConfig(backend=backend, decoder=DecoderConfig(**decoder))


@pytest.mark.parametrize(
    ('backend', 'line'),
    [
        ('rtmlib', 'needs rtmlib: pip install onnxruntime && pip install --no-deps rtmlib'),
        ('mediapipe', 'needs mediapipe: pip install mediapipe'),
    ],
)
def test_library_that_is_not_installed(monkeypatch, backend, line):
    real = registry.find_spec
    monkeypatch.setattr(registry, 'find_spec', lambda name: None if name == backend else real(name))
    with pytest.raises(UserError, match=re.escape(line)):
        create_estimator(config=config(backend))


@pytest.mark.parametrize(
    ('source', 'reason'),
    [
        ('raise OSError("libgomp.so.1:\\n no such file")', 'OSError: libgomp.so.1: no such file'),
        ('', "AttributeError: module 'rtmlib' has no attribute 'YOLOX'"),
    ],
)
def test_library_that_is_broken_is_one_line(install, source, reason):
    pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
    sys.modules.pop(RTMPOSE, None)
    sys.modules.pop('rtmlib', None)
    install('rtmlib', source)
    with pytest.raises(UserError) as caught:
        create_estimator(config=config('rtmlib'))
    assert str(caught.value) == (f"backend 'rtmlib' ({RTMPOSE}:create) cannot be loaded: {reason}")


#: Stands in for rtmlib: every box holds somebody whose joints lie along its diagonal.
RTMLIB = """
import numpy as np
from types import SimpleNamespace as S
opened = []
class Tool:
    shape = ['batch', 3, 'height', 'width']
    provider = 'CPUExecutionProvider'
    def __init__(self, file, model_input_size=None, backend=None, device=None):
        if not file.startswith('remote/') and open(file).read() == 'damaged':
            raise RuntimeError('Protobuf parsing failed')
        self.model_input_size = model_input_size
        self.session = S(get_inputs=lambda: [S(shape=self.shape)],
                         get_providers=lambda: [self.provider])
        self.asked = type(self).__name__, file, backend, device
        opened.append(self)
def people(boxes):
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    xy = low + (high - low) * np.linspace(0, 1, 17)[:, None]
    return xy, np.full(xy.shape[:2], 1.1)
class YOLOX(Tool):
    boxes = [[10, 20, 90, 100], [30, 20, 110, 100]]
    def __call__(self, image):
        return np.array(self.boxes if image.min() != 114 else [], float)
class RTMPose(Tool):
    def __call__(self, image, bboxes):
        return people(np.asarray(bboxes))
class RTMO(Tool):
    def __call__(self, image):
        return np.zeros((1, 17, 2)), np.zeros((1, 17))
def mode(det, pose):
    return {'det': f'remote/{det}.zip', 'det_input_size': (416, 416),
            'pose': f'remote/{pose}.zip', 'pose_input_size': (192, 256)}
class Body:
    MODE = {'balanced': mode('yolox_m', 'rtmpose-m'), 'lightweight': mode('yolox_t', 'rtmpose-s')}
    RTMO_MODE = {'balanced': {'pose': 'remote/rtmo-m.zip', 'pose_input_size': (640, 640)}}
"""


@pytest.fixture
def rtmlib(install):
    pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
    sys.modules.pop(RTMPOSE, None)
    sys.modules.pop('rtmlib', None)
    install('rtmlib', RTMLIB)
    import rtmlib

    return rtmlib


def test_rtmpose_in_the_boxes_of_a_detector(rtmlib):
    estimator = create_estimator(device='cpu', config=config('rtmlib'))
    assert [tool.asked for tool in rtmlib.opened] == [
        ('YOLOX', 'remote/yolox_m.zip', 'onnxruntime', 'cpu'),
        ('RTMPose', 'remote/rtmpose-m.zip', 'onnxruntime', 'cpu'),
    ]
    assert [tool.model_input_size for tool in rtmlib.opened] == [(416, 416), (192, 256)]
    assert (estimator.name, estimator.device) == ('rtmlib balanced', 'cpu')
    poses = estimator.estimate(IMAGE, 7)
    assert (len(poses), poses.stamp, poses.image_size) == (2, 7, (160, 120))
    np.testing.assert_allclose(poses.xy[1, Joint.RIGHT_ANKLE], (110, 100))  # COCO's last
    np.testing.assert_allclose(poses.xy[:, Joint.NOSE], [(10, 20), (30, 20)])
    assert poses.score.max() == 1
    nobody = np.full((120, 160, 3), 114, np.uint8)
    assert len(estimator.estimate(nobody)) == 0  # and RTMPose was not asked
    estimator.close()
    with pytest.raises(RuntimeError, match='closed'):
        estimator.estimate(IMAGE)


def test_rtmlib_from_files(rtmlib, tmp_path, monkeypatch):
    folder = tmp_path / 'models'
    folder.mkdir()
    for name in ('my_yolox.onnx', 'rtmpose-s.onnx'):
        (folder / name).write_text('')
    monkeypatch.setattr(rtmlib.YOLOX, 'shape', [1, 3, 320, 640])
    estimator = create_estimator(str(folder), 'cpu', config('rtmlib', max_people=1))
    detector, pose = rtmlib.opened
    assert detector.model_input_size == (320, 640)  # as its file says: height, width
    assert pose.model_input_size == (192, 256)  # known by the name of the file: width, height
    assert estimator.name == 'rtmlib models'
    assert len(estimator.estimate(IMAGE)) == 1
    monkeypatch.setattr(rtmlib.RTMPose, 'shape', ['n', 3, 384, 288])
    create_estimator(str(folder), 'cpu', config('rtmlib'))
    assert rtmlib.opened[-1].model_input_size == (288, 384)


def test_rtmo_needs_no_detector(rtmlib, tmp_path):
    path = tmp_path / 'rtmo-m.onnx'
    path.write_text('')
    estimator = create_estimator(str(path), 'cpu', config('rtmlib'))
    assert [tool.asked[0] for tool in rtmlib.opened] == ['RTMO']
    assert rtmlib.opened[0].model_input_size == (640, 640)
    assert len(estimator.estimate(IMAGE)) == 0  # it says that nobody is there by zeros
    create_estimator('rtmo-balanced', 'cpu', config('rtmlib'))
    assert rtmlib.opened[-1].asked[1] == 'remote/rtmo-m.zip'


def test_rtmlib_without_its_files_is_one_line(rtmlib, tmp_path):
    with pytest.raises(UserError, match='balanced, lightweight, rtmo-balanced, a folder'):
        create_estimator('huge', 'cpu', config('rtmlib'))
    with pytest.raises(UserError, match=r'must hold one \*yolox\*\.onnx and one'):
        create_estimator(str(tmp_path), 'cpu', config('rtmlib'))
    for name in ('yolox.onnx', 'rtmpose.onnx'):
        (tmp_path / name).write_text('damaged')
    with pytest.raises(UserError, match=r'RuntimeError: Protobuf parsing failed\).*folder'):
        create_estimator(str(tmp_path), 'cpu', config('rtmlib'))


def test_rtmlib_on_a_gpu_says_what_it_got(rtmlib, monkeypatch):
    import onnxruntime

    with pytest.raises(UserError, match="unknown device 'npu'"):
        create_estimator(device='npu', config=config('rtmlib'))
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CPUExecutionProvider'])
    with pytest.raises(UserError, match='pip install onnxruntime-gpu'):
        create_estimator(device='cuda', config=config('rtmlib'))
    assert create_estimator(config=config('rtmlib')).device == 'cpu'
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CUDAExecutionProvider'])
    # ONNX Runtime goes on without a GPU where its libraries do not fit.
    assert create_estimator(config=config('rtmlib')).device == 'cpu'
    with pytest.raises(UserError, match='found no CUDA that fits'):
        create_estimator(device='cuda:0', config=config('rtmlib'))
    monkeypatch.setattr(rtmlib.Tool, 'provider', 'CUDAExecutionProvider')
    assert create_estimator(config=config('rtmlib')).device == 'cuda'


#: Stands in for mediapipe: two people, the second of them surer; `solutions` finds one.
MEDIAPIPE = """
from types import SimpleNamespace as S
def person(x, visibility):
    return [S(x=x, y=i / 66, visibility=visibility) for i in range(33)]
Image = lambda image_format, data: data
ImageFormat = S(SRGB=1)
class Landmarker:
    def __init__(self, options):
        self.options = options
    def detect(self, image):
        if image[0, 0, 0] < image[0, 0, 2]:
            raise ValueError('blue before red')
        people = [person(0.25, 0.6), person(0.5, 0.9)][:self.options.num_poses]
        return S(pose_landmarks=people)
    def close(self):
        self.options.closed = True
tasks = S(
    BaseOptions=S,
    vision=S(PoseLandmarkerOptions=S, PoseLandmarker=S(create_from_options=Landmarker)),
)
"""
SOLUTIONS = """
class Pose(Landmarker):
    def __init__(self, **options):
        self.options = S(num_poses=1, **options)
    def process(self, pixels):
        found = self.detect(pixels)
        return S(pose_landmarks=S(landmark=found.pose_landmarks[0]))
solutions = S(pose=S(Pose=Pose))
"""


@pytest.fixture
def mediapipe(install, tmp_path):
    sys.modules.pop('mediapipe', None)
    (tmp_path / 'pose_lite.task').write_text('')
    return lambda extra='': install('mediapipe', MEDIAPIPE + extra)


def test_mediapipe_finds_everybody_by_a_task(mediapipe):
    estimator = create_estimator(
        str(mediapipe() / 'pose_lite.task'), config=config('mediapipe', max_people=5)
    )
    assert (estimator.name, estimator.device) == ('mediapipe pose_lite', 'cpu')
    image = IMAGE.copy()
    image[..., 2] = 200  # red
    poses = estimator.estimate(image, 4)
    assert (len(poses), poses.stamp, poses.image_size) == (2, 4, (160, 120))
    np.testing.assert_allclose(poses.xy[:, 0, 0], [79.5, 39.5])  # the surest first
    # BlazePose's left ankle is its 27th; half a pixel lies between border and first centre.
    assert poses.xy[0, Joint.LEFT_ANKLE, 1] == pytest.approx(27 / 66 * 120 - 0.5)
    np.testing.assert_allclose(poses.score[0], 0.9)


def test_mediapipe_with_the_model_inside_an_older_release(mediapipe):
    mediapipe(SOLUTIONS)
    estimator = create_estimator(config=config('mediapipe'))
    assert estimator.name == 'mediapipe full'
    assert len(estimator.estimate(IMAGE)) == 1
    options = estimator._landmarker._pose.options
    assert options.static_image_mode  # every image by itself
    estimator.close()
    assert options.closed


def test_mediapipe_that_cannot_work_is_one_line(mediapipe, tmp_path):
    mediapipe()
    with pytest.raises(UserError, match=r'holds no model: give a pose_landmarker_\*\.task file'):
        create_estimator(config=config('mediapipe'))
    with pytest.raises(UserError, match=r'no model .*none\.task'):
        create_estimator(str(tmp_path / 'none.task'), config=config('mediapipe'))
    with pytest.raises(UserError, match='must be auto or cpu'):
        create_estimator(device='cuda', config=config('mediapipe'))


def test_landmarks_of_nobody():
    assert len(blazepose.to_poses([], 0, (160, 120))) == 0
