"""Trackers of others beside ours, each with its own defaults and tuned on the tuning scenes.

norfair (BSD-3) and motmetrics come with the extra `peers`. The boxes of a pose are what ByteTrack
and OC-SORT of the package `trackers` (Apache-2.0) are given; it is installed by hand, without its
dependency on a second OpenCV, and left out where it is missing.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.spatial.distance import cdist

from action_recognition.errors import UserError
from action_recognition.skeleton import FloatArray, IntArray, Poses
from action_recognition.tracking.similarity import oks
from action_recognition.tracking.tracker import Tracker, TrackerConfig

#: The rate for which the peers count frames.
FRAME_RATE = 30


class PeerTracker(Protocol):
    """Gives the people of one image after the other their ids."""

    def update(self, poses: Poses) -> IntArray:
        """(n,) ids of the people of an image, -1 for those without."""


@dataclass(frozen=True)
class Peer:
    """A tracker with its settings.

    Attributes:
        name: in the tables.
        package: that must be installed, '' for none.
        make: builds it from the images a second, the height of the image, and settings.
        settings: those that the measurement uses.
        space: for each setting a draw from its range, for the search of settings.
    """

    name: str
    package: str
    make: Callable[..., PeerTracker]
    settings: Mapping[str, Any]
    space: Mapping[str, Callable[[np.random.Generator], Any]]

    @property
    def installed(self) -> bool:
        return not self.package or importlib.util.find_spec(self.package) is not None

    def create(self, rate: int, height: int, **settings: Any) -> PeerTracker:
        """A fresh tracker; `settings` override those of the peer."""
        return self.make(rate, height, **{**self.settings, **settings})


# --- ours -------------------------------------------------------------------------------------


class Ours:
    """The tracker of the perception node."""

    def __init__(self, rate: int, height: int, **settings: Any) -> None:
        self.tracker = Tracker(TrackerConfig(**settings))

    def update(self, poses: Poses) -> IntArray:
        return self.tracker.assign(poses)


# --- the simplest thing -----------------------------------------------------------------------


class NearestCentroid:
    """Greedy: the nearest mean of joints within a distance, remembered for a second."""

    def __init__(self, rate: int, height: int, reach: float, lost: float) -> None:
        self.reach, self.lost = reach * height, lost
        self.known: dict[int, tuple[FloatArray, int]] = {}
        self.next = 1

    def update(self, poses: Poses) -> IntArray:
        out = np.full(len(poses), -1, np.int64)
        self.known = {
            i: (place, stamp)
            for i, (place, stamp) in self.known.items()
            if poses.stamp - stamp <= self.lost * 1e9
        }
        rows = np.flatnonzero(poses.seen.any(1))
        middle = np.array([np.nanmean(poses.xy[row], 0) for row in rows]).reshape(-1, 2)
        ids = list(self.known)
        places = np.array([self.known[i][0] for i in ids]).reshape(-1, 2)
        far = cdist(places, middle)
        while far.size and far.min() < self.reach:
            i, row = np.unravel_index(far.argmin(), far.shape)
            out[rows[row]] = ids[i]
            far[i], far[:, row] = np.inf, np.inf
        for row in rows[out[rows] < 0]:
            out[row], self.next = self.next, self.next + 1
        for row, place in zip(rows, middle, strict=True):
            self.known[int(out[row])] = place, poses.stamp
        return out


# --- norfair ----------------------------------------------------------------------------------


class Norfair:
    """norfair with 14 points for each person.

    Its authors' example for body joints counts the joints that lie within a fixed distance
    (`distance='voting'`); `distance='oks'` is 1 - OKS by our `similarity.oks`.
    """

    def __init__(
        self,
        rate: int,
        height: int,
        distance: str,
        distance_threshold: float,
        joint_distance: float,
        hit_counter_max: int,
        initialization_delay: int,
        pointwise_hit_counter_max: int,
        scaled: bool,
    ) -> None:
        """joint_distance: in image heights; scaled: counts are of 30 Hz, fewer at lower rates."""
        import norfair
        from norfair.distances import create_keypoints_voting_distance

        share = rate / FRAME_RATE if scaled else 1.0
        hits = max(round(hit_counter_max * share), 2)
        function: Any = create_keypoints_voting_distance(joint_distance * height, SEEN)
        self.norfair = norfair
        logging.disable(logging.WARNING)  # that a distance of one pair at a time is slow
        self.tracker = norfair.Tracker(
            function,
            distance_threshold,
            hit_counter_max=hits,
            initialization_delay=min(round(initialization_delay * share), hits - 1),
            pointwise_hit_counter_max=pointwise_hit_counter_max,
            detection_threshold=SEEN,
        )
        logging.disable(logging.NOTSET)
        if distance == 'oks':  # the constructor takes no distance of all pairs but its own
            self.tracker.distance_function = _norfair_oks()

    def update(self, poses: Poses) -> IntArray:
        out = np.full(len(poses), -1, np.int64)
        rows = np.flatnonzero(poses.seen.any(1))
        detections = [
            self.norfair.Detection(
                np.where(poses.seen[row][:, None], poses.xy[row], np.nanmean(poses.xy[row], 0)),
                scores=poses.score[row].astype(float),
                data=int(row),
            )
            for row in rows
        ]
        now = {id(detection) for detection in detections}
        for person in self.tracker.update(detections):
            if id(person.last_detection) in now:
                out[person.last_detection.data] = person.id
        return out


#: Joints of a lower score are not seen, as in the example of norfair's authors.
SEEN = 0.01


def _norfair_oks() -> Any:
    """1 - OKS of all pairs at once, by the interface of norfair's distances."""
    from norfair.distances import Distance

    class OneMinusOks(Distance):
        def get_distances(self, objects: Any, candidates: Any) -> FloatArray:
            """(candidates, objects), as norfair wants it."""
            if not len(objects) or not len(candidates):
                return np.zeros((len(candidates), len(objects)), np.float32)
            return 1 - oks(
                np.stack([candidate.points for candidate in candidates]),
                np.stack([candidate.scores for candidate in candidates]),
                np.stack([person.estimate for person in objects]),
                np.stack([person.last_detection.scores > SEEN for person in objects]),
            )

    return OneMinusOks()


