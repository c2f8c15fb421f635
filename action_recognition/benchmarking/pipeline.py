"""From the stamp of an image to its labels: the running graph, beside the chain of most tutorials.

Every graph runs in processes of its own and answers to a `Session` in this one, which notes when
the labels of an image come. A camera node plays scenes of some people and stamps each image by the
clock when it hands it over, as a camera's driver would.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lifecycle_msgs.msg import Transition
from tqdm import tqdm

from action_recognition.benchmarking.pipeline_scenes import Cast, save
from action_recognition.cli.children import Children
from action_recognition.cli.graph import DISCOVERY_TIME, START_TIMEOUT, free_domain
from action_recognition.datasets.pixels import BgrImage
from action_recognition.datasets.sources import open_source
from action_recognition.errors import UserError
from action_recognition.nodes.session import Session
from action_recognition.pose.backends.registry import OURS
from action_recognition.pose.estimator import create_estimator
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.stages.perception import Perception
from action_recognition.stages.recognition import DEFAULT_RECOGNIZER, Recognition

#: Seconds of each scene before the clock runs: people get their ids, and queues fill.
SETTLE = 1.5
#: Seconds in which the last answers come.
LINGER = 1.0
#: Of the models alone: frames before the clock runs and while it does, and ns between their stamps.
FIRST_FRAMES, TIMED_FRAMES, STEP = 20, 60, 66_666_667
NAIVE = 'pipeline_naive'
MEMORY, RAW, COMPRESSED = 'memory', 'raw', 'compressed'
#: Size of its images, and how many people it shows.
Scene = tuple[tuple[int, int], int]
ENDED, BEGUN = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE


@dataclass(frozen=True)
class Wiring:
    """How a graph is put together.

    Attributes:
        name: as the table has it.
        transport: how images get to those who look at them.
        processes: name of each and the arguments of its command, without parameters; the camera
            is in the first.
    """

    name: str
    transport: str
    processes: Mapping[str, Sequence[str]]


class Arrivals(dict[int, int]):
    """When the labels of each image came: stamp of the image -> the clock, both ns."""

    def note(self, name: str, data: bytes, stamp: int) -> None:
        """What a `Session` calls with each result."""
        if name == 'actions':
            self[stamp] = time.time_ns()


def _nodes(*names: str) -> dict[str, Sequence[str]]:
    return {name: ('run', name) for name in names}


#: By the names that `--graphs` takes.
GRAPHS = {
    'composed': Wiring('composed', MEMORY, _nodes('pipeline')),
    'composed-raw': Wiring('composed', RAW, _nodes('camera', 'pipeline')),
    'composed-compressed': Wiring('composed', COMPRESSED, _nodes('camera', 'pipeline')),
    'separate-raw': Wiring('separate', RAW, _nodes('camera', 'perception', 'recognizer')),
    'separate-compressed': Wiring(
        'separate', COMPRESSED, _nodes('camera', 'perception', 'recognizer')
    ),
    'naive': Wiring('naive', RAW, {**_nodes('camera'), 'naive': (NAIVE,)}),
}


def run(
    clip: Path,
    graphs: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    people: Sequence[int],
    rate: float,
    seconds: float,
    naive_backend: str = OURS,
    trace: Path | None = None,
) -> list[dict[str, Any]]:
    """One row for each graph, size of the images and number of people, as `measure` gives it.

    Args:
        clip: the sample clip.
        graphs: of `GRAPHS`.
        rate: images per second.
        seconds: measured of each scene.
        naive_backend: what finds people in the naive chain.
        trace: file for the stages of all nodes, of the last graph alone.

    Raises:
        UserError: a graph does not come up; the message quotes the process that failed.
    """
    cast, rows = Cast(clip), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = {}
        for size, number in product(sizes, people):
            scenes[size, number] = folder / f'{size[0]}x{size[1]}_{number}.avi'
            save(cast.scene(size, number), scenes[size, number], rate)
        with tqdm(total=len(graphs) * len(scenes), unit='scene', disable=None) as bar:
            for graph in graphs:
                wiring = GRAPHS[graph]
                bar.set_description(graph)
                # In the same minute as the graph: what else runs on the machine changes.
                floors = floor(scenes)
                scene = folder / 'scene.avi'
                with _running(wiring, folder, scene, naive_backend, trace) as running:
                    for (size, number), path in scenes.items():
                        _show(path, scene)
                        figures = measure(*running, rate, seconds)
                        head = {'graph': wiring.name, 'input': wiring.transport}
                        what = {'size': f'{size[0]}x{size[1]}', 'people': number}
                        alone = summary(floors[size, number], 'floor')
                        beyond = figures['ms_p95'] and figures['ms_p95'] - alone['floor_p95']
                        rows.append({**head, **what, **alone, **figures, 'beyond_p95': beyond})
                        bar.update()
    return rows


def floor(scenes: Mapping[Scene, Path]) -> dict[Scene, npt.NDArray[np.float64]]:
    """Milliseconds of the models alone for each frame: pose, tracking and recognition in Python."""
    estimator = create_estimator()
    recognizer = StreamingRecognizer.from_weights(DEFAULT_RECOGNIZER, 'cpu')
    times = {}
    for scene, path in scenes.items():
        with open_source(str(path)) as source:
            images = [frame.image for frame in islice(source, FIRST_FRAMES + TIMED_FRAMES)]
        perception, recognition = Perception(estimator), Recognition(recognizer)
        perception.gaze.warm_up()
        took = []
        for number, image in enumerate(images):
            begin = time.perf_counter()
            sight = perception.process((number + 1) * STEP, partial(_same, image))
            recognition.process(sight.poses)
            took.append(1e3 * (time.perf_counter() - begin))
            perception.look_around()  # for nobody to wait, as in the node
        times[scene] = np.array(took[FIRST_FRAMES:])
    estimator.close()
    return times


def measure(
    session: Session, arrivals: Arrivals, children: Children, rate: float, seconds: float
) -> dict[str, Any]:
    """Let the camera play for a while.

    Returns:
        'ms_p50' and so on from the stamp of an image to its labels, 'hz' of answers, 'lost' of
        'frames' images, 'tracked' people in an answer on average, and of all processes together
        'cpu_percent' (of one core), 'rss_mb' and 'growth_mb' meanwhile.
    """
    arrivals.clear()
    if not session.switch('camera', BEGUN):
        children.check()
        raise UserError('the camera cannot play its scene')
    session.spin(SETTLE)
    begin, usage = time.time_ns(), [used(pid) for pid in children.pids()]
    session.spin(seconds)
    end, after = time.time_ns(), [used(pid) for pid in children.pids()]
    session.switch('camera', ENDED)
    session.spin(LINGER)
    children.check()
    stamps = sorted(stamp for stamp in arrivals if begin <= stamp < end)
    known = [session.moments[stamp].estimates for stamp in stamps]
    cpu = sum(b[0] - a[0] for a, b in zip(usage, after, strict=True))
    memory = [sum(part[1] for part in moment) for moment in (usage, after)]
    return {
        **summary([(arrivals[stamp] - stamp) * 1e-6 for stamp in stamps], 'ms'),
        **account(stamps, rate, seconds),
        'tracked': float(np.mean([len(labels) for labels in known])) if known else 0.0,
        'cpu_percent': 100 * cpu / ((end - begin) * 1e-9),
        'rss_mb': memory[1] / 1e6,
        'growth_mb': (memory[1] - memory[0]) / 1e6,
    }


def summary(milliseconds: npt.ArrayLike, prefix: str) -> dict[str, float | None]:
    """The 50th, 95th and 99th percentile as '{prefix}_p50' and so on; None of nothing."""
    values = np.asarray(milliseconds, np.float64)
    return {
        f'{prefix}_p{percent}': float(np.percentile(values, percent)) if len(values) else None
        for percent in (50, 95, 99)
    }


def account(stamps: Sequence[int], rate: float, seconds: float) -> dict[str, float]:
    """How many of the images of a steady rate were answered.

    Args:
        stamps: of the answers (ns), in order.
        seconds: in which they were taken; without any answer, all images of that time are lost.

    Returns:
        'hz' of answers, 'frames' there were, and how many of them were 'lost'.
    """
    if not stamps:
        return {'hz': 0.0, 'frames': round(seconds * rate), 'lost': round(seconds * rate)}
    frames = round((stamps[-1] - stamps[0]) * 1e-9 * rate) + 1
    return {'hz': len(stamps) / seconds, 'frames': frames, 'lost': max(frames - len(stamps), 0)}


def used(pid: int) -> tuple[float, int]:
    """Seconds of processor and bytes of memory (RSS) that a process has used, from /proc."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    ticks = int(fields[11]) + int(fields[12])  # utime and stime, fields 14 and 15 from 1
    pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    return ticks / os.sysconf('SC_CLK_TCK'), pages * os.sysconf('SC_PAGE_SIZE')


