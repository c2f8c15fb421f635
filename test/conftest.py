"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def data_root() -> Path:
    """The folder of public data sets: $ACTION_RECOGNITION_DATA, else `shared/data` beside us."""
    root = Path(os.environ.get('ACTION_RECOGNITION_DATA', ROOT.parent / 'shared' / 'data'))
    if not root.is_dir():
        pytest.skip(f'no data sets at {root} (set ACTION_RECOGNITION_DATA)')
    return root
