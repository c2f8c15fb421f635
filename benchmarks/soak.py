"""Runs the graph for long under faults at random, and says whether it kept its promises.

    make soak ARGS='--minutes 20'

Half of the time goes to separate processes, half to perception and recognizer in one. A camera
process plays made-up pictures at 10 Hz through the real pose network and recogniser; what counts
is that every image has its answer again within a second of good input.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from action_recognition.cli.graph import free_domain
from action_recognition.errors import UserError

#: Seconds from the first good image, with all nodes active, to the first answer.
PROMISE = 1.0
#: Seconds for a process to load its model on a busy computer.
START_TIMEOUT = 120.0
#: Share by which a process may grow after its warm-up (s), and the seconds that must be seen of it.
GROWTH, WARM_UP, LONG = 0.01, 60.0, 120.0
STALL = 5.0
#: More than a broken image of ours holds.
BROKEN_BYTES = 1000
PAGE = os.sysconf('SC_PAGE_SIZE')


@dataclass
class Life:
    """One process from its start to its end; samples are (s, resident bytes, threads, files)."""

    name: str
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, int, int, int]] = field(default_factory=list)

    def sample(self) -> None:
        """Look at the process once."""
        proc = Path(f'/proc/{self.process.pid}')
        try:
            resident = int((proc / 'statm').read_text().split()[1]) * PAGE
            counts = [sum(1 for _ in (proc / part).iterdir()) for part in ('task', 'fd')]
        except (OSError, ValueError, IndexError):  # it has just ended
            return
        self.samples.append((time.monotonic() - self.began, resident, *counts))

    def growth(self) -> float | None:
        """Of median resident memory, last quarter against first; None if it was seen too short."""
        rows = [row for row in self.samples if row[0] > WARM_UP]
        if len(rows) < 8 or rows[-1][0] - rows[0][0] < LONG:
            return None
        part = len(rows) // 4
        first, last = (
            statistics.median(r[1] for r in some) for some in (rows[:part], rows[-part:])
        )
        return last / first - 1


class Soak:
    """One graph under faults.

    Args:
        stages: the processes beside the camera.
        seed: of the schedule and of what is broken.
        folder: for pictures.
    """

    def __init__(self, stages: Sequence[str], seed: int, folder: Path) -> None:
        from sensor_msgs.msg import Image

        from action_recognition.msg import ActionLabelArray, SkeletonArray
        from action_recognition.nodes.common import image_qos, result_qos
        from action_recognition.nodes.session import Session

        self.stages = stages
        self.chance, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.folder = folder
        self.lives: list[Life] = []
        self.running: dict[str, Life] = {}
        self.resumed: dict[str, list[float]] = defaultdict(list)
        self.crashes: list[str] = []
        self.size, self.start_time = 320, 1e6
        for i in range(30):
            picture = self.rng.integers(0, 256, (240, 320, 3), np.uint8)
            cv2.imwrite(str(folder / f'{i:02}.png'), picture)
        domain = free_domain()
        self.environment = {
            'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }
        self.seen = self.answered = 0.0
        self.session = Session(domain, lambda name, data, stamp: None)
        node = self.session._node
        self.images = node.create_publisher(Image, 'image', image_qos())
        self.skeletons = node.create_publisher(SkeletonArray, 'skeletons', result_qos())
        node.create_subscription(Image, 'image', self._on_image, image_qos(), raw=True)
        # The session records each stamp once; a camera that starts again repeats its stamps.
        node.create_subscription(
            ActionLabelArray, 'actions', self._on_actions, result_qos(), raw=True
        )

    def _on_actions(self, data: bytes) -> None:
        self.answered = time.monotonic()

    def _on_image(self, data: bytes) -> None:
        if len(data) > BROKEN_BYTES:  # not one that we broke
            self.seen = time.monotonic()

    def start(self, name: str) -> None:
        """Start a process."""
        values: dict[str, object] = {}
        if name == 'camera':
            values = {'source': self.folder, 'loop': 'true', 'rate': '10.0', 'max_size': self.size}
            values['start_time'] = self.start_time
        elif name != 'recognizer':
            values = {'input_size': 64, 'runtime': 'torch'}
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
        while time.monotonic() < end:
            self.session.spin(min(0.05, max(0.0, end - time.monotonic())))
        for name, life in list(self.running.items()):
            life.sample()
            if (code := life.process.poll()) is not None:
                self.crashes.append(f'{name} ended with code {code}')
                self.start(name)

    def resume(self) -> float:
        """Seconds from good input, with everybody active, to the first answer.

        Raises:
            UserError: there is none for long.
        """
        deadline = time.monotonic() + START_TIMEOUT
        names = ('perception', 'recognizer')
        while not all(self.session.state(name) == 'active' for name in names):
            self._check(deadline)
        active = time.monotonic()
        while self.seen <= active:
            self._check(deadline)
        good = self.seen
        while self.answered < good:
            self._check(deadline)
        return self.answered - good

    def _check(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise UserError(f'no labels within {START_TIMEOUT:g} s: the graph is broken')
        self.spin(0.02)

    def inject(self, fault: str) -> None:
        """Do this to the graph."""
        getattr(self, f'fault_{fault}')()

    def fault_killed_camera(self) -> None:
        self.end('camera')
        self.start('camera')

    def fault_killed_stage(self) -> None:
        name = self.chance.choice(self.stages)
        self.end(name)
        self.start(name)

    def fault_other_resolution(self) -> None:
        self.size = 160 if self.size == 320 else 320
        self.fault_killed_camera()

    def fault_clock_back(self) -> None:
        self.start_time -= 3600
        self.fault_killed_camera()

    def fault_clock_forward(self) -> None:
        self.start_time += 7200
        self.fault_killed_camera()

    def fault_stall(self) -> None:
        camera = self.running['camera'].process
        camera.send_signal(signal.SIGSTOP)
        self.spin(STALL)
        camera.send_signal(signal.SIGCONT)

    def fault_broken_skeletons(self) -> None:
        for _ in range(100):
            self.skeletons.publish(self.rng.bytes(int(self.rng.integers(1, 400))))

    def fault_broken_images(self) -> None:
        from sensor_msgs.msg import Image

        for _ in range(20):
            width, height, step = (int(n) for n in self.rng.integers(0, 2**32, 3))
            self.images.publish(Image(encoding='bgr8', width=width, height=height, step=step))

    def fault_lifecycle(self) -> None:
        from lifecycle_msgs.msg import Transition as T

        name = self.chance.choice(('perception', 'recognizer'))
        ways = (T.TRANSITION_DEACTIVATE, T.TRANSITION_CLEANUP, T.TRANSITION_CONFIGURE)
        for way in (*ways, T.TRANSITION_ACTIVATE):
            self.session.switch(name, way)

    def run(self, seconds: float, pause: float) -> None:
        """Inject faults until the time is up, every one once before any comes again."""
        try:
            for name in (*self.stages, 'camera'):
                self.start(name)
            self.resume()
            end, bag = time.monotonic() + seconds, []
            while time.monotonic() < end:
                bag = bag or self.chance.sample(FAULTS, len(FAULTS))
                fault = bag.pop()
                self.inject(fault)
                self.resumed[fault].append(self.resume())
                self.spin(pause)
        finally:
            for name in list(self.running):
                self.end(name)
            self.session.close()


FAULTS = [name.removeprefix('fault_') for name in vars(Soak) if name.startswith('fault_')]


def report(soak: Soak) -> list[str]:
    """Print what it held; the promises that were broken."""
    broken = list(soak.crashes)
    print(f'\n{" + ".join(soak.stages)}\n{"fault":20}{"times":>6}{"p50 s":>8}{"max s":>8}')
    for fault, times in sorted(soak.resumed.items()):
        print(f'{fault:20}{len(times):6}{statistics.median(times):8.3f}{max(times):8.3f}')
        if max(times) > PROMISE:
            broken.append(f'{fault}: labels came back after {max(times):.2f} s')
    for life in soak.lives:
        growth = life.growth()
        if life.samples:
            _, rss, threads, files = life.samples[-1]
            grown = 'seen too short' if growth is None else f'{100 * growth:+.2f} %'
            print(f'{life.name}: {rss >> 20} MB, {threads} threads, {files} files, growth {grown}')
        if growth is not None and growth > GROWTH:
            broken.append(f'{life.name} grew by {100 * growth:.2f} %')
    print(f'crashes: {len(soak.crashes)}')
    return broken


def main(argv: Sequence[str] | None = None) -> int:
    """Run both graphs; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--minutes', type=float, default=20.0, help='of both graphs together')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--pause', type=float, default=5.0, help='seconds between two faults')
    args = parser.parse_args(argv)
    broken = []
    try:
        for stages in (('perception', 'recognizer'), ('pipeline',)):
            with tempfile.TemporaryDirectory() as folder:
                soak = Soak(stages, args.seed, Path(folder))
                soak.run(args.minutes * 30, args.pause)
            broken += report(soak)
    except UserError as error:
        broken.append(str(error))
    for promise in broken:
        print(f'broken: {promise}', file=sys.stderr)
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
