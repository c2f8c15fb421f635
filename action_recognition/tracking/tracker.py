"""Identity of each person over time, from poses alone.

Two-stage association as in ByteTrack (Zhang et al., ECCV 2022): sure detections first, then
doubtful ones, which may prolong a track but never begin one. Likeness is the OKS of joints
instead of the overlap of boxes; motion is constant velocity in stamp time, so the frame rate
may vary. All pairs of a stage are assigned at once, by the Hungarian method. What is assigned is
the density of a find and not its likeness alone: the longer somebody is out of sight the wider the
search for them, and the less it says that somebody is in it. So a person who is lost does not take
over the pose of a person who is in sight.

Rules of identity:

- Who was out of sight for at most `max_lost` seconds resumes the id where motion predicts them,
  behind somebody, at the border or anywhere else. After that they are a new person; ids are never
  reused.
- Where two people are lost and it might be either who came back (or two came back who might as
  well be each other), nobody is resumed: they get new ids rather than those of someone else.
- Nothing here looks at appearance. Two people of like pose who meet in the same place and part
  again while one hides the other may still be taken for each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from action_recognition.skeleton import FLIP, FloatArray, IntArray, Poses
from action_recognition.tracking.similarity import oks

#: Fewer shared joints than this say too little about who somebody is.
MIN_COMMON = 3
#: Seconds over which the velocity of a track is averaged, and after which somebody out of sight is
#: taken to have stopped.
VELOCITY_TIME = 0.2
COAST_TIME = 0.6
#: How fast a person may depart from the predicted motion, in body scales a second, and the
#: departure at which the search stops growing (neighbours stand about one body scale apart).
AGILITY = 0.7
MAX_SPREAD = 0.6
#: The same for a sudden move, which is possible, but less likely than the motion predicted.
BURST_AGILITY = 4.0
MAX_BURST = 0.4
BURST_SHARE = 0.1
#: The wider the search, the less a find says: the standard deviation of a joint in a search of no
#: spread, in body scales (about twice the mean of `SIGMAS`).
LEAST_WIDTH = 0.17
#: What a pose whose left and right are swapped counts of one in which they are not.
MIRRORED = 0.8
#: Seconds without sight after which somebody may be taken for another who is lost, and how many
#: times likelier than another answer the answer must be then.
LOST = 0.25
AMBIGUITY = 1.1


@dataclass(frozen=True)
class TrackerConfig:
    """How the tracker decides.

    Attributes:
        high_score: mean joint score from which a person may begin a track.
        low_score: mean joint score from which a person may prolong one.
        match_similarity: least OKS between a track's prediction and a detection, in [0, 1].
        duplicate_similarity: OKS above which two poses of one image are the same person.
        confirmations: images in a row a newcomer must be seen in before it is reported.
        max_lost: seconds without a match after which a track ends.

    Raises:
        ValueError: a value is out of its range.
    """

    high_score: float = 0.3
    low_score: float = 0.1
    match_similarity: float = 0.15
    duplicate_similarity: float = 0.6
    confirmations: int = 3
    max_lost: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.low_score <= self.high_score <= 1:
            raise ValueError('scores must satisfy 0 <= low_score <= high_score <= 1')
        if not 0 < self.match_similarity <= 1 or not 0 < self.duplicate_similarity <= 1:
            raise ValueError('similarities must lie in (0, 1]')
        if self.confirmations < 1 or self.max_lost < 0:
            raise ValueError('confirmations must be at least 1 and max_lost not negative')


class Tracker:
    """Gives the people of successive images their ids: 1, 2, 3 ..., never reused."""

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.config = config or TrackerConfig()
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget everybody; the next image counts as the first of a stream."""
        self._tracks: list[_Track] = []
        self._stamp: int | None = None
        self._image_size = (0, 0)

    def successor(self) -> Tracker:
        """A tracker that knows nobody and gives none of the ids that this one has given."""
        successor = Tracker(self.config)
        successor._next_id = self._next_id
        return successor

    def predict(self, stamp: int) -> Poses:
        """Where the people of all live tracks should be at a stamp, which changes nothing.

        Newcomers that are not reported yet have id -1. Each joint has the score with which it was
        last seen. Before the stamp of the last image nobody is known.
        """
        if self._stamp is None or stamp < self._stamp:
            return Poses.empty(stamp, self._image_size)
        tracks = self._alive(stamp)
        if not tracks:
            return Poses.empty(stamp, self._image_size)
        known = np.stack([track.known(self.config.max_lost) for track in tracks])
        return Poses(
            np.stack([track.predict((stamp - track.stamp) * 1e-9) for track in tracks]),
            np.where(known, np.stack([track.score for track in tracks]), 0),
            np.array([track.id for track in tracks]),
            stamp,
            self._image_size,
        )

    def update(self, poses: Poses) -> Poses:
        """The confirmed people among these, ordered by id; `assign` says who decides and how.

        Args:
            poses: the people of one image; their `track_id` is ignored.

        Returns:
            Those of them that belong to a confirmed track, with `track_id` set.
        """
        ids = self.assign(poses)
        order = np.argsort(ids, kind='stable')
        rows = order[ids[order] >= 0]
        return poses[rows].with_ids(ids[rows])

    def assign(self, poses: Poses) -> IntArray:
        """The id of each of the people of one image, -1 for those of no confirmed track.

        People of the very first image are confirmed at once, later ones after `confirmations`
        images in a row. An image stamped before the last one, or of another size (0 x 0 is not
        known and changes nothing), resets the tracker.

        Args:
            poses: the people of one image; their `track_id` is ignored.

        Returns:
            (n,) ids in the order of the people.
        """
        size = poses.image_size if any(poses.image_size) else self._image_size
        resized = any(self._image_size) and size != self._image_size
        if self._stamp is not None and (poses.stamp < self._stamp or resized):
            self.reset()
        first, self._stamp = self._stamp is None, poses.stamp
        self._image_size = size
        self._tracks = self._alive(poses.stamp)
        confirmed = [t for t in self._tracks if t.id > 0]
        newcomers = [t for t in self._tracks if t.id < 0]

        matched: dict[int, _Track] = {}
        high, low = self._candidates(poses)
        confirmed, high = self._associate(confirmed, high, poses, matched)
        self._associate(confirmed, low, poses, matched)
        missed, high = self._associate(newcomers, high, poses, matched)
        self._tracks = [t for t in self._tracks if t not in missed]
        for i in high:
            stamps = np.full(len(poses.xy[i]), poses.stamp)
            matched[i] = _Track(poses.xy[i].copy(), poses.score[i].copy(), stamps)
            self._tracks.append(matched[i])
        for track in matched.values():
            if track.id < 0 and (first or track.hits >= self.config.confirmations):
                track.id = self._next_id
                self._next_id += 1

        ids = np.full(len(poses), -1, np.int64)
        for i, track in matched.items():
            ids[i] = track.id
        return ids

    def _alive(self, stamp: int) -> list[_Track]:
        """The tracks that have not ended by this stamp."""
        limit = self.config.max_lost * 1e9
        return [track for track in self._tracks if stamp - track.stamp <= limit]

    def _candidates(self, poses: Poses) -> tuple[list[int], list[int]]:
        """Rows of sure and of doubtful people, without second poses of the same person."""
        score = poses.person_score
        alike = oks(poses.xy, poses.score, poses.xy, poses.score, min_common=MIN_COMMON)
        kept: list[int] = []
        for i in np.argsort(-score, kind='stable'):
            if (alike[i, kept] <= self.config.duplicate_similarity).all():
                kept.append(int(i))
        kept.sort()
        high = [i for i in kept if score[i] >= self.config.high_score]
        low = [i for i in kept if self.config.low_score <= score[i] < self.config.high_score]
        return high, low

    def _associate(
        self, tracks: list[_Track], rows: list[int], poses: Poses, matched: dict[int, _Track]
    ) -> tuple[list[_Track], list[int]]:
        """Move tracks onto the rows of poses that fit them best; returns what is left of both."""
        if not tracks or not rows:
            return tracks, rows
        alike, mirrored, evidence = self._likeness(tracks, poses[np.array(rows)])
        evidence[~(alike >= self.config.match_similarity)] = 0  # also where it is not a number
        pairs = [
            (int(t), int(r))
            for t, r in zip(*linear_sum_assignment(-evidence), strict=True)
            if evidence[t, r]
        ]
        lost = [(poses.stamp - track.stamp) * 1e-9 > LOST for track in tracks]
        pairs = _clear(pairs, evidence, lost)
        for t, r in pairs:
            pose = poses.xy[rows[r]], poses.score[rows[r]]
            tracks[t].move(*pose, poses.stamp, mirrored=bool(mirrored[t, r]))
            matched[rows[r]] = tracks[t]
        taken_tracks, taken_rows = {t for t, _ in pairs}, {r for _, r in pairs}
        return (
            [track for t, track in enumerate(tracks) if t not in taken_tracks],
            [row for r, row in enumerate(rows) if r not in taken_rows],
        )

    def _likeness(
        self, tracks: list[_Track], poses: Poses
    ) -> tuple[FloatArray, npt.NDArray[np.bool_], FloatArray]:
        """(tracks, people) how alike each person and track are, and how much that says.

        The first is the OKS, the second whether it is that of the person with left and right
        swapped.
        """
        seconds = np.array([(poses.stamp - track.stamp) * 1e-9 for track in tracks])
        predicted = np.stack([t.predict(s) for t, s in zip(tracks, seconds, strict=True)])
        known = np.stack([track.known(self.config.max_lost) for track in tracks])
        steady = np.minimum(AGILITY * seconds, MAX_SPREAD)
        burst = np.maximum(np.minimum(BURST_AGILITY * seconds, MAX_BURST), steady)
        flipped = poses.xy[:, FLIP], poses.score[:, FLIP]

        def fit(xy: FloatArray, score: FloatArray, spread: npt.NDArray) -> FloatArray:
            return oks(predicted, known, xy, score, spread=spread, min_common=MIN_COMMON)

        swapped = MIRRORED * fit(*flipped, steady)
        near = np.maximum(fit(poses.xy, poses.score, steady), swapped)
        sudden = fit(poses.xy, poses.score, burst)
        far = np.maximum(sudden, near)
        evidence = near / _width(steady)[:, None] + BURST_SHARE * far / _width(burst)[:, None]
        return far, swapped > sudden, evidence


