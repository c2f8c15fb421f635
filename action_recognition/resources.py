"""Files that travel with the package: parameters, launch files and weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from action_recognition.errors import UserError

SHARE = Path('share') / 'action_recognition'


def folders() -> list[Path]:
    """Where `config/`, `launch/` and `models/` may be: the source tree first, then the ROS
    prefixes in their order, then the Python environment.
    """
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    return [
        Path(__file__).resolve().parent.parent,
        *(Path(prefix) / SHARE for prefix in (*prefixes, sys.prefix)),
    ]


def find(name: str) -> Path:
    """The installed file of this name, such as `config/fastdds_shm.xml`.

    Raises:
        UserError: it is nowhere.
    """
    for folder in folders():
        if (folder / name).is_file():
            return folder / name
    raise UserError(f'{name} is not installed: install action_recognition again')
