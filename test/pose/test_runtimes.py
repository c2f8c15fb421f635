"""Whatever computes, the maps are the same; and the choice among what computes."""

import logging
import subprocess
import sys
import threading
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from runtime_recipes import CPU, Off, assert_agrees, expected, images_of

from action_recognition.errors import UserError
from action_recognition.pose import runtimes
from action_recognition.pose.by_shape import PREPARE_AFTER
from action_recognition.pose.estimator import EstimatorConfig, NetworkEstimator
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.runtimes import PREFERENCE, create_runtime
from action_recognition.pose.torch_runtime import TorchRuntime


def skip_without(name):
    if find_spec(name) is None:
        pytest.skip(f'{name} is not installed')


@pytest.mark.parametrize('name', PREFERENCE['cpu'])
def test_maps_are_those_of_the_network(network, name):
    skip_without(name)
    runtime = create_runtime(network, CPU, name)
    assert runtime.name.split()[0] == name
    assert runtime.device == 'cpu'
    for shape in ((1, 48, 64), (3, 32, 40), (1, 64, 48)):
        assert_agrees(runtime, network, images_of(*shape))
    runtime.close()


def test_maps_stay_the_same_once_openvino_has_prepared_for_their_shape(network):
    skip_without('openvino')
    runtime = create_runtime(network, CPU, 'openvino')
    runtime.prepare((1, 48, 64, 3))
    for n in (1, 2):
        for _ in range(PREPARE_AFTER + 2):
            assert_agrees(runtime, network, images_of(n, 48, 64))
    runtime._bound._thread.join()
    assert_agrees(runtime, network, images_of(2, 48, 64))
    assert runtime._bound.get((1, 48, 64, 3)) is not runtime._bound.get((2, 48, 64, 3)) is not None


@pytest.mark.parametrize('flip_test', [False, True])
def test_after_the_warm_up_nothing_is_compiled_for_any_number_of_crops(network, flip_test):
    skip_without('openvino')
    runtime = create_runtime(network, CPU, 'openvino')
    estimator = NetworkEstimator(runtime, EstimatorConfig(96, flip_test=flip_test), 'test')
    estimator.warm_up()
    Gaze(estimator, LookConfig(max_crops=3, crop_size=64)).warm_up()
    compiled = []
    runtime._bound._prepare = compiled.append
    asked = set(runtime._bound._known)
    for _ in range(PREPARE_AFTER + 2):
        for number in (1, 2, 3):
            estimator.people(np.zeros((number, 64, 64, 3), np.uint8))
        estimator.estimate(np.zeros((480, 640, 3), np.uint8))
    assert compiled == [] and runtime._bound._thread is None
    assert len(asked) == 5  # with that of the check
    runtime.close()


def threads_of(runtime):
    """How many threads compute, by what the library itself says."""
    if runtime.name.startswith('openvino'):
        return runtime._any.get_compiled_model().get_property('INFERENCE_NUM_THREADS')
    return runtime._session.get_session_options().intra_op_num_threads


