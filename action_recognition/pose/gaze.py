"""Detection in regions of interest round tracked people, and in the full frame now and then.

The network knows people of a certain size in its input. In a whole frame people have whatever size
they have; a crop round somebody brings them to that size, and costs a fraction of the frame.

In the words here a `Gaze` decides where to look, and a `Glance` is what was looked at in one image.
The full frame is looked at before the answer where somebody may be missing (`Gaze.look`), otherwise
after it (`Gaze.look_around`), so that no answer waits for it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from action_recognition.errors import UserError
from action_recognition.pose.backbone import STRIDE
from action_recognition.pose.decode import People
from action_recognition.pose.estimator import (
    CropEstimator,
    PoseEstimator,
    image_size,
    in_image,
    prepare,
    require,
    sees_crops,
)
from action_recognition.pose.regions import cut, regions_round, to_image
from action_recognition.skeleton import IntArray, Poses
from action_recognition.tracking.similarity import oks
from action_recognition.tracking.tracker import MAX_SPREAD

#: Values of the parameter `look.mode`.
MODES = ('full', 'crops')

#: Least OKS between the person found in a crop and the one expected there, who may have moved.
EXPECTED = 0.15
#: OKS above which people found by two looks at one image are the same person: looks at different
#: scales agree less than two poses from the same maps.
SAME_PERSON = 0.4

NO_REGIONS: IntArray = np.empty((0, 3), np.int64)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LookConfig:
    """Where the network looks: at full frames, or at regions of interest round tracked people.

    Attributes:
        mode: 'full', the whole image every time; 'crops', a crop round everybody who is known.
        full_every: with crops, the whole image is seen at least in every n-th image, for
            newcomers. Nobody waits for that: it is done after the answer, and who is found gets a
            crop in the next image.
        crop_size: side of a crop in pixels of the network's input, a multiple of 8.
        margin: room round a person in a crop, on every side, in parts of the person's longer side.
        max_crops: most crops of one image; while there are more people, the whole image is seen
            every time.

    Raises:
        UserError: a value is out of its range.
    """

    mode: str = 'crops'
    full_every: int = 10
    crop_size: int = 160
    margin: float = 0.25
    max_crops: int = 6

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f'look.mode must be one of {", ".join(MODES)}, not {self.mode!r}')
        if self.crop_size < 4 * STRIDE or self.crop_size % STRIDE:
            raise UserError(
                f'look.crop_size must be a multiple of {STRIDE} from {4 * STRIDE} on, '
                f'not {self.crop_size}'
            )
        if self.full_every < 1 or self.max_crops < 1:
            raise UserError('look.full_every and look.max_crops must be at least 1')
        if not 0 <= self.margin <= 2:
            raise UserError(f'look.margin must lie in [0, 2], not {self.margin}')


class Glance(NamedTuple):
    """What was looked at in one image: the full frame, regions of interest, or both.

    Attributes:
        full: whether the whole image was, for the answer.
        regions: (n, 3) left, top and side of each crop, in pixels of the image.
        around: whether the whole image is still to be looked at, by `look_around`.
    """

    full: bool
    regions: IntArray
    around: bool = False


class Unseen(NamedTuple):
    """A deferred full-frame detection: its image, and whom the crops have told of or denied."""

    image: npt.NDArray[np.uint8]
    looked_at: list[People]


class Gaze:
    """Detects people in regions of interest: in successive images, where they are expected.

    Which images are seen whole follows from the images, their stamps and the people handed in, and
    from nothing else. An image stamped before the last one, or of another size, begins anew.
    An estimator that is no `CropEstimator` is shown whole images, whatever the mode.

    Attributes:
        config: may be changed between images.
        last: what was looked at in the last image.
    """

    def __init__(self, estimator: PoseEstimator, config: LookConfig | None = None) -> None:
        self.estimator = estimator
        self.config = config or LookConfig()
        if self.config.mode == 'crops' and not sees_crops(estimator):
            log.warning('%s is shown full images: crops are for our own network', estimator.name)
        self.reset()

    def reset(self) -> None:
        """Forget what was seen; the next image is looked at whole."""
        self.last = Glance(False, NO_REGIONS)
        self._stamp: int | None = None
        self._size = (0, 0)
        self._images_since_full = 0
        self._lost: set[int] = set()
        self._search = True
        self._unseen: Unseen | None = None
        self._newcomers: list[People] = []

    def warm_up(self) -> None:
        """Get ready for every number of crops: later, the first of a number would wait for that."""
        size = self.config.crop_size
        if self.config.mode == 'crops' and sees_crops(self.estimator):
            for number in range(1, self.config.max_crops + 1):
                prepare(self.estimator, (number, size, size, 3))

    def require(self, config: LookConfig) -> None:
        """Raises: UserError, the estimator does not take crops as this config has them."""
        if config.mode == 'crops' and sees_crops(self.estimator):
            require(self.estimator, (config.max_crops, config.crop_size, config.crop_size, 3))

    def look(self, image: npt.NDArray[np.uint8], stamp: int, known: Poses) -> Poses:
        """Detect the people in an image, by crops, the full frame or both; without identities.

        With crops, the person found in a crop is the one most like the person expected there. The
        whole image is seen too if nobody is known or all of them are expected outside it, if a
        tracked person was not found in the last image but in the one before, and while there are
        more people than crops. In every `full_every`-th image it is left to `look_around`.

        Args:
            image: (h, w, 3) uint8 BGR.
            stamp: of the image, ns.
            known: where people are expected, as `Tracker.predict` says for this stamp. People
                of an image of another size are disregarded.

        Raises:
            ValueError: the image has another shape or type, or no pixels.
        """
        estimator = self.estimator
        if self.config.mode == 'full' or not sees_crops(estimator):
            self.reset()
            self.last = Glance(True, NO_REGIONS)
            return estimator.estimate(image, stamp)
        size = image_size(image)
        if self._stamp is not None and (stamp < self._stamp or size != self._size):
            self.reset()
        self._stamp, self._size = stamp, size
        self.look_around()
        if known.image_size != size:
            known = Poses.empty(stamp, size)
        everybody = self._with_newcomers(known)
        regions = regions_round(everybody, self.config.margin)
        # Newcomers do not count: of most of them the crop will say that they were none.
        nobody = not regions[: len(known), 2].any()
        known, regions, more = self._choose(everybody, regions)
        full = self._search or more or nobody
        found = self._crops(estimator, image, known, regions)
        self._note_lost(known, found)
        people = [person for person in found if person is not None]
        denied = [
            People(xy, score)
            for xy, score, person in zip(known.xy, known.score, found, strict=True)
            if person is None
        ]
        looked_at = people + denied
        if full:
            people += _strangers(estimator.estimate(image, stamp), looked_at)
        self._images_since_full = 0 if full else self._images_since_full + 1
        around = self._images_since_full >= self.config.full_every
        if around:
            self._images_since_full = 0
            self._unseen = Unseen(image, looked_at)
        self.last = Glance(full, regions, around)
        if not people:
            return Poses.empty(stamp, size)
        xy, score = (np.stack(part) for part in zip(*people, strict=True))
        return Poses(xy, score, stamp=stamp, image_size=size)

    def look_around(self) -> bool:
        """The deferred full-frame detection: look for newcomers in the whole of the last image.

        To be called when the answer about that image is out; else the next `look` begins with it.
        The answers are the same. Returns whether the image was looked at, which it is once, and
        only if `last.around` says so.
        """
        if not self._unseen:
            return False
        image, looked_at = self._unseen
        self._unseen = None
        assert sees_crops(self.estimator)
        self._newcomers = _strangers(self.estimator.estimate(image), looked_at)
        return True

    def _with_newcomers(self, known: Poses) -> Poses:
        """The people who are known and those whom `look_around` has found, in that order."""
        new, self._newcomers = self._newcomers, []
        if not new:
            return known
        xy, score = (np.stack(part) for part in zip(*new, strict=True))
        return Poses(
            np.concatenate([known.xy, xy]),
            np.concatenate([known.score, score]),
            np.concatenate([known.track_id, np.full(len(new), -1)]),
            known.stamp,
            known.image_size,
        )

    def _choose(self, known: Poses, regions: IntArray) -> tuple[Poses, IntArray, bool]:
        """Choose regions of interest: who gets one, the regions, and whether there are more people.

        Tracked people come before newcomers, then the large and certain ones. Who is expected
        outside the image (a region of side 0) gets none.
        """
        order = np.lexsort((-known.person_score * regions[:, 2], known.track_id < 0))
        rows = order[regions[order, 2] > 0]
        chosen = rows[: self.config.max_crops]
        return known[chosen], regions[chosen], len(rows) > len(chosen)

    def _crops(
        self,
        estimator: CropEstimator,
        image: npt.NDArray[np.uint8],
        known: Poses,
        regions: IntArray,
    ) -> list[People | None]:
        """Detect in regions of interest: the person expected in each, None where they are not.

        Nobody is found twice: where two regions show one person, it is the one expected nearer.
        """
        answers: list[People | None] = [None] * len(known)
        if not len(known):
            return answers
        size = self.config.crop_size
        found = estimator.people(cut(image, regions, size))
        seen = [
            in_image(People(to_image(people.xy, region, size), people.score), known.image_size)
            for people, region in zip(found, regions, strict=True)
        ]
        pairs = []
        for row, people in enumerate(seen):
            expected = known[row]
            alike = oks(expected.xy, expected.score, people.xy, people.score, spread=MAX_SPREAD)[0]
            pairs += [(-value, row, i) for i, value in enumerate(alike) if value >= EXPECTED]
        for _, row, i in sorted(pairs):
            person = People(seen[row].xy[i], seen[row].score[i])
            taken = [answer for answer in answers if answer is not None]
            if answers[row] is None and not _is_among(person, taken):
                answers[row] = person
        return answers

    def _note_lost(self, known: Poses, found: list[People | None]) -> None:
        """After a loss, have the next image detected in full frame, once for each loss."""
        missed = {
            track_id
            for track_id, person in zip(known.track_id.tolist(), found, strict=True)
            if person is None and track_id >= 0
        }
        self._search = not missed <= self._lost
        self._lost = missed


def _is_among(person: People, others: list[People]) -> bool:
    """Whether a detection is a duplicate of another one, by their OKS."""
    if not others:
        return False
    xy, score = (np.stack(part) for part in zip(*others, strict=True))
    return bool((oks(person.xy[None], person.score[None], xy, score) > SAME_PERSON).any())


def _strangers(found: Poses, looked_at: list[People]) -> list[People]:
    """Detections in the full frame without duplicates of those of whom a crop has told.

    That goes for people whom a crop has denied, too: it shows them at the size that the network
    knows, and so most of them are ghosts that the network sees at another size alone.
    """
    everybody = [People(xy, score) for xy, score in zip(found.xy, found.score, strict=True)]
    return [person for person in everybody if not _is_among(person, looked_at)]
