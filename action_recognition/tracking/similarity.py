"""How alike two poses are, in [0, 1], whatever the size of the people."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from action_recognition.skeleton import NUM_JOINTS, FloatArray, Joint

#: Standard deviation of human annotators per joint, in units of the body scale: the constants
#: of CrowdPose (Li et al., CVPR 2019), which are those of COCO plus the head and the neck.
SIGMAS: FloatArray = np.empty(NUM_JOINTS, np.float32)
SIGMAS[[Joint.NOSE, Joint.NECK, Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER]] = 0.079
SIGMAS[[Joint.RIGHT_ELBOW, Joint.LEFT_ELBOW]] = 0.072
SIGMAS[[Joint.RIGHT_WRIST, Joint.LEFT_WRIST]] = 0.062
SIGMAS[[Joint.RIGHT_HIP, Joint.LEFT_HIP]] = 0.107
SIGMAS[[Joint.RIGHT_KNEE, Joint.LEFT_KNEE]] = 0.087
SIGMAS[[Joint.RIGHT_ANKLE, Joint.LEFT_ANKLE]] = 0.089

#: A body seen edge-on or in part is taken to be at least this fraction as thick as it is long.
MIN_ASPECT = 1 / 3


def oks(
    a_xy: npt.ArrayLike,
    a_score: npt.ArrayLike,
    b_xy: npt.ArrayLike,
    b_score: npt.ArrayLike,
    *,
    spread: npt.ArrayLike = 0.0,
    min_common: int = 1,
) -> FloatArray:
    """Object keypoint similarity of every pose in a with every pose in b.

    COCO's definition, the mean of exp(-d^2 / (2 s^2 (2 sigma)^2)) over joints, made symmetric:
    only joints seen in both count, and s^2 is the mean of both people's box areas.

    Args:
        a_xy: (n, 14, 2) pixels. b_xy: (m, 14, 2) pixels.
        a_score: (n, 14), a joint counts as seen above 0. b_score: (m, 14).
        spread: scalar or (n,) further standard deviation of the joints of a in units of s,
            for a pose that is a guess (where a person may have moved to).
        min_common: pairs with fewer joints in common are 0.

    Returns:
        (n, m) float32 in [0, 1]; 0 where there is nothing to compare.
    """
    a_xy, b_xy = np.asarray(a_xy, np.float32), np.asarray(b_xy, np.float32)
    a_seen, b_seen = np.asarray(a_score) > 0, np.asarray(b_score) > 0
    area = (_area(a_xy, a_seen)[:, None] + _area(b_xy, b_seen)[None]) / 2
    common = a_seen[:, None] & b_seen[None]
    squared = ((a_xy[:, None] - b_xy[None]) ** 2).sum(-1)
    spread = np.broadcast_to(np.asarray(spread, np.float32), len(a_xy))
    variance = (2 * SIGMAS) ** 2 + spread[:, None, None] ** 2
    with np.errstate(divide='ignore', invalid='ignore'):
        alike = np.exp(-squared / (2 * area[..., None] * variance))
    # Two people of one single point each have no size: alike only if the point is the same.
    alike = np.where(area[..., None] > 0, alike, squared == 0)
    count = common.sum(-1)
    total = np.where(common, alike, 0).sum(-1)
    return np.where(count >= max(min_common, 1), total / np.maximum(count, 1), 0).astype(np.float32)


def _area(xy: FloatArray, seen: npt.NDArray[np.bool_]) -> FloatArray:
    low = np.where(seen[..., None], xy, np.inf).min(1, initial=np.inf)
    high = np.where(seen[..., None], xy, -np.inf).max(1, initial=-np.inf)
    sides = np.maximum(high - low, 0)
    sides = np.maximum(sides, MIN_ASPECT * sides.max(1, keepdims=True, initial=0))
    return sides.prod(1)
