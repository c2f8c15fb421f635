"""The sample clip without a network: a stand-in for pip leaves a wheel of our own making."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from action_recognition.cli import sample
from action_recognition.errors import UserError

CLIP = b'not really a video'


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """The calls of pip; `members` is what the wheel it leaves holds, `error` what it says."""

    class Pip:
        calls: list[list[str]] = []
        members = {sample.MEMBER: CLIP, 'Sports2D/__init__.py': b''}
        error = ''

        def __call__(self, command, **kwargs):
            self.calls.append(command)
            if not self.error:
                wheel = Path(command[command.index('--dest') + 1]) / 'sports2d-0-py3-none-any.whl'
                with zipfile.ZipFile(wheel, 'w') as archive:
                    for name, content in self.members.items():
                        archive.writestr(name, content)
            return subprocess.CompletedProcess(command, bool(self.error), '', self.error)

    pip = Pip()
    pip.calls = []
    monkeypatch.setattr(subprocess, 'run', pip)
    monkeypatch.setattr(sample, 'SHA256', hashlib.sha256(CLIP).hexdigest())
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return pip


def test_clip_is_downloaded_once_into_the_cache(pip, tmp_path):
    path = sample.fetch_sample()
    assert path == tmp_path / 'cache' / 'action_recognition' / 'two_people.mp4'
    assert path.read_bytes() == CLIP
    assert list(path.parent.iterdir()) == [path]
    assert sample.fetch_sample() == path
    assert len(pip.calls) == 1
    assert '--no-deps' in pip.calls[0]
    assert pip.calls[0][-1] == 'sports2d==0.8.34'


def test_damaged_clip_is_downloaded_again(pip):
    path = sample.fetch_sample()
    path.write_bytes(CLIP[:5])
    assert sample.fetch_sample().read_bytes() == CLIP


def test_cache_without_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert sample.sample_path() == tmp_path / '.cache' / 'action_recognition' / 'two_people.mp4'


def test_offline_says_what_to_do(pip):
    pip.error = 'WARNING: retrying\nERROR: No matching distribution found for sports2d==0.8.34\n'
    with pytest.raises(UserError, match=r'No matching distribution.*--source FILE') as caught:
        sample.fetch_sample()
    assert '\n' not in str(caught.value)


def test_another_clip_is_refused(pip):
    pip.members = {sample.MEMBER: b'somebody else'}
    with pytest.raises(UserError, match='not the one expected'):
        sample.fetch_sample()
    assert not sample.sample_path().exists()


def test_wheel_without_the_clip(pip):
    pip.members = {'Sports2D/__init__.py': b''}
    with pytest.raises(UserError, match='not in sports2d'):
        sample.fetch_sample()


def test_pip_that_hangs(pip, monkeypatch):
    def hang(command, timeout, **kwargs):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, 'run', hang)
    with pytest.raises(UserError, match='took over 300 s'):
        sample.fetch_sample()


def test_cache_that_cannot_be_written(pip, monkeypatch, tmp_path):
    (tmp_path / 'cache').touch()
    with pytest.raises(UserError, match='cannot keep the sample clip'):
        sample.fetch_sample()
