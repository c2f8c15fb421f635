"""PRECOG 2016: continuous Kinect recordings of strikes with background between (Jardim et al.).

Layout: `<root>/CSV/Seq<sequence>_<person>.csv`, a header and one line per frame: 20 joints
`x y z` in metres, then the label, separated by `;`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from action_recognition.datasets.clips import frame_stamps, require_files
from action_recognition.errors import UserError
from action_recognition.skeleton import KINECT20, FloatArray, IntArray, Joint, adapt

#: Label 0 is the background between actions.
LABELS = (
    'none',
    'right_punch',
    'left_punch',
    'front_right_kick',
    'front_left_kick',
    'side_right_kick',
    'side_left_kick',
    'back_fist',
    'elbow_strike',
)
LAYOUT = 'the PRECOG folder, with CSV/Seq1_1.csv and so on'
#: Frames carry no time; a Kinect delivers 30 a second.
FPS = 30.0

_HEADER = (
    'HipCenter;Spine;ShoulderCenter;Head;'
    'ShoulderLeft;ElbowLeft;WristLeft;HandLeft;ShoulderRight;ElbowRight;WristRight;HandRight;'
    'HipLeft;KneeLeft;AnkleLeft;FootLeft;HipRight;KneeRight;AnkleRight;FootRight'
)
#: A joint nearer to the camera than this, in metres, cannot be projected.
_NEAREST = 0.1


@dataclass(frozen=True)
class Recording:
    """One person's continuous sequence.

    Attributes:
        person: 1 to 12. Suggested split: odd people train, even people test.
        sequence: 1 to 6.
        xyz: (T, 14, 3) float32 metres in the Kinect's frame: x to the camera's LEFT, y up, z
            away from it, so that the left shoulder of a person who faces it has the smaller x.
            NaN where the person was not tracked.
        labels: (T,) int64 indices of `LABELS`.
        stamps: (T,) int64 nanoseconds from the first frame.
    """

    person: int
    sequence: int
    xyz: FloatArray
    labels: IntArray
    stamps: IntArray

    def __len__(self) -> int:
        return len(self.xyz)


def load_precog(root: Path) -> list[Recording]:
    """All recordings, by sequence and person. In two of the 72 nobody was ever tracked.

    Raises:
        UserError: `root` does not hold the set, or a file is damaged.
    """
    return [_read(path) for path in require_files(Path(root) / 'CSV', 'Seq*_*.csv', LAYOUT)]


def project(
    xyz: FloatArray,
    focal: float,
    size: tuple[int, int],
    yaw: float = 0.0,
    distance: float | None = None,
) -> FloatArray:
    """A recording seen by an unmirrored pinhole camera at the height of the person's hips.

    The camera looks at the mean place of the hips, so a person who walks still moves through
    the image.

    Args:
        xyz: (T, 14, 3) metres, as in `Recording`.
        focal: focal length in pixels.
        size: (width, height) of the image; its centre is the principal point.
        yaw: turn of the person about the vertical through that place, in radians,
            counter-clockwise seen from above (REP-103), that is to the person's left.
        distance: metres from the camera to that place; as recorded when None.

    Returns:
        (T, 14, 2) pixels, (0, 0) the centre of the first pixel. NaN where a joint is not
        tracked, or less than 0.1 m in front of the camera.
    """
    xyz = np.asarray(xyz, np.float64)
    hips = xyz[:, [Joint.RIGHT_HIP, Joint.LEFT_HIP]].mean(1)
    tracked = hips[np.isfinite(hips).all(-1)]
    if len(tracked) == 0:
        return np.full((*xyz.shape[:2], 2), np.nan, np.float32)
    centre = tracked.mean(0)
    x, y, z = np.moveaxis(xyz - centre, -1, 0)
    x, z = np.cos(yaw) * x + np.sin(yaw) * z, np.cos(yaw) * z - np.sin(yaw) * x
    z = z + (centre[2] if distance is None else distance)
    z = np.where(z > _NEAREST, z, np.nan)
    middle = (np.array(size) - 1) / 2
    # Both image axes run against the Kinect's: x right, y down.
    return (middle - focal * np.stack([x / z, y / z], -1)).astype(np.float32)


def _read(path: Path) -> Recording:
    name = re.fullmatch(r'Seq(\d+)_(\d+)', path.stem)
    if name is None:
        raise UserError(f'{path}: the name must be Seq<sequence>_<person>.csv')
    try:
        header, _, body = path.read_text(encoding='utf-8').partition('\n')
        if header.replace(' ', '').strip() != _HEADER or not body.strip():
            raise UserError(f'{path}: expected a line naming the 20 Kinect joints, then frames')
        rows = np.loadtxt(body.replace(';', ' ').splitlines(), np.float64, ndmin=2)
    except ValueError as error:
        raise UserError(f'{path} is damaged: {" ".join(str(error).split())}') from error
    if rows.shape[1] != 61:
        raise UserError(f'{path}: every line must hold 20 joints x y z and a label')
    labels = rows[:, 60].astype(np.int64)
    if (labels != rows[:, 60]).any() or labels.min() < 0 or labels.max() >= len(LABELS):
        raise UserError(f'{path}: labels must be whole numbers from 0 to {len(LABELS) - 1}')
    joints = rows[:, :60].reshape(-1, 20, 3)
    # The Kinect writes zeros for a person it has lost.
    joints[(joints == 0).all(-1)] = np.nan
    xyz, _ = adapt(joints, np.ones(joints.shape[:2]), KINECT20)
    sequence, person = (int(number) for number in name.groups())
    return Recording(person, sequence, xyz, labels, frame_stamps(len(rows), FPS))