def _width(spread: npt.NDArray[np.floating]) -> FloatArray:
    """How wide a search is, in widths of one in which only the error of joints counts."""
    return np.sqrt(1 + (spread / LEAST_WIDTH) ** 2).astype(np.float32)


def _clear(
    pairs: list[tuple[int, int]], evidence: FloatArray, lost: list[bool]
) -> list[tuple[int, int]]:
    """The pairs that bring no lost track back in doubt about whose it is.

    A person who came back is one of two lost people, or two came back and might as well be each
    other: if the other answer is nearly as likely, there is none.
    """
    row_of = dict(pairs)
    doubtful = set()
    for t, r in pairs:
        for other, is_lost in enumerate(lost):
            if other == t or not (is_lost and lost[t]):
                continue
            mine, swapped = evidence[t, r], evidence[other, r]
            if other in row_of:
                mine = mine * evidence[other, row_of[other]]
                swapped = swapped * evidence[t, row_of[other]]
            if mine < AMBIGUITY * swapped:
                doubtful.add(t)
    return [(t, r) for t, r in pairs if t not in doubtful]


@dataclass(eq=False)
class _Track:
    """One person: where and how surely each joint was last seen, and how the whole body moves.

    Joints out of sight travel with the body, so that a person seen in part still fits.
    """

    xy: FloatArray
    score: FloatArray
    joint_stamp: npt.NDArray[np.int64]
    velocity: FloatArray = field(default_factory=lambda: np.zeros(2, np.float32))
    hits: int = 1
    id: int = -1

    @property
    def stamp(self) -> int:
        """When the person was last seen, in nanoseconds."""
        return int(self.joint_stamp.max())

    def known(self, max_age: float) -> npt.NDArray[np.bool_]:
        """(14,) joints seen within these seconds before the last sight of the person."""
        fresh = self.stamp - self.joint_stamp <= max_age * 1e9
        return fresh & np.isfinite(self.xy[:, 0])

    def predict(self, seconds: float) -> FloatArray:
        """(14, 2) joints this long after the person was last seen."""
        coasting = COAST_TIME * (1 - np.exp(-seconds / COAST_TIME))
        return self.xy + self.velocity * np.float32(coasting)

    def move(self, xy: FloatArray, score: FloatArray, stamp: int, *, mirrored: bool) -> None:
        """Take over the joints seen now. The body moves by the median over joints.

        Those are compared as they were when the pose was found to be alike, with left and right
        swapped or not: of somebody who was seen from one side no joint may be there otherwise.
        """
        seconds = (stamp - self.stamp) * 1e-9
        alike = xy[list(FLIP)] if mirrored else xy
        both = np.isfinite(alike[:, 0]) & np.isfinite(self.xy[:, 0])
        step = np.median(alike[both] - self.xy[both], axis=0)
        if seconds > 0:
            gain = 1 - np.exp(-seconds / VELOCITY_TIME)
            self.velocity = self.velocity + np.float32(gain) * (step / seconds - self.velocity)
        seen = np.isfinite(xy[:, 0])
        self.xy = np.where(seen[:, None], xy, self.xy + step).astype(np.float32)
        self.score = np.where(seen, score, self.score)
        self.joint_stamp = np.where(seen, stamp, self.joint_stamp)
        self.hits += 1
