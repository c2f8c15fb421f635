"""What the doctor finds on machines that lack this and that."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from action_recognition import fastdds, weights
from action_recognition.cli import doctor, main
from action_recognition.cli.doctor import MISSING, OK, WARN, Check


def states(check) -> dict[str, str]:
    return {finding.name: finding.state for finding in check}


@pytest.fixture
def model_folder(monkeypatch, tmp_path):
    """An empty folder that is the only place weights are looked for."""
    monkeypatch.setattr(weights.resources, 'folders', lambda: [tmp_path])
    folder = tmp_path / 'models'
    folder.mkdir()
    return folder


def write_weights(folder, name, kind, labels=()):
    header = {'format': 1, 'kind': kind, 'name': name, 'config': {}, 'labels': labels}
    path = folder / f'{name}.safetensors'
    save_file({'w': np.zeros(1)}, path, {weights.METADATA_KEY: json.dumps(header)})
    return path


def test_every_finding_is_printed_and_written(monkeypatch, capsys, tmp_path):
    findings = [Check('one', OK, 'here'), Check('two', WARN, 'slow', 'mend it')]
    monkeypatch.setattr(doctor, 'CHECKS', (lambda: findings,))
    path = tmp_path / 'doctor.json'
    assert main(['doctor', '--json', str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ['ok', 'one', 'here'],
        ['warn', 'two', 'slow'],
        ['fix:', 'mend', 'it'],
    ]
    assert json.loads(path.read_text()) == {
        'usable': True,
        'checks': [
            {'name': 'one', 'state': 'ok', 'found': 'here', 'fix': ''},
            {'name': 'two', 'state': 'warn', 'found': 'slow', 'fix': 'mend it'},
        ],
    }


def test_something_essential_missing_exits_1(monkeypatch):
    monkeypatch.setattr(doctor, 'CHECKS', (lambda: [Check('torch', MISSING, 'no', 'get it')],))
    assert main(['doctor']) == 1


def test_real_machine_gives_a_line_and_a_fix_for_everything():
    findings = [finding for check in doctor.CHECKS for finding in check()]
    for finding in findings:
        assert '\n' not in finding.found + finding.fix
        assert bool(finding.fix) == (finding.state != OK), finding
    names = {finding.name for finding in findings}
    assert {'python', 'ros 2', 'torch', 'opencv', 'cv_bridge', 'fast dds', 'cameras'} <= names


def test_cut_recordings_take_mcap_and_nothing_else_does(monkeypatch):
    assert states(doctor.check_cut_bags()) == {'cut recordings': OK}
    monkeypatch.setitem(sys.modules, 'mcap.stream_reader', None)
    (finding,) = doctor.check_cut_bags()
    assert finding.state == WARN
    assert 'pip install mcap' in finding.fix


@pytest.mark.parametrize(
    ('module', 'check', 'name', 'fix'),
    [
        ('rclpy', doctor.check_ros, 'ros 2', 'source /opt/ros'),
        ('torch', doctor.check_torch, 'torch', 'Jetson'),
        ('cv2', doctor.check_opencv, 'opencv', 'python3-opencv'),
        ('yaml', doctor.check_packages, 'python packages', 'pip install PyYAML'),
    ],
)
def test_module_that_is_not_there(monkeypatch, module, check, name, fix):
    monkeypatch.setitem(sys.modules, module, None)
    [finding] = check()
    assert (finding.name, finding.state) == (name, MISSING)
    assert fix in finding.fix


def test_messages_not_built(monkeypatch):
    pytest.importorskip('rclpy')
    monkeypatch.setitem(sys.modules, 'action_recognition.msg', None)
    finding = list(doctor.check_ros())[-1]
    assert (finding.name, finding.state) == ('messages', MISSING)
    assert 'colcon build' in finding.fix


def test_sourced_ros_over_wheels(monkeypatch):
    rclpy = pytest.importorskip('rclpy')
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    monkeypatch.setattr(rclpy, '__file__', f'{sys.prefix}/lib/rclpy/__init__.py')
    assert next(doctor.check_ros()).state == WARN


def test_torch_built_without_the_gpu_that_is_there(monkeypatch, tmp_path):
    torch = SimpleNamespace(
        __version__='2.13.0+cpu',
        cuda=SimpleNamespace(is_available=lambda: False),
        get_num_threads=lambda: 2,
    )
    monkeypatch.setitem(sys.modules, 'torch', torch)
    assert states(doctor.check_torch(gpu_devices=())) == {'torch': OK, 'device': OK}
    device = tmp_path / 'nvidia0'
    device.touch()
    assert states(doctor.check_torch(gpu_devices=(str(device),))) == {'torch': OK, 'device': WARN}


@pytest.mark.parametrize(
    ('installed', 'state', 'found'),
    [
        (('onnxruntime', 'openvino'), OK, 'openvino, onnxruntime, torch'),
        (('tensorrt',), OK, 'tensorrt, torch'),
        ((), WARN, 'torch alone, which is slow on a processor'),
    ],
)
def test_runtimes_of_the_pose_network(monkeypatch, installed, state, found):
    monkeypatch.setattr(doctor, 'find_spec', lambda name: name if name in installed else None)
    (check,) = doctor.check_runtimes()
    assert (check.state, check.found) == (state, found)
    assert bool(check.fix) == (state == WARN)


def test_cv_bridge_that_cannot_convert(monkeypatch):
    """As the one from PyPI under NumPy 2."""

    class Broken:
        def cv2_to_imgmsg(self, image, encoding):
            raise AttributeError('_ARRAY_API not found')

    monkeypatch.setitem(sys.modules, 'cv_bridge', SimpleNamespace(CvBridge=Broken, __file__='x'))
    [finding] = doctor.check_cv_bridge()
    assert finding.state == WARN
    assert '_ARRAY_API' in finding.found


def test_weights_are_listed_with_their_hash(model_folder):
    pose = write_weights(model_folder, 'pose', 'pose')
    write_weights(model_folder, 'online', 'action', ['wave', 'clap'])
    findings = {finding.name: finding for finding in doctor.check_weights()}
    assert {name: finding.state for name, finding in findings.items()} == {
        'weights online': OK,
        'weights pose': OK,
    }
    assert '2 classes' in findings['weights online'].found
    assert weights.digest(pose) in findings['weights pose'].found


def test_weights_missing_and_damaged(model_folder):
    write_weights(model_folder, 'online', 'action', ['wave'])
    (model_folder / 'pose.safetensors').write_bytes(b'version https://git-lfs')
    assert states(doctor.check_weights()) == {
        'weights online': OK,
        'weights pose': WARN,
        'weights (pose)': MISSING,
    }


@pytest.fixture
def no_transport_chosen(monkeypatch):
    for name in (*fastdds.TRANSPORT_VARIABLES, 'RMW_IMPLEMENTATION'):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ('variable', 'value', 'state'),
    [
        ('HOME', '/home/user', WARN),
        ('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp', OK),
        ('FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA', OK),
        ('FASTRTPS_DEFAULT_PROFILES_FILE', str(doctor.resources.find(fastdds.PROFILE)), OK),
        ('FASTRTPS_DEFAULT_PROFILES_FILE', '/nowhere/profile.xml', WARN),
    ],
)
def test_transport(monkeypatch, no_transport_chosen, variable, value, state):
    monkeypatch.setenv(variable, value)
    assert next(doctor.check_transport()).state == state


def test_segment_too_small_for_images(monkeypatch, no_transport_chosen, tmp_path):
    profile = tmp_path / 'profile.xml'
    profile.write_text('<segment_size> 524288 </segment_size>')
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', str(profile))
    finding = next(doctor.check_transport())
    assert finding.state == WARN
    assert '524288' in finding.found


@pytest.mark.parametrize(('free', 'warns'), [(64, True), (99, True), (100, False), (512, False)])
def test_shared_memory_of_a_container(monkeypatch, no_transport_chosen, free, warns):
    """Docker gives 64 MB, and four processes of ours take more."""
    monkeypatch.setattr(
        doctor.shutil, 'disk_usage', lambda path: SimpleNamespace(free=free * doctor.MEBIBYTE)
    )
    findings = {finding.name: finding for finding in doctor.check_transport()}
    assert ('shared memory' in findings) == warns
    if warns:
        assert findings['shared memory'].state == WARN
        assert '--ipc=host' in findings['shared memory'].fix


def test_cameras(monkeypatch, tmp_path):
    assert states(doctor.check_cameras(tmp_path)) == {'cameras': WARN}
    for name in ('video0', 'video10', 'videofile'):
        (tmp_path / name).touch()
    [finding] = doctor.check_cameras(tmp_path)
    assert finding.state == OK
    assert finding.found == f'{tmp_path}/video0, {tmp_path}/video10'
    monkeypatch.setattr('os.access', lambda path, mode: False)
    [finding] = doctor.check_cameras(tmp_path)
    assert finding.state == WARN
    assert 'usermod' in finding.fix
