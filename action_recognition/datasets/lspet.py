"""Leeds Sports Pose Extended: single images of sports with 14 joints (Johnson, CVPR 2011).

Layout: `<root>/joints.mat` and `<root>/images/im00001.jpg` and so on, one image per entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from action_recognition.datasets.clips import read_mat, require_file, require_files
from action_recognition.errors import UserError
from action_recognition.skeleton import LSP14, FloatArray, adapt

LAYOUT = 'the LSP-extended folder, with joints.mat and images/im00001.jpg and so on'


@dataclass(frozen=True)
class LspExtended:
    """The whole set.

    Joint 0 is the head TOP, not the nose. The annotations are noisy: about one person in eleven
    has left and right swapped.

    Attributes:
        paths: n images.
        xy: (n, 14, 2) float32 pixels as published, without a shift from MATLAB's counting:
            the images have been rescaled, and image edges lie symmetrically round the joints
            to a fifth of a pixel as they are. NaN where not labelled.
        labelled: (n, 14) True where a joint is annotated.
    """

    paths: tuple[Path, ...]
    xy: FloatArray
    labelled: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.paths)


def load_lspet(root: Path) -> LspExtended:
    """All images and joints, in the order of the set.

    Raises:
        UserError: `root` does not hold the set, or images and joints do not pair up.
    """
    root = Path(root)
    path = require_file(root / 'joints.mat', LAYOUT)
    paths = require_files(root / 'images', 'im*.jpg', LAYOUT)
    (joints,) = read_mat(path, 'joints')
    if joints.ndim != 3 or joints.shape[:2] != (14, 3):
        raise UserError(f'{path}: joints must have shape (14, 3, images), not {joints.shape}')
    if len(paths) != joints.shape[2]:
        raise UserError(
            f'{root / "images"} holds {len(paths)} images im*.jpg, but {path.name} describes '
            f'{joints.shape[2]}; copy the missing ones'
        )
    x, y, visible = np.moveaxis(joints.astype(np.float32), (0, 1, 2), (2, 0, 1))
    xy, score = adapt(np.stack([x, y], -1), visible, LSP14)
    labelled = score > 0
    xy[~labelled] = np.nan
    return LspExtended(tuple(paths), xy, labelled)