# --- trackers ---------------------------------------------------------------------------------


class Boxes:
    """A tracker of the package `trackers` on the boxes round joints."""

    def __init__(self, rate: int, height: int, kind: str, **settings: Any) -> None:
        import supervision
        import trackers

        self.detections = supervision.Detections
        self.tracker = getattr(trackers, kind)(frame_rate=float(rate), **settings)

    def update(self, poses: Poses) -> IntArray:
        out = np.full(len(poses), -1, np.int64)
        rows = np.flatnonzero(poses.seen.any(1))
        boxes = self.detections(
            xyxy=poses.boxes[rows].astype(float).reshape(-1, 4),
            confidence=poses.person_score[rows].astype(float),
            class_id=np.zeros(len(rows), int),
            data={'row': rows},
        )
        found = self.tracker.update(boxes, timestamp=poses.stamp * 1e-9)
        if len(found):
            out[np.asarray(found.data['row'], int)] = found.tracker_id
        return out


def _among(*values: Any) -> Callable[[np.random.Generator], Any]:
    return lambda rng: values[rng.integers(len(values))]


def _between(low: float, high: float) -> Callable[[np.random.Generator], float]:
    return lambda rng: round(float(rng.uniform(low, high)), 3)


_NORFAIR = {
    'distance': 'voting',
    'distance_threshold': 0.4,
    'joint_distance': 1 / 40,
    'hit_counter_max': 30,
    'initialization_delay': 4,
    'pointwise_hit_counter_max': 10,
    'scaled': False,
}
#: What the search on tuning scenes chose: the best of as many trials for each.
_OURS_TUNED = {
    'high_score': 0.467,
    'low_score': 0.084,
    'match_similarity': 0.237,
    'duplicate_similarity': 0.538,
    'confirmations': 2,
    'max_lost': 4.0,
}
_NORFAIR_TUNED = {
    **_NORFAIR,
    'distance': 'oks',
    'distance_threshold': 0.9,
    'hit_counter_max': 60,
    'initialization_delay': 2,
    'scaled': True,
}
_BYTETRACK_TUNED = {
    'kind': 'ByteTrackTracker',
    'lost_track_buffer': 90,
    'track_activation_threshold': 0.533,
    'high_conf_det_threshold': 0.463,
    'minimum_iou_threshold': 0.169,
    'minimum_consecutive_frames': 1,
}
_OCSORT_TUNED = {
    'kind': 'OCSORTTracker',
    'lost_track_buffer': 30,
    'minimum_iou_threshold': 0.073,
    'minimum_consecutive_frames': 3,
    'high_conf_det_threshold': 0.245,
    'direction_consistency_weight': 0.099,
    'delta_t': 2,
}
_BYTETRACK = {
    'lost_track_buffer': _among(15, 30, 45, 60, 90),
    'track_activation_threshold': _between(0.1, 0.7),
    'high_conf_det_threshold': _between(0.2, 0.7),
    'minimum_iou_threshold': _between(0.02, 0.5),
    'minimum_consecutive_frames': _among(1, 2, 3),
}