@pytest.fixture
def two_threads():
    """What PyTorch is set to. Nothing is computed by two: on a busy computer that takes minutes."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize('name', PREFERENCE['cpu'][:-1])
@pytest.mark.usefixtures('two_threads')
def test_threads_are_as_many_as_asked_for_or_else_as_many_as_torch_has(network, name, monkeypatch):
    skip_without(name)
    monkeypatch.setattr(runtimes, 'check', lambda runtime, *more: runtime)
    default = create_runtime(network, CPU, name)
    one = create_runtime(network, CPU, name, threads=1)
    assert (threads_of(default), threads_of(one)) == (2, 1)


@pytest.mark.usefixtures('two_threads')
def test_torch_computes_by_as_many_threads_as_asked_for(network):
    images, wanted = images_of(1, 32, 32), []
    runtime = TorchRuntime(network, CPU, threads=1)
    runtime._network = lambda pixels: wanted.append(torch.get_num_threads())
    runtime(images)
    torch.set_num_threads(2)
    plain = TorchRuntime(network, CPU)
    plain._network = runtime._network
    plain(images)
    assert wanted == [1, 2]


def test_openvino_does_not_report_home(network):
    skip_without('openvino')
    before = set(threading.enumerate())
    create_runtime(network, CPU, 'openvino')
    assert sys.modules['openvino_telemetry'] is None
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('graphs', [False, True])
def test_maps_on_a_gpu_are_those_of_the_network(network, graphs):
    runtime = TorchRuntime(network, torch.device('cuda'), graphs)
    for n in (1, 3, 4, 1):
        for _ in range(PREPARE_AFTER + 2):
            assert_agrees(runtime, network, images_of(n, 48, 64))


def test_auto_takes_the_first_that_is_installed(network, monkeypatch):
    skip_without('onnxruntime')
    found = {'onnxruntime', 'torch'}
    monkeypatch.setattr(runtimes, 'find_spec', lambda name: name in found or None)
    assert create_runtime(network, CPU).name == 'onnxruntime float32'
    found.remove('onnxruntime')
    assert create_runtime(network, CPU).name == 'torch float32'


def test_auto_tells_who_has_an_engine_why_it_is_not_used(network, monkeypatch, caplog, tmp_path):
    """On a GPU, for which PyTorch stands in here."""
    monkeypatch.setitem(sys.modules, 'tensorrt', None)
    made = []
    monkeypatch.setattr(runtimes, 'TorchRuntime', lambda *args, **more: made.append(args))
    monkeypatch.setattr(runtimes, 'check', lambda runtime, *more: runtime)
    with caplog.at_level(logging.WARNING):
        create_runtime(network, torch.device('cuda'))
        assert caplog.messages == []
        create_runtime(network, torch.device('cuda'), 'auto', tmp_path / 'pose.engine')
    assert [message.partition(':')[0] for message in caplog.messages] == [
        'TensorRT is not installed'
    ]
    assert len(made) == 2
    monkeypatch.setattr(runtimes, 'find_spec', lambda name: True)
    with pytest.raises(UserError, match='needs an engine: action-recognition export'):
        create_runtime(network, torch.device('cuda'), 'tensorrt')


class Broken:
    def __init__(self, network, threads):
        raise RuntimeError('illegal\ninstruction')


@pytest.mark.parametrize('name', ['openvino', 'onnxruntime'])
def test_named_one_that_does_not_work_is_an_error(network, monkeypatch, name):
    monkeypatch.setattr(runtimes, 'find_spec', lambda name: True)
    monkeypatch.setattr(runtimes, 'OpenVinoRuntime', Broken)
    monkeypatch.setattr(runtimes, 'OnnxRuntime', Broken)
    with pytest.raises(UserError, match=f"runtime '{name}' does not work here: illegal instr"):
        create_runtime(network, CPU, name)


def test_auto_passes_over_what_does_not_work_and_says_so(network, monkeypatch, caplog):
    monkeypatch.setattr(runtimes, 'find_spec', lambda name: True)
    monkeypatch.setattr(runtimes, 'OpenVinoRuntime', Broken)
    monkeypatch.setattr(runtimes, 'OnnxRuntime', Broken)
    with caplog.at_level(logging.WARNING):
        assert create_runtime(network, CPU).name == 'torch float32'
    assert caplog.messages == [
        f'runtime {name!r} does not work here: illegal instruction'
        for name in ('openvino', 'onnxruntime')
    ]


@pytest.mark.parametrize(
    ('by', 'reason'),
    [
        (None, r"'torch' does not work here: CUDA error: no kernel image is available: use device"),
        (0.01, r"'torch float32' is off by .* is tolerated: use device 'cpu', or a PyTorch built"),
        (1e-6, None),
    ],
)
def test_on_a_gpu_auto_takes_pytorch_only_where_it_computes_the_same(
    network, monkeypatch, by, reason
):
    asked = []

    class OnGpu(Off):
        def __init__(self, network, device, **options):
            asked.append(device.type)
            if by is None:
                raise RuntimeError('CUDA error: no kernel\nimage is available')
            super().__init__(network, by=by)

    monkeypatch.setattr(runtimes, 'find_spec', lambda name: None)
    monkeypatch.setattr(runtimes, 'TorchRuntime', OnGpu)
    if reason is None:
        assert isinstance(create_runtime(network, torch.device('cuda')), OnGpu)
    else:
        with pytest.raises(UserError, match=reason):
            create_runtime(network, torch.device('cuda'))
    assert asked == ['cuda']


class Engine(TorchRuntime):
    """Stands in for TensorRT: its answers about full frames may be wrong."""

    tuned = ((3, 64, 64, 3), (1, 96, 128, 3))
    frames = 1.0
    closed = False

    def __init__(self, path, network, device):
        super().__init__(network, CPU)
        self.name = 'tensorrt float16'
        self.asked = []

    def require(self, shape):
        if max(shape[1:3]) > 128:
            raise UserError(f'the engine takes up to 128 pixels, not {shape[1]}: build one')

    def close(self):
        self.closed = True

    def __call__(self, images):
        self.asked.append(images.shape)
        joints, limbs = super().__call__(images)
        return StageOutput(joints * (1.0 if len(images) == 3 else self.frames), limbs)


def test_an_engine_is_checked_in_both_profiles(network, monkeypatch, tmp_path):
    monkeypatch.setattr(runtimes, 'find_spec', lambda name: True)
    monkeypatch.setattr(runtimes, 'TensorRtRuntime', Engine)
    asked = network, torch.device('cuda'), 'tensorrt', tmp_path / 'pose.engine'
    assert set(create_runtime(*asked).asked) == set(Engine.tuned)
    monkeypatch.setattr(Engine, 'frames', 0.0)
    with pytest.raises(UserError, match='is off by'):
        create_runtime(*asked)


@pytest.fixture
def on_gpu(network, monkeypatch):
    """'auto' on a GPU with an engine, for which PyTorch on the CPU stands in."""
    monkeypatch.setattr(runtimes, 'TensorRtRuntime', Engine)
    others = []

    def torch_runtime(network, device, threads):
        others.append(Off(network, by=0))
        others[-1].prepared = []
        others[-1].prepare = others[-1].prepared.append
        return others[-1]

    monkeypatch.setattr(runtimes, 'TorchRuntime', torch_runtime)

    def create(engine='pose.engine'):
        return create_runtime(network, torch.device('cuda'), 'auto', engine)

    return create, others


def test_auto_leaves_images_that_an_engine_does_not_take_to_pytorch(network, on_gpu, caplog):
    create, others = on_gpu
    runtime = create()
    small, large = images_of(1, 96, 128), images_of(1, 136, 64)
    assert runtime.name == 'tensorrt float16'
    assert_agrees(runtime, network, small)
    assert (caplog.messages, others) == ([], [])
    for _ in range(2):
        np.testing.assert_allclose(runtime(large)[0], expected(network, large)[0], atol=1e-5)
        runtime.prepare(large.shape)
    (other,) = others
    assert other.prepared == [runtimes.CHECKED] + 2 * [large.shape]
    assert caplog.messages == [
        'the engine takes up to 128 pixels, not 136: build one; until then they are left to '
        'torch float32'
    ]
    assert runtime.name == 'tensorrt float16 and torch float32'
    assert_agrees(runtime._engine, network, small)
    runtime(small)
    assert runtime._engine.asked[-1] == small.shape
    runtime.close()
    assert runtime._engine.closed
    assert other.closed


@pytest.mark.parametrize('flip_test', [False, True])
def test_estimator_with_an_engine_for_smaller_images_starts_and_goes_on(on_gpu, flip_test):
    """The engine is for images half as large, and for smaller crops."""
    create, others = on_gpu
    config = EstimatorConfig(160, flip_test=flip_test)
    estimator = NetworkEstimator(create(), config, 'test')
    estimator.warm_up()
    assert estimator.runtime == 'tensorrt float16 and torch float32'
    gaze = Gaze(estimator, LookConfig(max_crops=2, crop_size=160))
    gaze.warm_up()
    n = 2 if flip_test else 1
    shapes = [(n, 144, 192, 3), (n, 160, 160, 3), (2 * n, 160, 160, 3)]
    assert others[0].prepared == [runtimes.CHECKED, *shapes]
    gaze.require(LookConfig(max_crops=6, crop_size=320))  # nothing is refused


def test_an_engine_that_is_named_says_which_crops_it_does_not_take(network):
    class Named(Engine):
        def require(self, shape):
            if shape[0] > 3 or shape[1] > 64:
                raise UserError(f'takes no {shape}')

    def gaze_of(flip_test):
        config = EstimatorConfig(96, flip_test=flip_test)
        return Gaze(NetworkEstimator(Named('', network, CPU), config, 'test'))

    gaze_of(False).require(LookConfig(max_crops=3, crop_size=64))
    gaze_of(True).require(LookConfig('full', max_crops=3, crop_size=640))
    with pytest.raises(UserError, match=r'takes no \(3, 72, 72, 3\)'):
        gaze_of(False).require(LookConfig(max_crops=3, crop_size=72))
    with pytest.raises(UserError, match=r'takes no \(6, 64, 64, 3\)'):
        gaze_of(True).require(LookConfig(max_crops=3, crop_size=64))


def test_runtime_that_is_named_does_not_fall_back(network, monkeypatch):
    monkeypatch.setattr(runtimes, 'find_spec', lambda name: True)
    monkeypatch.setattr(runtimes, 'OnnxRuntime', Off)
    with pytest.raises(UserError, match='is off by'):
        create_runtime(network, CPU, 'onnxruntime')


def test_missing_or_unknown_or_misplaced_runtime_is_an_error(network, monkeypatch):
    monkeypatch.setattr(runtimes, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match="'openvino' is not installed: pip install openvino"):
        create_runtime(network, CPU, 'openvino')
    with pytest.raises(UserError, match=r"unknown runtime 'tvm': use one of auto, "):
        create_runtime(network, CPU, 'tvm')
    with pytest.raises(UserError, match="'tensorrt' does not compute on device 'cpu': use one of"):
        create_runtime(network, CPU, 'tensorrt')
    with pytest.raises(UserError, match="'openvino' does not compute on device 'cuda'"):
        create_runtime(network, torch.device('cuda'), 'openvino')


def test_optional_libraries_are_not_imported_before_they_are_needed():
    code = 'import sys, action_recognition.pose.estimator; print(*sys.modules)'
    ran = subprocess.run(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, check=True, text=True
    )
    modules = set(ran.stdout.split())
    assert 'action_recognition.pose.cpu_runtimes' in modules
    assert not {'openvino', 'onnxruntime', 'tensorrt'} & modules
