"""BlazePose by MediaPipe, on the CPU."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from action_recognition.errors import UserError
from action_recognition.pose.backends.mediapipe_worker import Landmarker
from action_recognition.pose.backends.selection import select
from action_recognition.pose.decode import DecoderConfig
from action_recognition.pose.estimator import EstimatorConfig, image_size
from action_recognition.skeleton import Poses


class BlazePose:
    """People by a landmarker of MediaPipe, every image by itself.

    Args:
        landmarker: (h, w, 3) RGB pixels to the landmarks of each person.
    """

    device = 'cpu'

    def __init__(
        self, landmarker: Landmarker, name: str, runtime: str, config: DecoderConfig
    ) -> None:
        self.name, self.runtime = name, runtime
        self.config = config
        self._landmarker = landmarker

    def estimate(self, image: npt.NDArray[np.uint8], stamp: int = 0) -> Poses:
        """The people in an image (h, w, 3) uint8 BGR taken at `stamp` ns, without identities.

        Raises:
            ValueError: the image has another shape or type, or no pixels.
        """
        size = image_size(image)
        rows = self._landmarker(np.ascontiguousarray(image[..., ::-1]))
        return select(to_poses(rows, stamp, size), self.config)

    def close(self) -> None:
        """Give back the memory; the estimator cannot be used after."""
        self._landmarker.close()


def to_poses(landmarks: Any, stamp: int, image_size: tuple[int, int]) -> Poses:
    """(n, 33, 3) x, y in parts of the image and visibility, as MediaPipe gives them."""
    table = np.array(landmarks, np.float32).reshape(-1, 33, 3)
    # Parts are counted from the border of the image, pixels from the centre of the first.
    xy = table[..., :2] * np.array(image_size, np.float32) - 0.5
    score = np.clip(table[..., 2], 0, 1)
    return Poses.from_blazepose33(xy, score, stamp=stamp, image_size=image_size)


def create(model: str, device: str, config: EstimatorConfig) -> BlazePose:
    """Load a landmarker.

    Args:
        model: a `.task` file; without, the model inside older releases is used, which finds one
            person.

    Raises:
        UserError: there is no such file, this release holds none, or the device is no CPU.
    """
    if device not in ('auto', 'cpu'):
        raise UserError(
            f'MediaPipe computes on the CPU here: device must be auto or cpu, not {device!r}'
        )
    path = Path(model).expanduser()
    if model and not path.is_file():
        raise UserError(f'no model {str(path)!r}: MediaPipe takes a pose_landmarker_*.task file')
    landmarker = Landmarker(str(path) if model else '', config.decoder.max_people)
    try:
        release = version('mediapipe')
    except PackageNotFoundError:  # a build under another name
        release = ''
    name = f'mediapipe {path.stem if model else "full"}'
    return BlazePose(landmarker, name, f'mediapipe {release}'.strip(), config.decoder)