def republish(clip: Path, frames: int, rate: float = 30.0) -> dict[str, Any]:
    """Send images of 640x480 from process to process to process, raw, and count them at the end.

    Returns:
        'published' by the first camera, 'relayed' by the second, 'dropped' there because a newer
        one had come, 'received' here, and 'lost' on both ways together.
    """
    seen: set[int] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = folder / 'scene.avi'
        save(Cast(clip).scene((640, 480), 1), video, rate)
        domain = free_domain()
        with (
            Children(folder, _environment(domain)) as children,
            Session(domain, Arrivals().note, lambda _, stamp: seen.add(stamp)) as session,
        ):
            player = _camera(video)
            children.start('camera', ['run', 'camera', *player, '-r', 'image:=image_in'])
            second = ['-p', 'source:=topic', '-r', '__node:=relay']
            children.start('relay', ['run', 'camera', *second])
            _await(session, children, {'camera': 'unconfigured'}, ('relay',))
            session.switch('camera', Transition.TRANSITION_CONFIGURE)
            session.spin(DISCOVERY_TIME)
            session.switch('camera', BEGUN)
            end = time.monotonic() + 2 * frames / rate
            while session.counts['camera'].get('published', 0) < frames:
                if time.monotonic() > end:
                    raise UserError('the camera is too slow for its own rate')
                session.spin(0.2)
                children.check()
            session.switch('camera', ENDED)
            reports = session.reports['camera'] + 2, session.reports['relay'] + 2
            while (session.reports['camera'], session.reports['relay']) < reports:
                session.spin(0.2)
            published = session.counts['camera']['published']
            relay = session.counts['relay']
    came, dropped = relay.get('received', 0), relay.get('dropped', 0)
    return {
        'published': published,
        'relayed': relay.get('published', 0),
        'dropped': dropped,
        'received': len(seen),
        'lost': published - came + relay.get('published', 0) - len(seen),
    }


