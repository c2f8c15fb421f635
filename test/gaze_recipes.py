"""A world to look at: a network that draws the maps of people it is told of, in any crop."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from made_up_people import STANDING

from action_recognition.pose.estimator import EstimatorConfig, NetworkEstimator
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.targets import encode
from action_recognition.skeleton import NUM_JOINTS, Poses

#: Pixels of the image, and ns from one to the next.
WIDTH, HEIGHT = 320, 240
FRAME = 40_000_000


def ramp(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """An image whose pixels tell where they are: blue x / 2, green y / 2, red 200."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x / 2, y / 2, np.full_like(x, 200)], -1).round().astype(np.uint8)


class World:
    """Stands in for a runtime: draws the maps of `people`, wherever in a ramp an input was cut.

    Scale and place of an input are fitted to its pixels, so nothing here knows how it was cut.

    Attributes:
        people: (n, 14, 2) joints in pixels of the ramp.
        sizes: a person is drawn if this many pixels tall in the input.
        shapes: of all inputs so far.
    """

    name, device = 'oracle float32', 'cpu'

    def __init__(self, *people, sizes=(20, 400)):
        self.people = np.array(people).reshape(-1, NUM_JOINTS, 2)
        self.sizes = sizes
        self.shapes = []

    def __call__(self, images):
        self.shapes.append(images.shape)
        maps = [self._draw(image) for image in images]
        return StageOutput(*(torch.cat(part) for part in zip(*maps, strict=True)))

    def _draw(self, image):
        v, u = np.nonzero((image[..., 2] == 200) & (image[..., 0] != 114))
        (scale_x, left), (scale_y, top) = (
            np.polyfit(2.0 * image[v, u, channel], place, 1) for channel, place in ((0, u), (1, v))
        )
        xy = self.people * (scale_x, scale_y) + (left, top)
        tall = np.nanmax(xy[..., 1], axis=1, initial=0) - np.nanmin(xy[..., 1], 1, initial=1e9)
        xy = xy[(tall >= self.sizes[0]) & (tall <= self.sizes[1])]
        people = torch.from_numpy(xy)[None].float()
        there = torch.ones(people.shape[:2], dtype=torch.bool)
        if not len(xy):
            people, there = torch.full((1, 1, NUM_JOINTS, 2), torch.nan), ~torch.ones(1, 1).bool()
        targets = encode(people, there, (image.shape[0] // 8, image.shape[1] // 8))
        return targets.joints, targets.limbs

    @property
    def glances(self):
        """What every call was for: 'full', or how many crops."""
        return [shape[0] if shape[1] == shape[2] else 'full' for shape in self.shapes]


def standing(*necks: tuple[float, float], size: float = 1.0) -> list[np.ndarray]:
    """Standing people with their necks at these points, 100 px tall at size 1."""
    return [STANDING * size + np.array(neck) for neck in necks]


def known(
    *people: np.ndarray,
    ids: Iterable[int] | None = None,
    score: float = 0.8,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Poses:
    """People as a tracker expects them; by default their ids count from 1."""
    xy = np.array(people).reshape(-1, NUM_JOINTS, 2)
    ids = range(1, len(xy) + 1) if ids is None else ids
    return Poses(xy, np.full(xy.shape[:2], score), np.array(list(ids)), 0, size)


def gaze_at(world: World, **look) -> Gaze:
    """A gaze by small crops that sees the whole image almost never, but for what `look` says."""
    look = {'mode': 'crops', 'full_every': 100, 'crop_size': 128} | look
    return Gaze(NetworkEstimator(world, EstimatorConfig(224), 'test'), LookConfig(**look))


def started(world: World, *people: np.ndarray, **look) -> Gaze:
    """A gaze that has seen the whole image and then crops of these people."""
    gaze = gaze_at(world, **look)
    gaze.look(ramp(), 0, Poses.empty(0, (WIDTH, HEIGHT)))
    gaze.look(ramp(), 1, known(*people))
    world.shapes.clear()
    return gaze


def found_people(poses: Poses) -> np.ndarray:
    """The people found, from left to right."""
    return poses.xy[np.argsort(np.nanmean(poses.xy[..., 0], 1))]
