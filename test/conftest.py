"""Fixtures shared by the whole suite."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: ROS domains whose ports stay below those that Linux gives out, and a port to claim each by.
ROS_DOMAINS = range(1, 101)
CLAIM_PORT = 22_000
#: Tests take turns, for what one leaves behind may live on until the garbage is collected.
_next_domain = itertools.cycle(ROS_DOMAINS)

# Read when torch is imported, by the processes that tests start as well: two threads on two busy
# cores wait for each other far longer than they compute.
os.environ['OMP_NUM_THREADS'] = '1'
# Read when rclpy and the messages are imported.
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'


@pytest.fixture(scope='session')
def data_root() -> Path:
    """The folder of public data sets: $ACTION_RECOGNITION_DATA, else `shared/data` beside us."""
    root = Path(os.environ.get('ACTION_RECOGNITION_DATA', ROOT.parent / 'shared' / 'data'))
    if not root.is_dir():
        pytest.skip(f'no data sets at {root} (set ACTION_RECOGNITION_DATA)')
    return root


@pytest.fixture
def domain_id() -> Iterator[int]:
    """A ROS domain of our own, also with several test runs on one machine."""
    for domain in itertools.islice(_next_domain, len(ROS_DOMAINS)):
        with socket.socket() as claim:
            try:
                claim.bind(('127.0.0.1', CLAIM_PORT + domain))
            except OSError:
                continue
            yield domain
            return
    pytest.fail('no ROS domain is free')
