"""From an image to `Poses`: geometry, devices, weights that do not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.pose.calibration import ScoreCalibration
from action_recognition.pose.decode import DecoderConfig, People
from action_recognition.pose.estimator import (
    PADDING,
    EstimatorConfig,
    NetworkEstimator,
    create_estimator,
    fit,
    in_image,
)
from action_recognition.pose.heads import PoseNetwork, StageOutput
from action_recognition.pose.targets import encode
from action_recognition.skeleton import FLIP

SKELETON = np.array(
    [
        *[(250, 100), (250, 160), (200, 160), (180, 230), (170, 300), (300, 160), (320, 230)],
        *[(330, 300), (220, 300), (220, 380), (220, 440), (280, 300), (280, 380), (280, 440)],
    ],
    np.float32,
)


PLAIN = EstimatorConfig(runtime='torch')


class KnowsTheAnswer:
    """Stands in for a runtime: sees the person at `xy` of an image (width, height).

    All that is not grey is the image, so nothing here knows how it was scaled.
    """

    name, device = 'oracle float32', 'cpu'

    def __init__(self, xy=SKELETON, size=(640, 480)):
        self.xy, self.size = xy, size

    def __call__(self, images):
        image = (images[0] != PADDING).any(-1)
        scale = np.array([image.any(0).sum(), image.any(1).sum()]) / self.size
        xy = torch.from_numpy((self.xy + 0.5) * scale - 0.5)[None, None].float()
        cells = (images.shape[1] // 8, images.shape[2] // 8)
        targets = encode(xy, torch.ones(1, 1, dtype=torch.bool), cells)
        return StageOutput(targets.joints, targets.limbs)


def estimator_of(runtime):
    config = EstimatorConfig(224, 0, DecoderConfig())
    return NetworkEstimator(runtime, config, 'test')


def test_flip_test_sees_the_mirror_image_as_the_image(saved):
    """What is said of the mirror image is what is said of the image, turned round."""
    config = replace(PLAIN, flip_test=True)
    estimator = NetworkEstimator.from_weights(str(saved), 'cpu', config)
    images = np.random.default_rng(0).integers(0, 256, (1, 40, 64, 3), np.uint8)
    here = estimator.maps(images)
    there = estimator.maps(np.ascontiguousarray(images[:, :, ::-1]))
    torch.testing.assert_close(there.joints, here.joints[:, list(FLIP)].flip(-1))
    alone = NetworkEstimator.from_weights(str(saved), 'cpu', PLAIN).maps(images)
    assert not torch.allclose(alone.joints, here.joints)


@pytest.fixture
def saved(tmp_path):
    """Weights of an untrained two-stage network."""
    torch.manual_seed(0)
    path = tmp_path / 'tiny.safetensors'
    header = weights.Header(kind='pose', name='tiny', config={'stages': 2})
    weights.save(path, PoseNetwork(2).state_dict(), header)
    return path


@pytest.mark.parametrize('size', [(640, 480), (480, 640), (1280, 720), (1920, 1080), (1001, 333)])
def test_joints_come_back_in_pixels_of_the_image(size):
    """Near the right border, where it tells most that the input's sides are whole pixels."""
    there = (SKELETON + np.array([300, 0])) * size / (640, 480)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    poses = estimator_of(KnowsTheAnswer(there, size)).estimate(image, stamp=42)
    assert (poses.stamp, poses.image_size) == (42, size)
    np.testing.assert_array_equal(poses.track_id, [-1])
    np.testing.assert_allclose(poses.xy[0], there, atol=0.1)


VIEWS = {
    'whole': np.copy,
    'mirrored': lambda images: images[:, :, ::-1],
    'of RGB': lambda images: images[..., ::-1],
    'on their side': lambda images: images.transpose(0, 2, 1, 3),
    'a part': lambda images: images[:, 8:40, 16:48],
}


