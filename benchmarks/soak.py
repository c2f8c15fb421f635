"""Runs the graph for long under faults at random, and says whether it kept its promises.

    make soak ARGS='--minutes 20'

Half of the time goes to separate processes, half to perception and recognizer in one. A camera
process plays made-up pictures at 10 Hz through the real pose network and recogniser; what counts
is that every image has its answer again within a second of good input. In the first part of each
half nothing is killed, so that the memory of every process is seen over a long life.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from soak_faults import BROKEN_BYTES, HARMLESS, LETHAL, SIZES, Fault

from action_recognition import fastdds, weights
from action_recognition.benchmarking.lives import LONG, Life
from action_recognition.benchmarking.results import markdown
from action_recognition.cli.graph import free_domain
from action_recognition.errors import UserError
from action_recognition.pose.backends.registry import DEFAULT_MODEL
from action_recognition.stages.recognition import DEFAULT_RECOGNIZER

#: Seconds from the first good image, with all nodes active, to the first answer.
PROMISE = 1.0
#: Seconds for a process to load its model on a busy computer.
START_TIMEOUT = 120.0
#: Seconds after a fault, in which a camera that stood still catches up, and before the next one, in
#: which the last images get their labels: what is lost in them does not count.
SETTLE = 0.5
#: Images of the camera that are kept, to be sent again: half a second, which is late, not a jump.
KEPT = 5
#: Of each half, what nothing is killed in.
QUIET = 0.6
#: The nodes of a process that have weights, and which.
WEIGHTS = {'perception': DEFAULT_MODEL, 'recognizer': DEFAULT_RECOGNIZER}


@dataclass
class Period:
    """What was seen in one part of a run.

    Attributes:
        images: of the camera.
        dropped: those of them that perception passed over for a newer one.
        calm: those of them that came while no fault was near.
        calm_answered: those of these that got labels.
        latencies: ms from when an image was published to when its labels came.
    """

    name: str
    seconds: float = 0.0
    faults: int = 0
    images: int = 0
    dropped: int = 0
    calm: int = 0
    calm_answered: int = 0
    latencies: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float | None]:
        """What the columns of the table need besides."""
        p50, p95 = np.percentile(self.latencies, (50, 95)) if self.latencies else (None, None)
        return {
            'minutes': self.seconds / 60,
            'labelled': len(self.latencies),
            'lost': self.calm - self.calm_answered,
            'p50': p50,
            'p95': p95,
        }


@dataclass(frozen=True)
class Shown:
    """An image that waits for its labels: when it was published (ns of the clock)."""

    sent: int
    period: Period
    calm: bool


class Soak:
    """One graph under faults.

    Args:
        stages: the processes beside the camera.
        seed: of the schedule and of what is broken.
        folder: for pictures and weights.
    """

    def __init__(self, stages: Sequence[str], seed: int, folder: Path) -> None:
        from rcl_interfaces.srv import SetParameters
        from sensor_msgs.msg import Image

        from action_recognition.msg import ActionLabelArray, SkeletonArray
        from action_recognition.nodes.qos import image_qos, result_qos
        from action_recognition.nodes.session import Session

        self.stages = stages
        self.chance, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.folder = folder
        self.lives: list[Life] = []
        self.running: dict[str, Life] = {}
        self.periods: list[Period] = []
        self.resumed: dict[str, list[float]] = defaultdict(list)
        self.broken: list[str] = []
        self.size, self.start_time = SIZES[0], 1e6
        self._make_files()
        domain = free_domain()
        self.environment = {
            'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }
        self.calm = False
        self.waiting: dict[int, Shown] = {}
        self.kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self.since = self.good = self.back = self.drops = 0
        # Not by shared memory: Fast DDS may crash when it gives that back, where somebody with whom
        # it was shared has been killed (docs/faults.md), and so would lose the report.
        os.environ[fastdds.TRANSPORT_VARIABLES[-1]] = 'UDPv4'
        self.session = Session(domain, lambda name, data, stamp: None)
        del os.environ[fastdds.TRANSPORT_VARIABLES[-1]]
        node = self.session._node
        qos = image_qos()
        self.images = node.create_publisher(Image, 'image', qos)
        self.skeletons = node.create_publisher(SkeletonArray, 'skeletons', result_qos())
        self.parameters = node.create_client(SetParameters, 'camera/set_parameters')
        qos.depth = 10  # we look at several processes while images come
        # Before the answers, which are then taken in after their images.
        node.create_subscription(Image, 'image', self._on_image, qos, raw=True)
        # The session records each stamp once; a camera that starts again repeats its stamps.
        node.create_subscription(
            ActionLabelArray, 'actions', self._on_actions, result_qos(), raw=True
        )

    def _make_files(self) -> None:
        self.pictures = self.folder / 'pictures'
        self.pictures.mkdir()
        for i in range(30):
            picture = self.rng.integers(0, 256, (120, 160, 3), np.uint8)
            cv2.imwrite(str(self.pictures / f'{i:02}.png'), picture)
        self.weights = {}
        for node, name in WEIGHTS.items():
            self.weights[node] = self.folder / f'{node}.safetensors'
            shutil.copy(weights.find(name), self.weights[node])

    def _on_image(self, data: bytes, info: Mapping[str, int]) -> None:
        from action_recognition.nodes.bag_player import header_stamp

        if len(data) < BROKEN_BYTES:  # one that we broke
            return
        stamp = header_stamp(data)
        if any(stamp == kept for kept, _ in self.kept):  # one that we sent again
            return
        self.kept.append((stamp, data))
        period, sent = self.periods[-1], info['source_timestamp']
        period.images += 1
        period.calm += self.calm
        self.waiting[stamp] = Shown(sent, period, self.calm)
        if sent > self.since and not self.good:
            self.good = sent

    def _on_actions(self, data: bytes, info: Mapping[str, int]) -> None:
        from action_recognition.nodes.bag_player import header_stamp

        shown = self.waiting.pop(header_stamp(data), None)
        if shown is None:
            return
        came = info['received_timestamp']
        shown.period.latencies.append((came - shown.sent) * 1e-6)
        shown.period.calm_answered += shown.calm
        if shown.sent > self.since and not self.back:
            self.back = came

    def start(self, name: str) -> None:
        """Start a process."""
        values: dict[str, object] = {}
        if name == 'camera':
            values = {'source': self.pictures, 'loop': 'true', 'rate': '10.0'}
            values |= {'max_size': self.size, 'start_time': self.start_time}
        if name in ('perception', 'pipeline'):
            values = {'input_size': 64, 'runtime': 'torch'}
        for node, path in self.weights.items():
            if name in (node, 'pipeline'):
                values[f'{node}:model'] = path
        command = [sys.executable, '-m', 'action_recognition.cli', 'run', name]
        for key, value in values.items():
            command += ['-p', f'{key}:={value}']
        process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.running[name] = Life(name, process)
        self.lives.append(self.running[name])

    def end(self, name: str) -> None:
        """Kill a process without notice."""
        process = self.running.pop(name).process
        process.kill()
        process.wait()

    def spin(self, seconds: float) -> None:
        """Take in results; a process that has ended by itself is a crash, and is started again."""
        end = time.monotonic() + seconds
        while True:
            self.session.spin(min(0.05, max(0.0, end - time.monotonic())))
            for name, life in list(self.running.items()):
                life.sample()
                if (code := life.process.poll()) is not None:
                    self.broken.append(f'{name} ended by itself with code {code}')
                    self.start(name)
            if time.monotonic() >= end:
                return

    def resume(self) -> float:
        """Seconds from good input, with everybody active, to the first answer.

        Raises:
            UserError: there is none for long.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while not all(self.session.state(name) == 'active' for name in WEIGHTS):
            self._check(deadline)
        self.since, self.good, self.back = time.time_ns(), 0, 0
        while not self.back:
            self._check(deadline)
        return (self.back - self.good) * 1e-9

    def _check(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise UserError(f'no labels within {START_TIMEOUT:g} s: the graph is broken')
        self.spin(0.02)

    def switch(self, name: str, *ways: int) -> None:
        """Take a node through transitions that must succeed."""
        for way in ways:
            if not self.session.switch(name, way):
                self.broken.append(f'{name} does not go through transition {way}')

    def set_camera(self, **values: Any) -> None:
        """What a camera driver that starts again does, with other parameters."""
        from lifecycle_msgs.msg import Transition as T
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        self.switch('camera', T.TRANSITION_DEACTIVATE)
        request = SetParameters.Request(
            parameters=[Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        )
        future = self.parameters.call_async(request)
        deadline = time.monotonic() + START_TIMEOUT
        while not future.done():
            self._check(deadline)
        if not all(result.successful for result in future.result().results):
            self.broken.append(f'camera refuses {values}')
        self.kept.clear()
        self.switch('camera', T.TRANSITION_ACTIVATE)

    def run(self, seconds: float, pause: float) -> None:
        """Inject faults until the time is up, every one once before any comes again."""
        try:
            self.periods.append(Period('start'))
            for name in (*self.stages, 'camera'):
                self.start(name)
            self.resume()
            self._period('nothing is killed', HARMLESS, seconds * QUIET, pause)
            self._period('processes are killed', LETHAL | HARMLESS, seconds * (1 - QUIET), pause)
        finally:
            for name in list(self.running):
                self.end(name)
            self.session.close()

    def _period(self, name: str, faults: Mapping[str, Fault], seconds: float, pause: float) -> None:
        period, began, bag = Period(name), time.monotonic(), list[str]()
        self.periods.append(period)
        while time.monotonic() < began + seconds:
            bag = bag or self.chance.sample(list(faults), len(faults))
            fault = bag.pop()
            faults[fault](self)
            self.resumed[fault].append(self.resume())
            period.faults += 1
            self.spin(SETTLE)
            self.calm = True
            self.spin(pause)
            self.calm = False
            self.spin(SETTLE)
            self._count_drops(period)
        period.seconds = time.monotonic() - began

    def _count_drops(self, period: Period) -> None:
        before = self.drops
        self.drops = self.session.counts['perception'].get('dropped', 0)
        # A process that was started again counts from 0.
        period.dropped += self.drops - (before if self.drops >= before else 0)


def report(soak: Soak) -> list[str]:
    """Print what it held, as tables for docs/faults.md; the promises that were broken."""
    print(f'\n{" + ".join(soak.stages)}\n')
    print(markdown([vars(p) | p.figures() for p in soak.periods if p.faults], PERIODS) + '\n')
    broken = list(soak.broken)
    rows = []
    for fault, times in sorted(soak.resumed.items()):
        most = max(times)
        rows.append({'fault': fault, 'n': len(times), 'p50': statistics.median(times), 'max': most})
        if most > PROMISE:
            broken.append(f'{fault}: labels came back after {most:.2f} s')
    print(markdown(rows, RESUMED) + '\n')
    grown = [(life, growth) for life in soak.lives if (growth := life.growth())]
    rows = []
    for name in sorted({life.name for life, _ in grown}):
        lives = [(life, growth) for life, growth in grown if life.name == name]
        life, growth = max(lives, key=lambda pair: pair[1].seconds)
        last = vars(life.samples[-1]) | {'mb': life.samples[-1].resident >> 20, 'of': len(lives)}
        short = '' if growth.seconds >= LONG else ' (too short)'
        rows.append({'process': name, **last, 'growth': growth, 'short': short})
        broken += [f'{name} {growth.text()}' for _, growth in lives if growth.is_broken()]
    print(markdown(rows, LIVES))
    return broken


#: Columns of the tables.
PERIODS = {
    'part': '{name}',
    'minutes': '{minutes:.1f}',
    'faults': '{faults}',
    'images': '{images}',
    'labelled': '{labelled}',
    'dropped': '{dropped}',
    'between faults': '{calm}',
    'of these lost': '{lost}',
    'image to label p50, ms': '{p50:.0f}',
    'p95, ms': '{p95:.0f}',
}
RESUMED = {'fault': '{fault}', 'times': '{n}', 'back p50, s': '{p50:.2f}', 'max, s': '{max:.2f}'}
LIVES = {
    'process': '{process}',
    'lives': '{of}',
    'MB': '{mb}',
    'threads': '{threads}',
    'files': '{files}',
    'growth': '{growth.percent:+.2f} %',
    'more threads': '{growth.threads:+g}',
    'more files': '{growth.files:+g}',
    'in, s': '{growth.seconds:.0f}{short}',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run both graphs; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--minutes', type=float, default=20.0, help='of both graphs, at least 3')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--pause', type=float, default=5.0, help='seconds between two faults')
    args = parser.parse_args(argv)
    if args.minutes < 3:
        parser.error('--minutes: at least 3, or not every fault comes')
    broken = []
    for stages in (('perception', 'recognizer'), ('pipeline',)):
        with tempfile.TemporaryDirectory() as folder:
            soak = Soak(stages, args.seed, Path(folder))
            try:
                soak.run(args.minutes * 30, args.pause)
            except UserError as error:
                broken.append(f'{" + ".join(stages)}: {error}')
            if soak.resumed:
                broken += report(soak)
    print('\nbroken promises: ' + ('; '.join(broken) or 'none'))
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
