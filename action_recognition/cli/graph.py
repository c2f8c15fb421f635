"""Plays a source through a graph of its own and gathers what comes out."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lifecycle_msgs.msg import Transition
from tqdm import tqdm

from action_recognition.cli.children import Children
from action_recognition.datasets.bag_writer import BagWriter
from action_recognition.errors import UserError
from action_recognition.nodes.images import BgrImage
from action_recognition.nodes.session import RESULT_TYPES, STAGES, Session

#: Longer side of the images on their way: the network looks at less.
MAX_SIZE = 960
#: Seconds: loading models on a small, busy computer takes most of a minute.
START_TIMEOUT = 180.0
#: Seconds for everybody to find everybody, after we have found all.
DISCOVERY_TIME = 1.0
#: Seconds for the last results and diagnostics, which come once a second.
SETTLE_TIMEOUT = 10.0
#: Safe on Linux; 0 is everybody's. A node of the domain listens at this UDP port.
DOMAINS = range(1, 102)
FIRST_PORT, PORTS_PER_DOMAIN = 7410, 250


@dataclass(frozen=True)
class Recipe:
    """What to play, and through what.

    Attributes:
        source: what `open_source` takes.
        live: whether frames come at their own pace; otherwise none is lost.
        keeps_stamps: whether the source has stamps of its own; other files begin at 0.
        length: how many frames it has, where known.
        fps: of the source.
        duration: seconds of the source to play; None: all.
        out: directory for the bag, the logs and the parameters.
        composed: one process instead of three.
        device: for the pose network.
        pose, recognizer: names or paths of weights.
        input_size: of the pose network; None: the node's own.
    """

    source: str
    live: bool
    keeps_stamps: bool
    length: int | None
    fps: float
    duration: float | None
    out: Path
    composed: bool
    device: str
    pose: str
    recognizer: str
    input_size: int | None = None

    @property
    def frames(self) -> int | None:
        """How many frames are to come, where that is known."""
        if self.duration is None or self.length is None:
            return self.length
        return min(self.length, round(self.duration * self.fps) + 1)

    def parameters(self) -> dict[str, dict[str, Any]]:
        """The parameters of each node."""
        perception: dict[str, Any] = {'model': self.pose, 'device': self.device}
        if self.input_size is not None:
            perception['input_size'] = self.input_size
        return {
            'camera': {
                'source': self.source,
                'autostart': False,
                'max_size': MAX_SIZE,
                'lockstep': 'off' if self.live else 'actions',
                'start_time': -1.0 if self.live or self.keeps_stamps else 0.0,
            },
            'perception': perception,
            'recognizer': {'model': self.recognizer},
        }


@dataclass(frozen=True)
class FrameCount:
    """Where the frames went: those that came were processed or are named in `dropped`.

    Attributes:
        came: from the source.
        processed: got their labels.
        dropped: how many did not, by the reason.
    """

    came: int
    processed: int
    dropped: dict[str, int]


def count_frames(counts: Mapping[str, Mapping[str, int]], answered: int) -> FrameCount:
    """Account for every frame.

    Args:
        counts: the counters of 'camera' and 'perception'.
        answered: how many frames got labels.
    """
    camera = Counter(counts.get('camera', {}))
    perception = Counter(counts.get('perception', {}))
    rejected = perception['rejected'] + perception['errors']
    handled = perception['processed'] + perception['dropped'] + rejected
    dropped = {
        'damaged in the source': camera['unreadable'],
        'not sent before the end': camera['received'] - camera['published'],
        'lost on the way to perception': camera['published'] - handled,
        'replaced by a newer image': perception['dropped'],
        'rejected by perception': rejected,
        'without an answer of the recognizer': perception['processed'] - answered,
    }
    return FrameCount(
        came=camera['received'] + camera['unreadable'],
        processed=answered,
        dropped={reason: number for reason, number in dropped.items() if number},
    )


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        session: everything that was taken in; closed.
        interrupted: it was ended by Ctrl-C.
        failure: a process of the graph ended on its own.
    """

    session: Session
    interrupted: bool
    failure: UserError | None


