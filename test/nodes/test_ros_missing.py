"""Without ROS, or without the messages, there is one clear line."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.modules[{missing!r}] = None
from action_recognition.errors import UserError
try:
    import action_recognition.nodes.{node}
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    'node', ['camera', 'perception', 'recognizer', 'behavior', 'pipeline', 'convert', 'common']
)
def test_no_ros(node):
    assert message('rclpy', node).startswith('ROS 2 is not installed')


def test_no_messages():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    assert message('action_recognition.msg', 'camera').startswith(
        'the messages of action_recognition are not built'
    )


def message(missing, node):
    script = SCRIPT.format(missing=missing, node=node)
    result = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, check=True
    )
    assert result.stderr == ''
    assert result.stdout.count('\n') == 1
    return result.stdout
