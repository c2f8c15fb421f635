"""Child processes: how they end, and that they do, whatever happens to the parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from action_recognition.cli import children as children_module
from action_recognition.cli.children import Children
from action_recognition.errors import UserError

#: A node that runs until it is told to stop.
ENDLESS = ['run', 'camera', '-p', 'source:=topic']
PATIENCE = 60.0


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.02)


def fails(children: Children) -> str:
    """What `check` says once a child has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            children.check()
        except UserError as error:
            return str(error)
        time.sleep(0.02)
    pytest.fail('the child did not end')


def runs(pid: int) -> bool:
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != 'Z'


def test_a_child_that_fails_is_quoted_in_one_line(tmp_path: Path) -> None:
    with Children(tmp_path, {}) as children:
        children.start('camera', ['run', 'camera', '-p', 'nonsense'])
        text = fails(children)
    assert text.startswith('camera ended with code 1: ')
    assert '-p nonsense: write it as name:=value' in text
    assert f'(log: {tmp_path / "camera.log"})' in text
    assert '\n' not in text


def test_the_end_of_the_log_without_its_prefixes(tmp_path: Path) -> None:
    lines = ['one', 'two', '', '[ERROR] [1700000000.5] [camera]: three', 'four']
    (tmp_path / 'camera.log').write_text('\n'.join(lines))
    (tmp_path / 'silent.log').write_text('')
    children = Children(tmp_path, {})
    assert children.last_words('camera').startswith('two | three | four (log: ')
    assert children.last_words('silent').startswith('no output (log: ')


def test_the_environment_is_added(tmp_path: Path) -> None:
    with Children(tmp_path, {'PYTHONPATH': '/nowhere', 'PYTHONVERBOSE': '1'}) as children:
        children.start('help', ['--help'])
        fails(children)
    assert 'import' in (tmp_path / 'help.log').read_text()


@pytest.mark.parametrize('error', [None, KeyboardInterrupt, UserError])
def test_leaving_ends_them(
    tmp_path: Path, domain_id: int, error: type[BaseException] | None
) -> None:
    pytest.importorskip('rclpy', reason='needs ROS')
    try:
        with Children(tmp_path, {'ROS_DOMAIN_ID': str(domain_id)}) as children:
            children.start('camera', ENDLESS)
            (process,) = children._processes.values()
            until(lambda: 'active' in (tmp_path / 'camera.log').read_text())
            children.check()
            if error:
                raise error('away')
    except (KeyboardInterrupt, UserError):
        assert error
    assert process.returncode == 0


def test_one_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, 'PATIENCE', 0.0)
    with Children(tmp_path, {}) as children:
        children.start('camera', ENDLESS)
        (process,) = children._processes.values()
        process.send_signal(signal.SIGSTOP)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != 'linux', reason='Linux only')
def test_they_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        'import pathlib, sys, time\n'
        'from action_recognition.cli.children import Children\n'
        'children = Children(pathlib.Path(sys.argv[1]), {})\n'
        f'children.start("camera", {ENDLESS})\n'
        'print(*(p.pid for p in children._processes.values()), flush=True)\n'
        'time.sleep(600)\n'
    )
    command = [sys.executable, '-c', code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert runs(pid)
        parent.kill()
    until(lambda: not runs(pid))
