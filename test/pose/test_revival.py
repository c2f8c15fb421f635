"""An estimator that breaks for good is replaced; one that breaks on an image is not."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from action_recognition.errors import UserError
from action_recognition.pose.estimator import sees_crops
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.pose.revival import FAILURES, RevivingEstimator
from action_recognition.skeleton import Poses

IMAGE = np.zeros((8, 8, 3), np.uint8)


class Gpu:
    """Estimators by device; those of a device that is lost raise."""

    def __init__(self):
        self.made, self.lost, self.absent = [], set(), {}

    def make(self, device):
        if device in self.absent:
            raise self.absent[device]
        gpu = self

        class Estimator:
            name, runtime, closed = 'fake', 'none', False

            def __init__(self):
                self.device = device

            def estimate(self, image, stamp=0):
                assert not self.closed
                if image.any():
                    raise ValueError('a bad image')
                if device in gpu.lost:
                    raise RuntimeError('CUDA error: device lost')
                return Poses.empty(stamp)

            def people(self, images):
                return [self.estimate(image) for image in images]

            def close(self):
                self.closed = True

        self.made.append(Estimator())
        return self.made[-1]


@pytest.fixture
def gpu():
    return Gpu()


def fail(estimator, times, image=IMAGE, error=RuntimeError):
    for _ in range(times):
        with pytest.raises(error):
            estimator.estimate(image)


def test_who_sees_crops_need_not_prepare_for_them(gpu):
    estimator = RevivingEstimator(gpu.make, 'cpu', lambda new: None)
    Gaze(estimator, LookConfig(mode='crops')).warm_up()
    shapes = []
    gpu.made[0].prepare = shapes.append
    Gaze(estimator, LookConfig(mode='crops', max_crops=2, crop_size=64)).warm_up()
    assert shapes == [(1, 64, 64, 3), (2, 64, 64, 3)]


def preparing(gpu, full=()):
    """Makes estimators that prepare, but for shapes for which a device has no memory."""
    shapes = {}

    def make(device):
        estimator = gpu.make(device)

        def prepare(shape):
            if (device, shape) in full:
                raise RuntimeError('CUDA error: out of memory')
            shapes.setdefault(estimator, []).append(shape)

        estimator.prepare = prepare
        return estimator

    return make, shapes


def test_a_new_estimator_is_prepared_for_the_same_shapes_before_it_is_asked(gpu):
    make, shapes = preparing(gpu)
    changes = []
    estimator = RevivingEstimator(make, 'cuda', lambda new: changes.append(list(shapes[new])))
    gaze = Gaze(estimator, LookConfig(mode='crops', max_crops=2, crop_size=64))
    for _ in range(2):
        gaze.warm_up()
    wanted = [(1, 64, 64, 3), (2, 64, 64, 3)]
    assert shapes[gpu.made[0]] == 2 * wanted
    gpu.lost.add('cuda')
    fail(estimator, FAILURES)
    gpu.lost.clear()
    assert estimator.estimate(IMAGE, 7).stamp == 7
    assert shapes[gpu.made[1]] == wanted
    assert changes == [wanted]


@pytest.mark.parametrize('device', ['auto', 'cuda'])
def test_a_gpu_without_memory_for_many_crops(gpu, device):
    make, shapes = preparing(gpu, full={(device, (2, 64, 64, 3))})
    changes = []
    estimator = RevivingEstimator(make, device, changes.append)
    gaze = Gaze(estimator, LookConfig(mode='crops', max_crops=3, crop_size=64))
    if device == 'cuda':
        with pytest.raises(RuntimeError, match='out of memory'):
            gaze.warm_up()
        assert len(gpu.made) == 1
        return
    gaze.warm_up()
    assert estimator.device == 'cpu'
    assert changes == [gpu.made[-1]]
    assert shapes[gpu.made[-1]] == [(n, 64, 64, 3) for n in (1, 2, 3)]
    assert estimator.estimate(IMAGE, 7).stamp == 7


def test_what_the_estimator_says_of_shapes_and_of_itself_is_passed_on(gpu):
    estimator = RevivingEstimator(gpu.make, 'cpu', lambda new: None)
    gaze = Gaze(estimator, LookConfig(max_crops=2, crop_size=64))
    gaze.require(gaze.config)  # it says nothing
    made = gpu.made[0]

    def require(shape):
        raise UserError(f'no {shape}')

    made.require = require
    made.prepare = lambda shape: setattr(made, 'runtime', f'none of {shape[1]}')
    with pytest.raises(UserError, match=r'no \(2, 64, 64, 3\)'):
        gaze.require(gaze.config)
    gaze.warm_up()
    assert estimator.runtime == 'none of 64'
    estimator.close()
    gaze.require(gaze.config)


def test_a_bad_image_does_not_cost_the_estimator(gpu):
    estimator = RevivingEstimator(gpu.make, 'cpu', lambda new: pytest.fail('replaced'))
    for _ in range(3):
        fail(estimator, FAILURES - 1, IMAGE + 1, ValueError)
        assert estimator.estimate(IMAGE, 5).stamp == 5
    assert len(gpu.made) == 1


def test_a_lost_device_that_comes_back(gpu):
    changes = []
    estimator = RevivingEstimator(gpu.make, 'cuda', changes.append)
    assert sees_crops(estimator)
    gpu.lost.add('cuda')
    fail(estimator, FAILURES)
    gpu.lost.clear()
    assert estimator.people([IMAGE])[0].stamp == 0
    assert gpu.made[0].closed
    assert changes == gpu.made[1:]
    estimator.close()
    assert gpu.made[1].closed


@pytest.mark.parametrize('device', ['auto', 'cuda'])
def test_a_lost_device_that_stays_away(gpu, device):
    estimator = RevivingEstimator(gpu.make, device, lambda new: None)
    gpu.lost.add(device)
    gpu.absent[device] = UserError(f'no {device}')
    fail(estimator, FAILURES)
    if device == 'auto':
        assert estimator.estimate(IMAGE, 7).stamp == 7
        assert estimator.device == 'cpu'
    else:  # somebody wants this very device: say so until it is there again
        fail(estimator, 5, error=UserError)
        gpu.lost.clear()
        gpu.absent.clear()
        assert estimator.estimate(IMAGE, 7).stamp == 7


#: What a GPU that torch sees says when it is too old for this build, or full.
OF_NO_USE = [
    UserError("runtime 'torch' does not work here: CUDA error: no kernel image is available"),
    RuntimeError('CUDA error: out of\nmemory'),
]


@pytest.mark.parametrize('error', OF_NO_USE)
def test_a_gpu_that_cannot_be_used_leaves_it_to_the_cpu_from_the_start(gpu, error, caplog):
    gpu.absent['auto'] = error
    with caplog.at_level(logging.WARNING):
        estimator = RevivingEstimator(gpu.make, 'auto', lambda new: pytest.fail('the first one'))
    assert estimator.device == 'cpu'
    assert estimator.estimate(IMAGE, 7).stamp == 7
    (said,) = caplog.messages
    assert ' '.join(str(error).split()) in said


@pytest.mark.parametrize('error', OF_NO_USE)
def test_a_gpu_that_is_asked_for_and_cannot_be_used_is_an_error(gpu, error):
    gpu.absent['cuda'] = error
    with pytest.raises(type(error)) as raised:
        RevivingEstimator(gpu.make, 'cuda', lambda new: None)
    assert raised.value is error
    assert gpu.made == []


def test_where_the_cpu_would_not_do_either_the_first_error_counts(gpu, caplog):
    gpu.absent['auto'] = UserError('no such weights')
    gpu.absent['cpu'] = UserError("runtime 'tensorrt' does not compute on device 'cpu'")
    with pytest.raises(UserError, match='no such weights'):
        RevivingEstimator(gpu.make, 'auto', lambda new: None)
    assert caplog.messages == []


def test_estimators_without_crops(gpu):
    class Full:
        name, device, runtime = 'full', 'cpu', 'none'

    assert not sees_crops(RevivingEstimator(lambda device: Full(), 'cpu', lambda new: None))
