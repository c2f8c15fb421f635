"""Skeletons and labels as `visualization_msgs` markers on a plane before the camera.

A camera without calibration says nothing of depth: the image is shown on the plane z = 1 m of
its own optical frame, 1 m wide, which is where a camera with a focal length of one image width
(53 degrees of view) sees it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from action_recognition.skeleton import LIMBS, Poses
from action_recognition.visualization.overlay import Caption, colour_of

#: Metres: width of limbs, height of letters.
LIMB_WIDTH = 0.006
TEXT_HEIGHT = 0.03
#: A marker that is not renewed for so long disappears.
LIFETIME = Duration(sec=0, nanosec=500_000_000)


def skeleton_markers(poses: Poses, header: Header) -> MarkerArray:
    """A line list for each person, namespace 'skeletons'."""
    points = _on_plane(poses.xy, poses.image_size)
    markers = []
    for index, (joints, seen, track_id) in enumerate(
        zip(points, poses.seen, poses.track_id, strict=True)
    ):
        marker = _marker(header, 'skeletons', int(track_id), index, Marker.LINE_LIST)
        marker.scale.x = LIMB_WIDTH
        ends = [end for limb in LIMBS if seen[list(limb)].all() for end in limb]
        marker.points = [_point(joints[end]) for end in ends]
        markers.append(marker)
    return MarkerArray(markers=markers)


def label_markers(poses: Poses, captions: Mapping[int, Caption], header: Header) -> MarkerArray:
    """The label over the head of each person who has one, namespace 'labels'."""
    corners = _on_plane(poses.boxes.reshape(-1, 2, 2), poses.image_size)
    markers = []
    for index, (box, track_id) in enumerate(zip(corners, poses.track_id, strict=True)):
        caption = captions.get(int(track_id))
        if caption is None or not np.isfinite(box).all():
            continue
        marker = _marker(header, 'labels', int(track_id), index, Marker.TEXT_VIEW_FACING)
        marker.scale.z = TEXT_HEIGHT
        marker.color.a = 1.0 if caption.confirmed else 0.5
        marker.text = f'{track_id} {caption.label} {caption.confidence:.0%}'
        marker.pose.position = _point((box.mean(0)[0], box[0, 1] - TEXT_HEIGHT, 1.0))
        markers.append(marker)
    return MarkerArray(markers=markers)


def _marker(header: Header, namespace: str, track_id: int, index: int, kind: int) -> Marker:
    blue, green, red = colour_of(track_id)
    marker = Marker(
        header=header,
        ns=namespace,
        # Ids of markers are 32 bit; people without identity are told apart by their place.
        id=track_id % 2**31 if track_id >= 0 else -1 - index,
        type=kind,
        action=Marker.ADD,
        color=ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=1.0),
        lifetime=LIFETIME,
    )
    marker.pose.orientation.w = 1.0
    return marker


def _on_plane(xy: npt.NDArray[np.float32], image_size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """(..., 2) pixels to (..., 3) metres in the optical frame."""
    width, height = max(image_size[0], 1), image_size[1]
    centre = np.array([width - 1, height - 1]) / 2
    plane = (xy.astype(np.float64) - centre) / width
    return np.concatenate([plane, np.ones_like(plane[..., :1])], -1)


def _point(xyz: npt.ArrayLike) -> Point:
    x, y, z = (float(value) for value in np.asarray(xyz))
    return Point(x=x, y=y, z=z)