@pytest.mark.parametrize('flip_test', [False, True])
@pytest.mark.parametrize('view', VIEWS.values(), ids=VIEWS)
def test_views_of_images_are_seen_as_the_images_that_they_show(saved, view, flip_test):
    estimator = NetworkEstimator.from_weights(
        str(saved), 'cpu', replace(PLAIN, flip_test=flip_test)
    )
    runtime, given = estimator._runtime, []

    def watched(images):
        given.append(images)
        return runtime(images)

    estimator._runtime = watched
    images = view(np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8))
    maps = [estimator.maps(each) for each in (images, images.copy('C'))]
    torch.testing.assert_close(maps[0], maps[1], atol=0, rtol=0)
    assert all(each.flags.c_contiguous for each in given)
    np.testing.assert_array_equal(given[0][:2], images)
    # What lies as it should is not copied once more.
    assert flip_test or np.shares_memory(given[0], images) == images.flags.c_contiguous


def test_joints_guessed_in_the_padding_are_not_found():
    """The input of this image has 7 rows of padding below, in the middle of which joints lie."""
    size = 1001, 333
    below = SKELETON * np.float32(0.8) + np.float32([300, -19])
    beyond = below[:, 1] > size[1] - 0.5
    assert 0 < beyond.sum() < 3
    poses = estimator_of(KnowsTheAnswer(below, size)).estimate(np.zeros((*size[::-1], 3), np.uint8))
    np.testing.assert_array_equal(poses.seen[0], ~beyond)
    np.testing.assert_allclose(poses.xy[0][~beyond], below[~beyond], atol=0.5)


def test_in_image_takes_whole_pixels_and_nobody_without_a_joint():
    xy = np.full((3, 14, 2), np.nan, np.float32)
    xy[0, :4] = [(-0.5, -0.5), (63.5, 47.5), (-0.6, 5), (5, 47.6)]
    xy[1, 0] = 70, 5
    xy[2, 5] = 5, 5
    found = in_image(People(xy, np.where(np.isnan(xy[..., 0]), np.float32(0), 0.7)), (64, 48))
    assert np.argwhere(found.score == np.float32(0.7)).tolist() == [[0, 0], [0, 1], [1, 5]]
    np.testing.assert_array_equal(found.score > 0, np.isfinite(found.xy).all(-1))
    assert found.xy.dtype == found.score.dtype == np.float32


@pytest.mark.parametrize('size', [(480, 640), (640, 480), (100, 1000), (17, 23), (1, 1)])
def test_fit_keeps_the_shape_and_about_the_area(size):
    fitted, scale = fit(np.full((*size, 3), 200, np.uint8), 224)
    assert fitted.shape[0] % 8 == fitted.shape[1] % 8 == 0
    width, height = np.round(np.array(size[::-1]) * scale).astype(int)
    assert (fitted[:height, :width] == 200).all()
    assert 0 <= fitted.shape[0] - height < 8
    assert 0 <= fitted.shape[1] - width < 8
    assert height * width == pytest.approx(224**2, rel=0.02)


def test_weights_make_an_estimator(saved):
    estimator = create_estimator(str(saved), 'cpu', PLAIN)
    poses = estimator.estimate(np.zeros((48, 64, 3), np.uint8))
    assert (estimator.name, estimator.device) == ('tiny', 'cpu')
    assert estimator.runtime == 'torch float32'
    assert poses.image_size == (64, 48)


@pytest.mark.parametrize(
    ('fields', 'there', 'expected'),
    [
        ({}, False, None),
        ({}, True, 'beside'),
        ({'runtime': 'tensorrt'}, False, 'beside'),  # of which the runtime says that it is not
        ({'engine': '/opt/robot.engine', 'threads': 3}, False, '/opt/robot.engine'),
    ],
)
def test_threads_and_engine_reach_the_runtime(saved, monkeypatch, fields, there, expected):
    given = []
    monkeypatch.setattr(
        'action_recognition.pose.estimator.create_runtime', lambda *args: given.append(args[2:])
    )
    if there:
        saved.with_suffix('.engine').touch()
    config = EstimatorConfig(**fields)
    with pytest.raises(AttributeError):  # None is no runtime
        NetworkEstimator.from_weights(str(saved), 'cpu', config)
    engine = saved.with_suffix('.engine') if expected == 'beside' else expected and Path(expected)
    assert given == [(config.runtime, engine, config.threads)]