@contextmanager
def _running(
    wiring: Wiring, folder: Path, scene: Path, naive_backend: str, trace: Path | None
) -> Iterator[tuple[Session, Arrivals, Children]]:
    """A graph whose camera is configured; the scene need not be there yet."""
    domain = free_domain()
    composed = wiring.transport == MEMORY
    with Children(folder, _environment(domain)) as children:
        for name, command in wiring.processes.items():
            if command == (NAIVE,):
                module = f'action_recognition.benchmarking.{NAIVE}'
                children.start(name, [naive_backend], module)
                continue
            options = _camera(scene) if name == 'camera' or composed else []
            if not composed and name in ('perception', 'pipeline'):
                options += ['-p', f'image_transport:={wiring.transport}']
            if trace:
                options += ['-p', f'trace:={trace.absolute()}']
            children.start(name, [*command, *options])
        arrivals = Arrivals()
        with Session(domain, arrivals.note) as session:
            states = {'camera': 'unconfigured'}
            if 'naive' not in wiring.processes:
                states |= {'perception': 'active', 'recognizer': 'active'}
            _await(session, children, states, ('actions',))
            if not session.switch('camera', Transition.TRANSITION_CONFIGURE):
                raise UserError('the camera cannot be configured')
            session.spin(DISCOVERY_TIME)
            yield session, arrivals, children


def _await(
    session: Session, children: Children, states: Mapping[str, str], heard: Sequence[str]
) -> None:
    """Until nodes are in these states and these topics have publishers, or nodes have reported."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        there = all(session.state(name) == state for name, state in states.items())
        if there and all(session.is_published(n) or session.reports[n] for n in heard):
            return
        children.check()
        if time.monotonic() > deadline:
            raise UserError(
                f'the graph does not start within {START_TIMEOUT:g} s: it takes {dict(states)} and '
                f'somebody who publishes {", ".join(heard)}'
            )
        session.spin(0.1)


def _camera(scene: Path) -> list[str]:
    """Arguments of a camera that plays a scene again and again, as a live camera would."""
    values = {'source': scene, 'stamp': 'clock', 'loop': 'true', 'camera:autostart': 'false'}
    return [part for name, value in values.items() for part in ('-p', f'{name}:={value}')]


def _environment(domain: int) -> dict[str, str]:
    return {'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}


def _show(video: Path, scene: Path) -> None:
    """Let the name of the scene stand for a video."""
    scene.unlink(missing_ok=True)
    scene.symlink_to(video)


def _same(image: BgrImage) -> BgrImage:
    return image
