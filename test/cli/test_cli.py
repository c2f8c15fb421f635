"""The command as a user meets it: help, exit codes, one line for each error."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest

from action_recognition import __version__, fastdds
from action_recognition.cli import COMMANDS, main
from action_recognition.errors import UserError

HEAVY = ('cv2', 'matplotlib', 'numpy', 'rclpy', 'torch')


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_help_lists_every_command_and_imports_nothing_heavy():
    result = run_python(
        'import sys\n'
        'from action_recognition.cli import main\n'
        'try:\n'
        "    main(['--help'])\n"
        'finally:\n'
        f'    print(*(set({HEAVY}) & set(sys.modules)), file=sys.stderr)\n'
    )
    assert result.returncode == 0
    assert result.stderr.split() == []
    for name in COMMANDS:
        assert name in result.stdout.split()


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_has_help_of_its_own(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, '--help'])
    assert stop.value.code == 0
    text = ' '.join(capsys.readouterr().out.split())  # long help is wrapped
    assert import_module(f'action_recognition.cli.{name}').HELP in text


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--version'])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f'action-recognition {__version__}\n'


@pytest.mark.parametrize('argv', [[], ['dance'], ['run', 'dance'], ['run'], ['doctor', '--what']])
def test_wrong_usage_exits_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert 'action-recognition' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['--params-file', 'nowhere.yaml'], 'parameter file nowhere.yaml does not exist'),
        (['-p', 'rate=3'], '-p rate=3: write it as name:=value'),
        (['-p', 'rate:='], '-p rate:=: write it as name:=value'),
        (['-r', ':=skeletons'], '-r :=skeletons: write it as name:=value'),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_1(argv, message, capsys):
    assert main(['run', 'camera', *argv]) == 1
    assert capsys.readouterr().err == f'action-recognition: error: {message}\n'


@pytest.mark.parametrize(
    ('absent', 'remedy'),
    [('rclpy', 'source /opt/ros/<distro>/setup.bash'), ('action_recognition.msg', 'colcon build')],
)
def test_ros_or_messages_missing_is_one_line(absent, remedy):
    result = run_python(
        'import sys\n'
        f'sys.modules[{absent!r}] = None\n'
        'from action_recognition.cli import main\n'
        "sys.exit(main(['run', 'camera']))\n"
    )
    assert result.returncode == 1
    assert result.stderr.startswith('action-recognition: error: ')
    assert len(result.stderr.splitlines()) == 1
    if absent == 'rclpy' or 'ROS 2 is not installed' not in result.stderr:
        assert remedy in result.stderr


def test_interrupt_exits_130(monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr('action_recognition.cli.doctor.run', interrupt)
    assert main(['doctor']) == 130


def test_reader_that_leaves_is_no_error():
    process = subprocess.Popen(
        [sys.executable, '-m', 'action_recognition.cli', 'doctor'], stdout=subprocess.PIPE
    )
    process.stdout.close()
    assert process.wait(60) == 141


def test_an_unknown_parameter_is_refused(monkeypatch, capsys):
    camera = SimpleNamespace(SETTINGS=(SimpleNamespace(name='rate'),))
    node = SimpleNamespace(main=lambda args: 0, Camera=camera)
    monkeypatch.setitem(sys.modules, 'action_recognition.nodes.camera', node)
    monkeypatch.setattr(os, 'environ', os.environ.copy())
    for name in ('rate', 'autostart', 'camera:rate', 'qos_overrides./image.publisher.depth'):
        assert main(['run', 'camera', '-p', f'{name}:=1']) == 0
    assert main(['run', 'camera', '-p', 'raet:=1']) == 1
    assert capsys.readouterr().err.startswith(
        'action-recognition: error: camera has no parameter raet; there are autostart, rate, '
    )


def test_errors_of_many_lines_are_made_one(monkeypatch, capsys):
    def fail(args):
        raise UserError('cannot use a.yaml: while parsing\n  in line 3\n')

    monkeypatch.setattr('action_recognition.cli.doctor.run', fail)
    assert main(['doctor']) == 1
    assert capsys.readouterr().err == (
        'action-recognition: error: cannot use a.yaml: while parsing in line 3\n'
    )


def test_run_hands_ros_arguments_to_the_node(monkeypatch, tmp_path):
    received = []
    settings = (SimpleNamespace(name='rate'), SimpleNamespace(name='source'))
    camera = SimpleNamespace(SETTINGS=settings)
    node = SimpleNamespace(main=lambda args: received.extend(args) or 3, Camera=camera)
    monkeypatch.setitem(sys.modules, 'action_recognition.nodes.camera', node)
    environment = {'AMENT_PREFIX_PATH': os.environ.get('AMENT_PREFIX_PATH', '')}
    monkeypatch.setattr(os, 'environ', environment.copy())
    params = tmp_path / 'params.yaml'
    params.touch()
    argv = ['--params-file', str(params), '-p', 'rate:=10.0', '-p', 'source:=a.mp4']
    argv += ['-r', 'image:=/front/image', '--namespace', 'front']
    assert main(['run', 'camera', *argv]) == 3
    assert received == [
        '--ros-args',
        *('--params-file', str(params)),
        *('-p', 'rate:=10.0', '-p', 'source:=a.mp4'),
        *('-r', 'image:=/front/image', '-r', '__ns:=/front'),
    ]
    assert os.environ == environment | fastdds.variables({})