def play(
    recipe: Recipe,
    see: Callable[[BgrImage, int], None] | None = None,
    catch_up: Callable[[Session], None] = lambda session: None,
) -> Outcome:
    """Run the graph until the source ends, the time is up, or Ctrl-C.

    Args:
        see: called with each image of a live source.
        catch_up: called some times a second, when new results may be there.

    Raises:
        UserError: the graph does not come up; the message quotes the node that failed.
        KeyboardInterrupt: Ctrl-C before the first frame.
    """
    domain = free_domain()
    environment = {'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    logs = recipe.out / 'logs'
    logs.mkdir()
    topics = {f'/{name}': kind for name, kind in RESULT_TYPES.items()}
    with Children(logs, environment) as children:
        _start(recipe, children)
        with (
            BagWriter(recipe.out / 'bag', topics) as bag,
            Session(domain, lambda name, *rest: bag.write(f'/{name}', *rest), see) as session,
        ):
            camera = 'pipeline' if recipe.composed else 'camera'
            _bring_up(session, children, camera)
            interrupted, failure = False, None
            try:
                _follow(recipe, session, children, catch_up)
            except KeyboardInterrupt:
                interrupted = True
            except UserError as error:
                failure = error
            if failure is None:
                _settle(session)
            catch_up(session)
    return Outcome(session, interrupted, failure)


def free_domain() -> int:
    """A ROS domain that nobody on this machine uses.

    Raises:
        UserError: all are in use.
    """
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', FIRST_PORT + PORTS_PER_DOMAIN * domain))
            except OSError:
                continue
            return domain
    raise UserError('all ROS domains from 1 to 101 are in use on this machine: end other graphs')


def _start(recipe: Recipe, children: Children) -> None:
    path = recipe.out / 'graph.yaml'
    nodes = {name: {'ros__parameters': values} for name, values in recipe.parameters().items()}
    path.write_text(yaml.safe_dump(nodes, sort_keys=False))
    for name in ('pipeline',) if recipe.composed else STAGES:
        children.start(name, ['run', name, '--params-file', str(path)])


def _bring_up(session: Session, children: Children, camera: str) -> None:
    """Switch the camera on once everybody listens, so that no frame is sent to nobody."""
    conditions = {
        'perception is not active': lambda: session.state('perception') == 'active',
        'the recognizer is not active': lambda: session.state('recognizer') == 'active',
        'the camera does not answer': lambda: session.state('camera') == 'unconfigured',
        'no results are announced': session.is_heard,
    }
    deadline = time.monotonic() + START_TIMEOUT
    for complaint, condition in conditions.items():
        while not condition():
            children.check()
            if time.monotonic() > deadline:
                raise UserError(f'the graph does not start: {complaint} after {START_TIMEOUT:g} s')
            session.spin(0.1)
    session.spin(DISCOVERY_TIME)
    transitions = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    if not all(session.switch('camera', transition) for transition in transitions):
        raise UserError(f'the camera does not start: {children.last_words(camera)}')


def _follow(
    recipe: Recipe, session: Session, children: Children, catch_up: Callable[[Session], None]
) -> None:
    """Take in results to the end."""
    with tqdm(total=recipe.frames, desc='processing', unit='frame', disable=None) as bar:
        while session.messages.get('camera') != 'finished':
            session.spin(0.1)
            children.check()
            catch_up(session)
            bar.update(len(session.moments) - bar.n)
            if recipe.duration is not None and session.span() >= recipe.duration:
                return


def _settle(session: Session) -> None:
    """Stop the camera and wait until every image that is on its way has been counted."""
    session.switch('camera', Transition.TRANSITION_DEACTIVATE)
    deadline = time.monotonic() + SETTLE_TIMEOUT
    enough = None
    while time.monotonic() < deadline:
        session.spin(0.1)
        if session.states.get('camera') != 'inactive':
            continue
        # The first report of perception after that may still be older than its last image.
        enough = enough or session.reports['perception'] + 2
        counted = count_frames(session.counts, len(session.moments))
        if not counted.dropped or session.reports['perception'] >= enough:
            return
