"""The 14-joint skeleton: joints, limbs, body parts, and `Poses`, the currency of the package.

Joint order is indices 0-13 of `hri_msgs/Skeleton2D` (REP-155). This module is the one typed
description that drives target encoding, loss, decoding, features, messages and drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Joint(IntEnum):
    """Joint indices, REP-155 order. NOSE is the face: see the adapters for what each set marks."""

    NOSE = 0
    NECK = 1
    RIGHT_SHOULDER = 2
    RIGHT_ELBOW = 3
    RIGHT_WRIST = 4
    LEFT_SHOULDER = 5
    LEFT_ELBOW = 6
    LEFT_WRIST = 7
    RIGHT_HIP = 8
    RIGHT_KNEE = 9
    RIGHT_ANKLE = 10
    LEFT_HIP = 11
    LEFT_KNEE = 12
    LEFT_ANKLE = 13


NUM_JOINTS = len(Joint)
JOINT_NAMES: tuple[str, ...] = tuple(joint.name.lower() for joint in Joint)

#: The 12 joints that data sets agree on; head and neck differ between them.
LIMB_JOINTS: tuple[int, ...] = tuple(range(Joint.RIGHT_SHOULDER, NUM_JOINTS))

#: The joints of the trunk, which move little against each other.
TORSO_JOINTS: tuple[int, ...] = (
    *(Joint.NECK, Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER, Joint.RIGHT_HIP, Joint.LEFT_HIP),
)

#: Index of the mirrored joint: `xy[:, FLIP]` swaps left and right.
FLIP: tuple[int, ...] = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10)

#: Joint pairs joined by a part affinity field: a tree rooted at the neck, parents first.
LIMBS: tuple[tuple[int, int], ...] = (
    (Joint.NECK, Joint.NOSE),
    (Joint.NECK, Joint.RIGHT_SHOULDER),
    (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW),
    (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST),
    (Joint.NECK, Joint.LEFT_SHOULDER),
    (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW),
    (Joint.LEFT_ELBOW, Joint.LEFT_WRIST),
    (Joint.NECK, Joint.RIGHT_HIP),
    (Joint.RIGHT_HIP, Joint.RIGHT_KNEE),
    (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE),
    (Joint.NECK, Joint.LEFT_HIP),
    (Joint.LEFT_HIP, Joint.LEFT_KNEE),
    (Joint.LEFT_KNEE, Joint.LEFT_ANKLE),
)

#: The 6 body parts whose direction the paper adds to the 28 coordinates (section 3.2, Table 2):
#: name -> (joints whose mean is the start, joints whose mean is the end).
PARTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    'head': ((Joint.NECK,), (Joint.NOSE,)),
    'torso': ((Joint.NECK,), (Joint.RIGHT_HIP, Joint.LEFT_HIP)),
    'right_arm': ((Joint.RIGHT_SHOULDER,), (Joint.RIGHT_WRIST,)),
    'left_arm': ((Joint.LEFT_SHOULDER,), (Joint.LEFT_WRIST,)),
    'right_leg': ((Joint.RIGHT_HIP,), (Joint.RIGHT_ANKLE,)),
    'left_leg': ((Joint.LEFT_HIP,), (Joint.LEFT_ANKLE,)),
}
NUM_PARTS = len(PARTS)


def part_directions(xy: npt.ArrayLike) -> FloatArray:
    """Direction of the 6 body `PARTS`: image angle atan2(dy, dx) in radians, y down.

    Args:
        xy: (..., 14, 2) joints in pixels, NaN where not seen.

    Returns:
        (..., 6) in [-pi, pi], NaN where an end of the part is not seen.
    """
    xy = np.asarray(xy, np.float32)
    angles = []
    for start, end in PARTS.values():
        vector = xy[..., list(end), :].mean(-2) - xy[..., list(start), :].mean(-2)
        angles.append(np.arctan2(vector[..., 1], vector[..., 0]))
    return np.stack(angles, -1).astype(np.float32)


def torso_size(xy: npt.ArrayLike) -> FloatArray:
    """The larger shoulder-to-opposite-hip diagonal in pixels, the unit of PCK@0.2.

    Args:
        xy: (..., 14, 2) joints in pixels, NaN where not seen.

    Returns:
        (...) pixels, NaN where neither diagonal is seen.
    """
    xy = np.asarray(xy, np.float32)
    one = np.linalg.norm(xy[..., Joint.RIGHT_SHOULDER, :] - xy[..., Joint.LEFT_HIP, :], axis=-1)
    two = np.linalg.norm(xy[..., Joint.LEFT_SHOULDER, :] - xy[..., Joint.RIGHT_HIP, :], axis=-1)
    return np.fmax(one, two)


def within(xy: npt.ArrayLike, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(...) True where a joint of (..., 2) pixels is known and lies in an image (width, height).

    Coordinates are of pixel centres, so an image begins at -0.5.
    """
    xy = np.asarray(xy)
    # A comparison with NaN is False, which is the answer wanted here.
    return np.all((xy >= -0.5) & (xy <= np.array(size, np.float32) - 0.5), axis=-1)


