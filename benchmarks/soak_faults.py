"""The faults that `soak.py` injects into its graph, under the names that its tables give them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soak import Soak

Fault = Callable[['Soak'], None]

#: Seconds for which a camera stands still.
STALL = 5.0
#: Longer sides of images, of which each fits into a packet of UDP.
SIZES = (160, 128)
#: More than a broken image of ours holds.
BROKEN_BYTES = 1000


def killed_camera(soak: Soak) -> None:
    """The camera ends without notice, and is started again."""
    soak.end('camera')
    soak.kept.clear()
    soak.start('camera')


def killed_stage(soak: Soak) -> None:
    """A process beside the camera ends without notice, and is started again."""
    name = soak.chance.choice(soak.stages)
    soak.end(name)
    soak.start(name)


def other_resolution(soak: Soak) -> None:
    """The images have another size from now on."""
    soak.size = SIZES[soak.size == SIZES[0]]
    soak.set_camera(max_size=soak.size)


def clock_back(soak: Soak) -> None:
    """The stamps go back by an hour."""
    soak.start_time -= 3600
    soak.set_camera(start_time=soak.start_time)


def clock_forward(soak: Soak) -> None:
    """The stamps go on two hours later."""
    soak.start_time += 7200
    soak.set_camera(start_time=soak.start_time)


def stall(soak: Soak) -> None:
    """The camera stands still for a while."""
    camera = soak.running['camera'].process
    camera.send_signal(signal.SIGSTOP)
    soak.spin(STALL)
    camera.send_signal(signal.SIGCONT)


def repeated_and_late(soak: Soak) -> None:
    """The last images come again, the latest first."""
    for _ in range(3):
        for _, data in reversed(list(soak.kept)):
            soak.images.publish(data)
        soak.spin(0.1)


def broken_skeletons(soak: Soak) -> None:
    """Bytes that are no message come as skeletons."""
    for _ in range(100):
        soak.skeletons.publish(soak.rng.bytes(int(soak.rng.integers(1, 400))))


def broken_images(soak: Soak) -> None:
    """Images come without pixels, of any size they claim."""
    from sensor_msgs.msg import Image

    for _ in range(20):
        width, height, step = (int(n) for n in soak.rng.integers(0, 2**32, 3))
        soak.images.publish(Image(encoding='bgr8', width=width, height=height, step=step))


def lost_weights(soak: Soak) -> None:
    """The weights of a node are gone, and come back; without them it must not become active."""
    from lifecycle_msgs.msg import Transition as T

    name = soak.chance.choice(list(soak.weights))
    path = soak.weights[name]
    aside = path.rename(path.with_suffix('.aside'))
    soak.resume()  # it runs on
    soak.switch(name, T.TRANSITION_DEACTIVATE)
    if soak.session.switch(name, T.TRANSITION_ACTIVATE):
        soak.broken.append(f'{name} became active without weights')
    aside.rename(path)
    soak.switch(name, T.TRANSITION_ACTIVATE)


def lifecycle(soak: Soak) -> None:
    """A node goes through all transitions and is active again."""
    from lifecycle_msgs.msg import Transition as T

    ways = (T.TRANSITION_DEACTIVATE, T.TRANSITION_CLEANUP, T.TRANSITION_CONFIGURE)
    soak.switch(soak.chance.choice(list(soak.weights)), *ways, T.TRANSITION_ACTIVATE)


#: Those by which processes end.
LETHAL: dict[str, Fault] = {fault.__name__: fault for fault in (killed_camera, killed_stage)}
HARMLESS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        other_resolution,
        clock_back,
        clock_forward,
        stall,
        repeated_and_late,
        broken_skeletons,
        broken_images,
        lost_weights,
        lifecycle,
    )
}