#: Ours first; then the plain one; then those of libraries.
PEERS: tuple[Peer, ...] = (
    Peer('ours', '', Ours, {}, {}),
    Peer('ours, tuned', '', Ours, _OURS_TUNED, {
        'high_score': _between(0.2, 0.5),
        'low_score': _between(0.05, 0.2),
        'match_similarity': _between(0.05, 0.35),
        'duplicate_similarity': _between(0.5, 0.95),
        'confirmations': _among(1, 2, 3, 4),
        'max_lost': _among(1.0, 1.5, 2.0, 3.0, 4.0),
    }),
    Peer('nearest centroid', '', NearestCentroid, {'reach': 0.1, 'lost': 1.0}, {}),
    Peer('norfair', 'norfair', Norfair, _NORFAIR, {}),
    Peer('norfair, tuned', 'norfair', Norfair, _NORFAIR_TUNED, {
        'distance': _among('voting', 'oks'),
        'distance_threshold': _between(0.1, 0.95),
        'joint_distance': _between(0.02, 0.15),
        'hit_counter_max': _among(15, 30, 45, 60),
        'initialization_delay': _among(1, 2, 3, 4),
        'pointwise_hit_counter_max': _among(4, 10, 20),
        'scaled': _among(True, False),
    }),
    Peer('ByteTrack', 'trackers', Boxes, {'kind': 'ByteTrackTracker'}, {}),
    Peer('ByteTrack, tuned', 'trackers', Boxes, _BYTETRACK_TUNED, _BYTETRACK),
    Peer('OC-SORT', 'trackers', Boxes, {'kind': 'OCSORTTracker'}, {}),
    Peer('OC-SORT, tuned', 'trackers', Boxes, _OCSORT_TUNED, {
        'lost_track_buffer': _among(15, 30, 45, 60, 90),
        'minimum_iou_threshold': _between(0.05, 0.5),
        'minimum_consecutive_frames': _among(1, 2, 3, 4),
        'direction_consistency_weight': _between(0, 0.5),
        'high_conf_det_threshold': _between(0.2, 0.7),
        'delta_t': _among(1, 2, 3),
    }),
)  # fmt: skip


def choose(names: str | None) -> list[Peer]:
    """The peers that are named (comma-separated), or all that are installed.

    Raises:
        UserError: a name is not known, or what it needs is not installed.
    """
    if names is None:
        return [peer for peer in PEERS if peer.installed]
    known = {peer.name: peer for peer in PEERS}
    wanted = [name.strip() for name in names.split(';')]
    for name in wanted:
        if name not in known:
            raise UserError(f'no tracker {name!r}; there are: {"; ".join(known)}')
        if not known[name].installed:
            raise UserError(f'{name} needs the package {known[name].package}: docs/benchmarks.md')
    return [known[name] for name in wanted]