@dataclass(frozen=True)
class Poses:
    """The people of one image.

    A joint is seen when its coordinates are finite and its score is above zero; a joint that
    is not seen holds NaN coordinates and score 0, whatever was passed in.

    Attributes:
        xy: (n, 14, 2) float32 pixels, x right, y down, (0, 0) the centre of the first pixel.
        score: (n, 14) float32 in [0, 1], the confidence of each joint.
        track_id: (n,) int64 identity of each person, -1 where not tracked.
        stamp: time of the image in nanoseconds.
        image_size: (width, height) in pixels.

    Raises:
        ValueError: a shape is not as above, a score is outside [0, 1], or a size is negative.
    """

    xy: FloatArray
    score: FloatArray
    track_id: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    stamp: int = 0
    image_size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        xy = np.array(self.xy, np.float32)
        score = np.array(self.score, np.float32)
        if xy.size == 0 and xy.ndim != 3:
            xy, score = xy.reshape(0, NUM_JOINTS, 2), score.reshape(0, NUM_JOINTS)
        if xy.ndim != 3 or xy.shape[1:] != (NUM_JOINTS, 2):
            raise ValueError(f'xy must have shape (n, {NUM_JOINTS}, 2), not {xy.shape}')
        if score.shape != xy.shape[:2]:
            raise ValueError(f'score must have shape {xy.shape[:2]}, not {score.shape}')
        track_id = np.array(self.track_id, np.int64)
        if track_id.size == 0:
            track_id = np.full(len(xy), -1, np.int64)
        if track_id.shape != (len(xy),):
            raise ValueError(f'track_id must have shape ({len(xy)},), not {track_id.shape}')
        width, height = (int(side) for side in self.image_size)
        if min(width, height) < 0:
            raise ValueError(f'image_size must not be negative, not {self.image_size}')
        finite = np.isfinite(score)
        if (score[finite] < 0).any() or (score[finite] > 1).any():
            raise ValueError('score must lie in [0, 1]')
        seen = np.isfinite(xy).all(-1) & finite & (score > 0)
        xy[~seen] = np.nan
        score[~seen] = 0
        for name, array in (('xy', xy), ('score', score), ('track_id', track_id)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, 'stamp', int(self.stamp))
        object.__setattr__(self, 'image_size', (width, height))

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, index: int | slice | npt.NDArray) -> Poses:
        """The people selected by an index, a slice, a mask or an index array."""
        rows = np.atleast_1d(np.arange(len(self))[index])
        return replace(self, xy=self.xy[rows], score=self.score[rows], track_id=self.track_id[rows])

    @classmethod
    def empty(cls, stamp: int = 0, image_size: tuple[int, int] = (0, 0)) -> Poses:
        """An image with nobody in it."""
        return cls(
            np.empty((0, NUM_JOINTS, 2), np.float32),
            np.empty((0, NUM_JOINTS), np.float32),
            stamp=stamp,
            image_size=image_size,
        )

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """(n, 14) True where a joint was found."""
        return self.score > 0

    @property
    def person_score(self) -> FloatArray:
        """(n,) mean score over all 14 joints: a joint not seen counts as 0."""
        return self.score.mean(1) if len(self) else np.empty(0, np.float32)

    @property
    def boxes(self) -> FloatArray:
        """(n, 4) tight x0, y0, x1, y1 round the joints seen, NaN for a person with none."""
        low = np.where(self.seen[..., None], self.xy, np.inf).min(1, initial=np.inf)
        high = np.where(self.seen[..., None], self.xy, -np.inf).max(1, initial=-np.inf)
        boxes = np.concatenate([low, high], 1)
        return np.where(np.isfinite(boxes), boxes, np.nan).astype(np.float32)

    def with_ids(self, track_id: npt.ArrayLike) -> Poses:
        """The same people under these identities."""
        return replace(self, track_id=np.asarray(track_id, np.int64))

    def to_hri_skeleton2d(self) -> FloatArray:
        """(n, 18, 3) normalised x, y in [0, 1] and confidence, as `hri_msgs/Skeleton2D` holds.

        Joints 14-17 (eyes and ears) are not part of our skeleton; like every joint not seen
        they are x = y = c = 0.

        Raises:
            ValueError: the image size is not known.
        """
        if min(self.image_size) == 0:
            raise ValueError('image_size must be known to normalise coordinates')
        out = np.zeros((len(self), 18, 3), np.float32)
        out[:, :NUM_JOINTS, :2] = np.nan_to_num(self.xy / np.array(self.image_size, np.float32))
        out[:, :NUM_JOINTS, 2] = self.score
        return out

    @classmethod
    def from_coco17(cls, xy: npt.ArrayLike, score: npt.ArrayLike, **frame) -> Poses:
        """From COCO-17 (MoveNet, YOLO-pose, RTMPose): joint 0 is the nose, neck = mid-shoulder."""
        return cls(*adapt(xy, score, COCO17), **frame)

    @classmethod
    def from_lsp14(cls, xy: npt.ArrayLike, score: npt.ArrayLike, **frame) -> Poses:
        """From Leeds Sports Pose: joint 0 is the head TOP, neck is annotated."""
        return cls(*adapt(xy, score, LSP14), **frame)

    @classmethod
    def from_jhmdb15(cls, xy: npt.ArrayLike, score: npt.ArrayLike, **frame) -> Poses:
        """From JHMDB: joint 0 is the face centre, neck is annotated, the belly is dropped."""
        return cls(*adapt(xy, score, JHMDB15), **frame)

    @classmethod
    def from_penn13(cls, xy: npt.ArrayLike, score: npt.ArrayLike, **frame) -> Poses:
        """From Penn Action: joint 0 is the head, neck = mid-shoulder."""
        return cls(*adapt(xy, score, PENN13), **frame)

    @classmethod
    def from_kinect20(cls, xy: npt.ArrayLike, score: npt.ArrayLike, **frame) -> Poses:
        """From Kinect v1, projected to pixels: joint 0 is the head, neck = shoulder centre."""
        return cls(*adapt(xy, score, KINECT20), **frame)

    @classmethod
    def from_blazepose33(cls, xy: npt.ArrayLike, score: npt.ArrayLike, **frame) -> Poses:
        """From MediaPipe BlazePose: joint 0 is the nose, neck = mid-shoulder."""
        return cls(*adapt(xy, score, BLAZEPOSE33), **frame)


