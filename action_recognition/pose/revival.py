"""An estimator that is made anew once it keeps failing, as when the GPU under it is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from action_recognition.errors import UserError
from action_recognition.pose.by_shape import Shape
from action_recognition.pose.decode import People
from action_recognition.pose.deployed import Images
from action_recognition.pose.estimator import PoseEstimator, prepare, require, sees_crops
from action_recognition.skeleton import Poses

#: Failures in a row after which the estimator is made anew: a single one may be the image's fault.
FAILURES = 3

T = TypeVar('T')

log = logging.getLogger(__name__)


class RevivingEstimator:
    """Stands for an estimator; after `FAILURES` images in a row that it broke on, for another.

    A failure is any exception but `UserError`, and is passed on. Where an estimator cannot be made
    on a device that was chosen automatically, the first one or a later one, it is made on the CPU:
    a GPU that torch sees may be too old for it, or full. Shapes that were prepared for are prepared
    for again before the next image is looked at.

    Args:
        make: makes an estimator on a device.
        device: 'auto', 'cpu', 'cuda' or 'cuda:1'.
        changed: called with each new estimator but the first, in the thread that asked or prepared.

    Raises:
        Exception: as `make`, of the device that is wanted; later from `estimate` and `people`,
            which try again every time.
    """

    def __init__(
        self,
        make: Callable[[str], PoseEstimator],
        device: str,
        changed: Callable[[PoseEstimator], None],
    ) -> None:
        self._make = make
        self._device = device
        self._changed = changed
        self._failures = 0
        self._shapes: list[Shape] = []
        self._estimator: PoseEstimator | None = self._make_or_cpu()
        self._describe(self._estimator)
        if sees_crops(self._estimator):
            # `sees_crops` asks whether they are there.
            self.people, self.prepare = self._people, self._prepare
            self.require = self._require

    def estimate(self, image: npt.NDArray[np.uint8], stamp: int = 0) -> Poses:
        """As `PoseEstimator.estimate`."""
        return self._ask(lambda estimator: estimator.estimate(image, stamp))

    def close(self) -> None:
        """Give back the memory of the device."""
        if self._estimator:
            self._estimator.close()
            self._estimator = None

    def _people(self, images: Images) -> list[People]:
        return self._ask(lambda estimator: estimator.people(images))  # type: ignore[attr-defined]

    def _prepare(self, shape: Shape) -> None:
        if shape not in self._shapes:
            self._shapes.append(shape)
        if self._estimator is None:
            return  # the next one is made with it
        try:
            prepare(self._estimator, shape)
            self._describe(self._estimator)
        except UserError:
            raise
        except Exception:
            if self._device != 'auto':
                raise
            self._revive()  # a GPU that had memory for one image, but has none for many crops

    def _require(self, shape: Shape) -> None:
        if self._estimator:
            require(self._estimator, shape)

    def _ask(self, question: Callable[[PoseEstimator], T]) -> T:
        if self._estimator is None or self._failures >= FAILURES:
            self._revive()
        assert self._estimator
        try:
            answer = question(self._estimator)
        except UserError:
            raise
        except Exception:
            self._failures += 1
            raise
        self._failures = 0
        return answer

    def _revive(self) -> None:
        with suppress(Exception):  # what is broken may not even close
            self.close()
        self._estimator = None
        self._estimator = self._make_or_cpu()
        self._failures = 0
        self._describe(self._estimator)
        self._changed(self._estimator)

    def _make_or_cpu(self) -> PoseEstimator:
        try:
            return self._make_ready(self._device)
        except Exception as error:
            if self._device != 'auto':
                raise
            try:
                estimator = self._make_ready('cpu')
            except Exception:
                raise error from None  # what is wrong is not the GPU: weights that are not there
            reason = ' '.join(str(error).split())
            log.warning("device 'auto' does not work, the CPU takes over: %s", reason)
            return estimator

    def _make_ready(self, device: str) -> PoseEstimator:
        estimator = self._make(device)
        for shape in self._shapes:
            prepare(estimator, shape)
        return estimator

    def _describe(self, estimator: PoseEstimator) -> None:
        self.name, self.device = estimator.name, estimator.device
        self.runtime = estimator.runtime