def test_joints_that_were_found_are_those_of_any_number_of_threads_and_any_engine():
    """By the repr, joints that are kept are found again."""
    assert repr(EstimatorConfig(threads=4, engine='x')) == repr(EstimatorConfig())
    assert EstimatorConfig(threads=4) != EstimatorConfig()
    with pytest.raises(UserError, match='threads must not be negative, not -1'):
        EstimatorConfig(threads=-1)


def test_unknown_runtime_is_an_error(saved):
    with pytest.raises(UserError, match="unknown runtime 'tvm'"):
        create_estimator(str(saved), 'cpu', EstimatorConfig(runtime='tvm'))


def test_scores_are_calibrated_by_the_weights(saved):
    header, state = weights.load(saved, 'pose')
    calibration = ScoreCalibration(2.0, -1.0)
    weights.save(saved, state, replace(header, calibration=calibration.to_header()))
    assert NetworkEstimator.from_weights(str(saved), 'cpu', PLAIN).calibration == calibration
    image = np.zeros((480, 640, 3), np.uint8)
    plain = estimator_of(KnowsTheAnswer()).estimate(image)
    config = EstimatorConfig()
    got = NetworkEstimator(KnowsTheAnswer(), config, 'test', calibration).estimate(image)
    np.testing.assert_array_equal(got.xy, plain.xy)
    np.testing.assert_array_equal(got.score, calibration(plain.score))
    assert not np.array_equal(got.score, plain.score)


def test_damaged_calibration_is_an_error(saved):
    header, state = weights.load(saved, 'pose')
    weights.save(saved, state, replace(header, calibration={'slope': -1}))
    with pytest.raises(UserError, match=r'tiny\.safetensors: damaged calibration'):
        NetworkEstimator.from_weights(str(saved), 'cpu', PLAIN)


def test_closed_estimator_says_so(saved):
    estimator = create_estimator(str(saved), 'cpu', PLAIN)
    estimator.close()
    estimator.close()
    with pytest.raises(RuntimeError, match='closed'):
        estimator.estimate(np.zeros((48, 64, 3), np.uint8))


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
    ],
)
def test_image_of_another_kind_is_refused(saved, image):
    with pytest.raises(ValueError, match='uint8 image'):
        create_estimator(str(saved), 'cpu', PLAIN).estimate(image)


def test_more_stages_than_trained_is_an_error(saved):
    with pytest.raises(UserError, match='holds 2 stages; 3 were asked for'):
        create_estimator(str(saved), 'cpu', EstimatorConfig(stages=3, runtime='torch'))


def test_gpu_that_is_not_there_is_an_error(saved, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(UserError, match=r"'cuda'.*sees 0 GPUs.*device 'cpu'"):
        create_estimator(str(saved), 'cuda')


def test_unknown_device_is_an_error(saved):
    with pytest.raises(UserError, match="unknown device 'gpu0'"):
        create_estimator(str(saved), 'gpu0')


def test_weights_of_another_kind_are_refused(tmp_path):
    path = tmp_path / 'action.safetensors'
    header = weights.Header(kind='action', name='action', config={}, labels=('a', 'b'))
    weights.save(path, {'x': torch.zeros(1)}, header)
    with pytest.raises(UserError, match='holds action weights'):
        create_estimator(str(path), 'cpu')


@pytest.mark.parametrize(
    'config', [{'stages': 3}, {'stages': 2, 'colour': 'blue'}, {'stages': 10**9}]
)
def test_header_that_does_not_fit_the_tensors_is_an_error(tmp_path, config):
    path = tmp_path / 'odd.safetensors'
    weights.save(path, PoseNetwork(2).state_dict(), weights.Header('pose', 'odd', config))
    with pytest.raises(UserError, match=r'odd\.safetensors does not'):
        create_estimator(str(path), 'cpu')


def test_tiny_input_size_is_an_error():
    with pytest.raises(UserError, match='input_size must be at least'):
        EstimatorConfig(input_size=16)