#: For each of our joints the joints of the other order whose mean it is.
JointTable = Sequence[tuple[int, ...]]

COCO17: JointTable = (
    (0,),
    (5, 6),
    (6,),
    (8,),
    (10,),
    (5,),
    (7,),
    (9,),
    (12,),
    (14,),
    (16,),
    (11,),
    (13,),
    (15,),
)
LSP14: JointTable = (
    (13,),
    (12,),
    (8,),
    (7,),
    (6,),
    (9,),
    (10,),
    (11,),
    (2,),
    (1,),
    (0,),
    (3,),
    (4,),
    (5,),
)
JHMDB15: JointTable = (
    (2,),
    (0,),
    (3,),
    (7,),
    (11,),
    (4,),
    (8,),
    (12,),
    (5,),
    (9,),
    (13,),
    (6,),
    (10,),
    (14,),
)
PENN13: JointTable = (
    (0,),
    (1, 2),
    (2,),
    (4,),
    (6,),
    (1,),
    (3,),
    (5,),
    (8,),
    (10,),
    (12,),
    (7,),
    (9,),
    (11,),
)
KINECT20: JointTable = (
    (3,),
    (2,),
    (8,),
    (9,),
    (10,),
    (4,),
    (5,),
    (6,),
    (16,),
    (17,),
    (18,),
    (12,),
    (13,),
    (14,),
)
BLAZEPOSE33: JointTable = (
    (0,),
    (11, 12),
    (12,),
    (14,),
    (16,),
    (11,),
    (13,),
    (15,),
    (24,),
    (26,),
    (28,),
    (23,),
    (25,),
    (27,),
)


def adapt(
    xy: npt.ArrayLike, score: npt.ArrayLike, table: JointTable
) -> tuple[FloatArray, FloatArray]:
    """Reorder joints by a table; a joint made of several takes their mean and least score.

    Args:
        xy: (..., k, d) coordinates in the other order (d is 2, or 3 before projection).
        score: (..., k) their scores.

    Returns:
        (..., 14, d) coordinates and (..., 14) scores in our order.

    Raises:
        ValueError: there are fewer joints than the table names.
    """
    xy, score = np.asarray(xy, np.float32), np.asarray(score, np.float32)
    needed = 1 + max(max(sources) for sources in table)
    if xy.ndim < 2 or xy.shape[-2] < needed or score.shape != xy.shape[:-1]:
        raise ValueError(
            f'expected at least {needed} joints with as many scores, '
            f'not shapes {xy.shape} and {score.shape}'
        )
    return (
        np.stack([xy[..., list(sources), :].mean(-2) for sources in table], -2),
        np.stack([score[..., list(sources)].min(-1) for sources in table], -1),
    )


#: Where the face is on the way from the neck to the top of the head.
FACE_FRACTION = 0.55


def face_from_head_top(xy: npt.ArrayLike) -> FloatArray:
    """Move joint 0 from the top of the head (as LSP marks it) to the face, as our joint 0 is.

    Args:
        xy: (..., 14, 2) joints whose joint 0 is the head top.

    Returns:
        The same with joint 0 at `FACE_FRACTION` of the way from the neck, NaN without a neck.
    """
    xy = np.array(xy, np.float32)
    neck = xy[..., Joint.NECK, :]
    xy[..., Joint.NOSE, :] = neck + FACE_FRACTION * (xy[..., Joint.NOSE, :] - neck)
    return xy
