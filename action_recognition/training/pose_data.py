"""What the pose network is shown while it learns: labelled people, augmented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from action_recognition.datasets.people import Person, beside
from action_recognition.errors import UserError
from action_recognition.pose.estimator import PADDING
from action_recognition.ranges import SHARE, Range, check
from action_recognition.skeleton import FLIP, NUM_JOINTS, FloatArray

Image = npt.NDArray[np.uint8]

#: People one image of a batch can hold: itself and one pasted beside it.
MAX_PEOPLE = 2


#: What the fields of `Augmentation` may be, and the two of a range of sizes.
AMOUNTS = {
    'rotation': Range(0, 180),
    'upside_down': SHARE,
    'composite': SHARE,
    'occluder': SHARE,
    'degrade': SHARE,
    'empty': SHARE,
}
SIZE = Range(0, 10, above=True)


def check_size_range(found: Any, name: str) -> None:
    """Raises: UserError, it is no pair of sizes of which the second is not the smaller one."""
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise UserError(f'{name} must be two numbers, such as [0.4, 1.0], not {found!r:.60}')
    ends = {f'{name}[{k}]': end for k, end in enumerate(found)}
    check(ends, dict.fromkeys(ends, SIZE))
    if found[0] > found[1]:
        raise UserError(f'{name} must not begin ({found[0]}) above its end ({found[1]})')


@dataclass(frozen=True)
class Augmentation:
    """How training images vary; every field can be set in the training config.

    Attributes:
        size_range: the person's longer side, in parts of the image's side (log-uniform).
        rotation: standard deviation of the turn in the image plane, degrees.
        upside_down: part of the images turned by any angle.
        composite: part of the images that get a second person beside or over the first.
        occluder: part of the images with a plain patch over something.
        degrade: part of the images with each of blur, noise, low light and JPEG artefacts.
        empty: part of the images that are to show what is beside a person, and nobody; the person
            is shown if there is no room beside (`datasets.people.beside`).

    Raises:
        UserError: one of them is out of range.
    """

    size_range: tuple[float, float] = (0.4, 1.0)
    rotation: float = 15.0
    upside_down: float = 0.03
    composite: float = 0.2
    occluder: float = 0.2
    degrade: float = 0.1
    empty: float = 0.0

    def __post_init__(self) -> None:
        check_size_range(self.size_range, 'augmentation.size_range')
        check(vars(self), AMOUNTS, 'augmentation.')


class PoseDataset(Dataset):
    """Augmented square images of one or two people.

    An item is (image (s, s, 3) uint8 BGR, xy (2, 14, 2) pixels with NaN, labelled (2,) bool).
    The same seed and index give the same item.
    """

    def __init__(
        self, people: list[Person], size: int, augmentation: Augmentation, seed: int
    ) -> None:
        self.people = people
        self.size = size
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> tuple[Image, FloatArray, npt.NDArray[np.bool_]]:
        rng = np.random.default_rng((self.seed, index))
        person = self.people[index]
        if rng.random() < self.augmentation.empty:
            strips = beside(person)
            if strips:
                return self._empty(strips[int(rng.integers(len(strips)))], rng)
        image, xy = self._person(person, rng)
        people = [xy]
        if rng.random() < self.augmentation.composite:
            other = self.people[int(rng.integers(len(self.people)))]
            image, people = paste(image, xy, *self._person(other, rng), rng)
        if rng.random() < self.augmentation.occluder:
            occlude(image, rng)
        image = degrade(image, self.augmentation.degrade, rng)
        labelled = np.zeros(MAX_PEOPLE, bool)
        labelled[: len(people)] = True
        out = np.full((MAX_PEOPLE, NUM_JOINTS, 2), np.nan, np.float32)
        out[: len(people)] = people
        return image, out, labelled

    def _empty(
        self, strip: Image, rng: np.random.Generator
    ) -> tuple[Image, FloatArray, npt.NDArray[np.bool_]]:
        """An item with nobody in it: no row is labelled."""
        size = self.size
        height, width = strip.shape[:2]
        scale = size * rng.uniform(0.6, 1.6) / max(height, width)
        matrix = cv2.getRotationMatrix2D(
            (width / 2, height / 2), rng.normal(0, self.augmentation.rotation), scale
        )
        matrix[:, 2] += size * rng.uniform(0.3, 0.7, 2) - (width / 2, height / 2)
        image = self._warp(strip, matrix, rng)
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
        nobody = np.full((MAX_PEOPLE, NUM_JOINTS, 2), np.nan, np.float32)
        return degrade(image, self.augmentation.degrade, rng), nobody, np.zeros(MAX_PEOPLE, bool)

    def _warp(self, image: Image, matrix: FloatArray, rng: np.random.Generator) -> Image:
        border = cv2.BORDER_REPLICATE if rng.random() < 0.3 else cv2.BORDER_CONSTANT
        fill = (
            [float(v) for v in rng.uniform(0, 255, 3)]
            if rng.random() < 0.5
            else [float(PADDING)] * 3
        )
        size = (self.size, self.size)
        return cv2.warpAffine(
            image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill
        ).astype(np.uint8, copy=False)

    def _person(self, person: Person, rng: np.random.Generator) -> tuple[Image, FloatArray]:
        """A person turned, scaled, moved and perhaps mirrored into a square image."""
        image = person.image()
        aug, size = self.augmentation, self.size
        low, high = np.nanmin(person.xy, 0), np.nanmax(person.xy, 0)
        extent = max(float((high - low).max()), 16.0) * 1.2  # joints end before hands and feet
        scale = size * np.exp(rng.uniform(*np.log(aug.size_range))) / extent
        angle = rng.normal(0, aug.rotation)
        if rng.random() < aug.upside_down:
            angle = rng.uniform(-180, 180)
        matrix = cv2.getRotationMatrix2D(tuple(map(float, (low + high) / 2)), angle, scale)
        free = max(size - scale * extent, 0) / 2 + 0.08 * size
        centre = size / 2 + rng.uniform(-free, free, 2)
        matrix[:, 2] += centre - (low + high) / 2
        xy = person.xy @ matrix[:, :2].T + matrix[:, 2]
        image = self._warp(image, matrix, rng)
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            xy = xy[list(FLIP)] * (-1, 1) + (size - 1, 0)
        outside = ~((xy >= 0) & (xy <= size - 1)).all(-1)
        xy[outside] = np.nan
        return image, xy.astype(np.float32)


def paste(
    under: Image, under_xy: FloatArray, over: Image, over_xy: FloatArray, rng: np.random.Generator
) -> tuple[Image, list[FloatArray]]:
    """Lay the box of a second person over an image; what it hides is no longer labelled."""
    if not np.isfinite(over_xy).any():
        return under, [under_xy]
    size = len(under)
    margin = 0.06 * size
    x0, y0 = np.clip(np.nanmin(over_xy, 0) - margin, 0, size - 1).astype(int)
    x1, y1 = np.clip(np.nanmax(over_xy, 0) + margin, 1, size).astype(int)
    # Beside the first person where that leaves something of both, else where it already is.
    shift = int(rng.uniform(-0.6, 0.6) * size)
    shift = int(np.clip(shift, -x0 - (x1 - x0) // 3, size - x1 + (x1 - x0) // 3))
    a0, a1 = max(x0 + shift, 0), min(x1 + shift, size)
    image = under.copy()
    image[y0:y1, a0:a1] = over[y0:y1, a0 - shift : a1 - shift]
    moved = over_xy + np.array([shift, 0], np.float32)
    moved[(moved[:, 0] < 0) | (moved[:, 0] > size - 1)] = np.nan
    with np.errstate(invalid='ignore'):
        x, y = under_xy.T
        hidden = (x >= a0) & (x < a1) & (y >= y0) & (y < y1)
    left = np.where(hidden[:, None], np.nan, under_xy).astype(np.float32)
    return image, [left, moved]


def occlude(image: Image, rng: np.random.Generator) -> None:
    """Cover a patch with a plain colour, in place; joints under it stay labelled (guess them)."""
    size = len(image)
    width, height = rng.uniform(0.08, 0.3, 2) * size
    x, y = rng.uniform(0, size, 2)
    colour = [int(v) for v in rng.integers(0, 256, 3)]
    corner = (int(x + width), int(y + height))
    cv2.rectangle(image, (int(x), int(y)), corner, colour, cv2.FILLED)


def degrade(image: Image, chance: float, rng: np.random.Generator) -> Image:
    """Colour and contrast always; blur, motion, noise, low light and JPEG each now and then."""
    gain = rng.uniform(0.7, 1.35) * rng.uniform(0.85, 1.15, 3)
    light = rng.uniform(0.2, 0.6) if rng.random() < chance else 1.0
    shade = 114 * rng.uniform(0.7, 1.3)
    table = ((np.arange(256)[:, None] - 114) * gain + shade) * light
    out = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[:, None])
    if rng.random() < chance:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < chance:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 1.8))
    if rng.random() < chance:
        out = cv2.filter2D(out, -1, motion_kernel(rng))
    if rng.random() < chance:
        noise = rng.standard_normal(out.shape, np.float32) * rng.uniform(4, 16)
        out = cv2.add(out, noise, dtype=cv2.CV_8U)
    if rng.random() < chance:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))]
        out = cv2.imdecode(cv2.imencode('.jpg', out, quality)[1], cv2.IMREAD_COLOR)
    return out


def motion_kernel(rng: np.random.Generator) -> FloatArray:
    """A line of 3 to 9 pixels in any direction: the blur of a moving camera."""
    length = int(rng.integers(1, 5)) * 2 + 1
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), rng.uniform(0, 180), 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    return kernel / max(kernel.sum(), 1e-6)
