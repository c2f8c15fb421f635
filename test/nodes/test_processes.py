"""Nodes as processes: one clear line and a code on bad parameters, a clean end on Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image

from action_recognition.nodes.qos import image_qos


@pytest.fixture
def start(domain_id):
    """Starts a node in a process; it is killed if the test leaves it behind."""
    processes = []

    def start(node, *arguments):
        process = subprocess.Popen(
            [sys.executable, '-m', f'action_recognition.nodes.{node}', '--ros-args', *arguments],
            env=os.environ | {'ROS_DOMAIN_ID': str(domain_id)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def finish(process):
    output, _ = process.communicate(timeout=60)
    assert 'Traceback' not in output, output
    return process.returncode, output


@pytest.mark.parametrize(
    ('node', 'arguments', 'reason'),
    [
        ('camera', ['-p', 'rate:=-1.0'], 'rate'),
        ('camera', ['-p', 'rate:=fast'], 'rate'),
        ('camera', ['-p', 'rate:=20'], 'with a decimal point'),
        ('camera', ['-p', 'max_size:=1.5'], "expecting type 'INTEGER': max_size\n"),
        ('camera', ['-p', 'lockstep:=sometimes'], 'parameter lockstep must be one of'),
        ('camera', ['-p', 'source:=/no/such.mp4'], "source '/no/such.mp4' does not exist"),
        ('camera', [], 'parameter source is empty'),
        ('behavior', ['-p', 'rules:=/no/such.yaml'], 'cannot read the behaviour rules'),
        ('recognizer', ['-p', 'model:=nothing'], "no weights named 'nothing'"),
        ('perception', ['-p', 'model:=nothing'], "no weights named 'nothing'"),
        ('pipeline', ['-p', 'model:=nothing'], "no weights named 'nothing'"),
    ],
)
def test_bad_parameters(start, node, arguments, reason):
    code, output = finish(start(node, *arguments))
    assert code == 1
    assert reason in output
    assert len(output.strip().splitlines()) == 1, output


def test_missing_parameter_file(start):
    code, output = finish(start('behavior', '--params-file', '/no/such.yaml'))
    assert code == 1
    assert output.splitlines()[-1].endswith('Error opening YAML file')


def test_interrupt_twice(start, graph):
    process = start('camera', '-p', 'source:=topic')
    reports = graph.collect(DiagnosticArray, '/diagnostics', 10)
    graph.until(lambda: reports)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    code, _ = finish(process)
    assert code == 0


def test_terminate(start, graph):
    process = start('camera', '-p', 'source:=topic')
    reports = graph.collect(DiagnosticArray, '/diagnostics', 10)
    graph.until(lambda: reports)
    process.terminate()
    code, _ = finish(process)
    assert code == 0


def test_a_file_ends_the_process_when_asked(start, graph, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((480, 640, 3), 77, np.uint8))
    images = graph.collect(Image, 'image', image_qos())
    process = start('camera', '-p', f'source:={tmp_path}', '-p', 'exit_at_end:=true')
    graph.until(lambda: process.poll() is not None)
    code, output = finish(process)
    assert code == 0
    assert '1 frames read, 1 published' in output
    assert len(images) <= 1  # best effort
