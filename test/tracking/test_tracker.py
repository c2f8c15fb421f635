"""Birth, death and identity, on hand-made people and on recorded ones side by side."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from action_recognition.skeleton import FLIP, JHMDB15, NUM_JOINTS, PENN13, Poses, adapt
from action_recognition.tracking import Tracker, TrackerConfig, oks
from action_recognition.tracking.tracker import MIRRORED

#: A standing person 100 px tall, neck at (0, 0).
STANDING = np.array(
    [
        (0, -15), (0, 0), (-12, 2), (-16, 20), (-17, 37), (12, 2), (16, 20), (17, 37),
        (-8, 38), (-9, 60), (-9, 82), (8, 38), (9, 60), (9, 82),
    ],
    float,
)  # fmt: skip
SECOND = 1_000_000_000


def frame(seconds: float, *people: tuple[float, float], score: float = 0.8) -> Poses:
    """Standing people with their necks at these points."""
    xy = [STANDING + np.array(neck) for neck in people]
    return Poses(
        np.array(xy).reshape(-1, NUM_JOINTS, 2),
        np.full((len(xy), NUM_JOINTS), score),
        stamp=round(seconds * SECOND),
        image_size=(640, 480),
    )


def ids(poses: Poses) -> list[int]:
    return poses.track_id.tolist()


@pytest.mark.parametrize(
    ('confirmations', 'seen', 'reported'),
    [
        (1, '.#', [0, 1]),
        (3, '#####', [1, 1, 1, 1, 1]),
        (3, '.#####', [0, 0, 0, 1, 1, 1]),
        (3, '.##.###', [0, 0, 0, 0, 0, 0, 1]),
        (3, '.#.#.#', [0, 0, 0, 0, 0, 0]),
        (2, '..##', [0, 0, 0, 1]),
        (3, '#.#', [1, 0, 1]),
    ],
)
def test_birth(confirmations: int, seen: str, reported: list[int]) -> None:
    """# a person is in the image; the number of people reported for each image."""
    tracker = Tracker(TrackerConfig(confirmations=confirmations))
    counts = []
    for i, mark in enumerate(seen):
        here = [(100, 100)] if mark == '#' else []
        counts.append(len(tracker.update(frame(i / 30, *here))))
    assert counts == reported


@pytest.mark.parametrize(
    ('max_lost', 'gap', 'same'),
    [(1.0, 0.9, True), (1.0, 1.0, True), (1.0, 1.1, False), (0.2, 0.25, False), (3.0, 2.5, True)],
)
@pytest.mark.parametrize('empty_frames', [True, False])
def test_death(max_lost: float, gap: float, same: bool, empty_frames: bool) -> None:
    tracker = Tracker(TrackerConfig(max_lost=max_lost, confirmations=1))
    assert ids(tracker.update(frame(0, (100, 100)))) == [1]
    if empty_frames:
        for i in range(1, 10):
            assert ids(tracker.update(frame(gap * i / 10))) == []
    assert ids(tracker.update(frame(gap, (100, 100)))) == ([1] if same else [2])


@pytest.mark.parametrize(
    ('first', 'then', 'expected'),
    [
        (0.8, 0.8, [[1], [1]]),
        (0.8, 0.2, [[1], [1]]),  # a doubtful detection prolongs a track
        (0.8, 0.05, [[1], []]),  # noise does not
        (0.2, 0.8, [[], []]),  # nor does a doubtful one begin a track
    ],
)
def test_two_stages(first: float, then: float, expected: list[list[int]]) -> None:
    tracker = Tracker(TrackerConfig(confirmations=2))
    assert ids(tracker.update(frame(0, (100, 100), score=first))) == expected[0]
    assert ids(tracker.update(frame(0.03, (100, 100), score=then))) == expected[1]


def test_sure_detections_choose_first() -> None:
    """A doubtful ghost right on the prediction does not take a sure detection's track."""
    tracker = Tracker()
    tracker.update(frame(0, (100, 100)))
    ghost, person = frame(0.03, (100, 100), score=0.2), frame(0.03, (106, 100))
    both = Poses(
        np.concatenate([ghost.xy, person.xy]),
        np.concatenate([ghost.score, person.score]),
        stamp=ghost.stamp,
    )
    out = tracker.update(both)
    assert ids(out) == [1]
    np.testing.assert_array_equal(out.xy, person.xy)


@pytest.mark.parametrize('rate', [10, 15, 30])
@pytest.mark.parametrize('speed', [0, 60, 150])
def test_two_people_side_by_side(rate: int, speed: float) -> None:
    """Neighbours 45 px apart (people 100 px tall) walk together; detections come in any order."""
    tracker = Tracker()
    rng = np.random.default_rng(rate)
    for i in range(2 * rate):
        x = 50 + speed * i / rate
        people = [(x, 100), (x + 45, 100)]
        order = rng.permutation(2) if i else [0, 1]
        poses = frame(i / rate, *(people[k] for k in order))
        out = tracker.update(
            Poses(poses.xy + rng.normal(0, 2, poses.xy.shape), poses.score, stamp=poses.stamp)
        )
        assert ids(out) == [1, 2]
        assert out.xy[0, 1, 0] < out.xy[1, 1, 0]


def test_occluded_walker_keeps_his_id() -> None:
    """Half a second behind a pillar at 100 px/s, then in view again where motion predicts."""
    tracker = Tracker()
    for i in range(60):
        hidden = 30 <= i < 45
        out = tracker.update(frame(i / 30, *([] if hidden else [(50 + 100 * i / 30, 100)])))
        assert ids(out) == ([] if hidden else [1])


def test_association_is_the_best_of_all_assignments() -> None:
    """Against trying every assignment of five people who stand close and move a little."""
    rng = np.random.default_rng(11)
    for _ in range(20):
        tracker = Tracker(TrackerConfig(duplicate_similarity=1))
        places = rng.uniform((100, 100), (220, 130), (5, 2))
        first, then = frame(0, *places), frame(0, *(places + rng.normal(0, 6, (5, 2))))
        tracker.update(first)
        order = rng.permutation(5)
        got = tracker.assign(then[order])
        alike = oks(first.xy, first.score, then.xy, then.score)
        flip = list(FLIP)
        mirrored = oks(first.xy, first.score, then.xy[:, flip], then.score[:, flip])
        alike = np.maximum(
            alike, MIRRORED * mirrored
        )  # no time has passed: the search has no spread
        best = max(permutations(range(5)), key=lambda rows: alike[range(5), rows].sum())
        assert got.tolist() == [best.index(i) + 1 for i in order]


def test_two_people_cross_and_one_is_hidden_by_the_other() -> None:
    """They walk through each other; the one behind is missed for half a second on the way."""
    for rate in (10, 30):
        tracker = Tracker()
        for i in range(4 * rate + 1):
            t = i / rate
            left, right = 60 + 100 * t, 460 - 100 * t
            hidden = abs(right - left) < 50
            out = tracker.update(frame(t, *((left, 100),) + ((right, 104),) * (not hidden)))
            assert ids(out) == ([1] if hidden else [1, 2])
            assert out.xy[0, 1, 0] == pytest.approx(left)


def test_who_came_back_is_nobody_known_when_it_might_be_either() -> None:
    """Two lost people and one who stands between them: a new id, not a guess."""
    tracker = Tracker(TrackerConfig(confirmations=1))
    tracker.update(frame(0, (100, 100), (160, 100)))
    tracker.update(frame(0.5))
    assert ids(tracker.update(frame(1, (130, 100)))) == [3]


def test_who_came_back_where_only_one_was_lost_is_that_person() -> None:
    tracker = Tracker(TrackerConfig(confirmations=1))
    tracker.update(frame(0, (100, 100), (160, 100)))
    tracker.update(frame(0.5))
    assert ids(tracker.update(frame(1, (104, 100)))) == [1]
    assert ids(tracker.update(frame(1.1, (104, 100), (158, 100)))) == [1, 2]


def test_left_and_right_swapped_is_still_the_same_person() -> None:
    tracker = Tracker()
    for i in range(20):
        poses = frame(i / 30, (100, 100), (160, 100))
        if i % 5 == 4:
            poses = Poses(poses.xy[:, list(FLIP)], poses.score, stamp=poses.stamp)
        assert ids(tracker.update(poses)) == [1, 2]


def test_one_side_of_the_body_then_the_other() -> None:
    """Somebody in profile whose one visible side changes its name walks on as before."""
    tracker = Tracker()
    right = np.isin(np.arange(NUM_JOINTS), [2, 3, 4, 8, 9, 10])
    for i in range(20):
        poses = frame(i / 30, (100 + 4 * i, 100))
        xy, seen = poses.xy, right
        if i % 2:
            xy, seen = xy[:, list(FLIP)], right[list(FLIP)]
        poses = Poses(xy, np.where(seen, poses.score, 0), stamp=poses.stamp)
        assert ids(tracker.update(poses)) == [1]
    (there,) = tracker.predict(round(SECOND * 20 / 30)).xy
    np.testing.assert_allclose(there[seen], STANDING[right] + np.array([180, 100]), atol=1)


def test_joints_beyond_all_numbers_are_nobody_known() -> None:
    tracker = Tracker(TrackerConfig(confirmations=1))
    here = frame(0, (100, 100))
    tracker.update(here)
    far = Poses(here.xy * 1e30, here.score, stamp=SECOND // 30)
    with np.errstate(over='ignore'):  # how alike they are is not a number
        assert ids(tracker.update(far)) == [2]
        assert ids(tracker.update(frame(2 / 30, (100, 100)))) == [1]


def test_ids_in_the_order_of_the_people() -> None:
    tracker = Tracker()
    tracker.update(frame(0, (100, 100), (300, 100)))
    assert tracker.assign(frame(0.03, (500, 100), (300, 100), (100, 100))).tolist() == [-1, 2, 1]


def test_motion_follows_stamps_not_images() -> None:
    """Every third image of a walk: three times the step in three times the time."""
    tracker = Tracker()
    times = [*np.arange(0, 1, 1 / 30), *np.arange(1, 3, 1 / 10)]
    for t in times:
        assert ids(tracker.update(frame(t, (50 + 120 * t, 100), (130 + 120 * t, 100)))) == [1, 2]


@pytest.mark.parametrize('hidden', [0.2, 0.5])
def test_missing_joints(hidden: float) -> None:
    tracker = Tracker(TrackerConfig(high_score=0.2))
    rng = np.random.default_rng(7)
    for i in range(90):
        poses = frame(i / 30, (100 + i, 100), (170 + i, 100), score=0.9)
        score = np.where((rng.random(poses.score.shape) < hidden) & (i > 0), 0, poses.score)
        assert set(ids(tracker.update(Poses(poses.xy, score, stamp=poses.stamp)))) <= {1, 2}
    assert ids(tracker.update(frame(3, (190, 100), (260, 100)))) == [1, 2]


def test_upper_then_lower_body() -> None:
    """Joints out of sight travel with the body: legs alone still belong to the same person."""
    tracker = Tracker(TrackerConfig(high_score=0.2))
    tracker.update(frame(0, (100, 100)))
    for i in range(1, 30):
        poses = frame(i / 30, (100 + 2 * i, 100))
        hide = slice(0, 6) if i % 2 else slice(8, 14)
        score = poses.score.copy()
        score[:, hide] = 0
        assert ids(tracker.update(Poses(poses.xy, score, stamp=poses.stamp))) == [1]


def test_duplicates_are_dropped() -> None:
    tracker = Tracker()
    sure, double = frame(0, (100, 100), score=0.9), frame(0, (102, 100), score=0.7)
    both = Poses(np.concatenate([double.xy, sure.xy]), np.concatenate([double.score, sure.score]))
    out = tracker.update(both)
    assert ids(out) == [1]
    np.testing.assert_array_equal(out.score, sure.score)


def test_backward_stamp_resets_but_ids_go_on() -> None:
    tracker = Tracker()
    assert ids(tracker.update(frame(5, (100, 100), (200, 100)))) == [1, 2]
    assert ids(tracker.update(frame(1, (100, 100)))) == [3]  # at once: a stream begins anew
    tracker.reset()
    assert ids(tracker.update(frame(1, (100, 100)))) == [4]


def test_a_successor_knows_nobody_but_ids_go_on() -> None:
    first = Tracker(TrackerConfig(max_lost=3.0))
    assert ids(first.update(frame(1, (100, 100)))) == [1]
    second = first.successor()
    assert second.config == first.config
    assert ids(second.update(frame(1, (100, 100)))) == [2]


def test_another_size_of_the_image_resets_but_ids_go_on() -> None:
    """At half the size the one on the right stands where the one on the left has been."""
    tracker = Tracker()
    for i, size in enumerate([(640, 480), (0, 0), (640, 480), (320, 240), (320, 240)]):
        small = size == (320, 240)
        people = replace(frame(i / 30, (100, 100), (200, 100)), image_size=size)
        if small:
            people = replace(people, xy=people.xy / 2)
        assert ids(tracker.update(people)) == ([3, 4] if small else [1, 2])
        there = tracker.predict(people.stamp)
        np.testing.assert_allclose(there.xy, people.xy)
    assert there.image_size == (320, 240)


def test_the_same_stamp_again() -> None:
    tracker = Tracker()
    for _ in range(3):
        assert ids(tracker.update(frame(1, (100, 100)))) == [1]


def test_ids_are_never_reused() -> None:
    tracker = Tracker(TrackerConfig(max_lost=0.1, confirmations=1))
    given = [ids(tracker.update(frame(i, (100, 100))))[0] for i in range(5)]
    assert given == [1, 2, 3, 4, 5]


def test_prediction_moves_everybody_on_and_changes_nothing() -> None:
    tracker, twin = (Tracker(TrackerConfig(confirmations=3)) for _ in range(2))
    for i in range(20):  # one walks by 120 px/s; the other appears in the last image
        people = [(100 + 4 * i, 100)] + [(400, 100)] * (i == 19)
        for t in (tracker, twin):
            t.update(frame(i / 30, *people))
    there = tracker.predict(round(SECOND * 20 / 30))
    assert ids(there) == [1, -1]
    assert (there.stamp, there.image_size) == (round(SECOND * 20 / 30), (640, 480))
    np.testing.assert_allclose(there.xy[0], STANDING + np.array([180, 100]), atol=1)
    np.testing.assert_allclose(there.xy[1], STANDING + np.array([400, 100]))
    np.testing.assert_allclose(there.score, 0.8)
    for i in range(20, 23):
        now = frame(i / 30, (100 + 4 * i, 100), (400, 100))
        assert ids(tracker.update(now)) == ids(twin.update(now))


def test_prediction_knows_who_is_out_of_sight_until_their_track_ends() -> None:
    tracker = Tracker(TrackerConfig(max_lost=0.5))
    assert len(tracker.predict(0)) == 0
    tracker.update(frame(1, (100, 100)))
    tracker.update(frame(1.3))
    assert ids(tracker.predict(round(1.5 * SECOND))) == [1]
    assert ids(tracker.predict(round(1.6 * SECOND))) == []
    assert ids(tracker.predict(round(1.4 * SECOND))) == [1]  # as nothing was changed
    assert ids(tracker.predict(round(1.2 * SECOND))) == []  # the clock has jumped back
    tracker.reset()
    assert ids(tracker.predict(round(1.4 * SECOND))) == []


def test_prediction_forgets_joints_that_were_not_seen_for_long() -> None:
    tracker = Tracker(TrackerConfig(max_lost=0.5))
    whole = frame(0, (100, 100))
    tracker.update(whole)
    half = np.where(np.arange(NUM_JOINTS)[None] < 8, whole.score, 0)
    for seconds, seen in ((0.3, 14), (0.4, 14), (0.6, 8)):
        stamp = round(seconds * SECOND)
        tracker.update(Poses(whole.xy, half, stamp=stamp))
        assert tracker.predict(stamp).seen.sum() == seen


def test_empty_images() -> None:
    tracker = Tracker()
    for i in range(3):
        out = tracker.update(Poses.empty(stamp=i, image_size=(640, 480)))
        assert len(out) == 0
        assert (out.stamp, out.image_size) == (i, (640, 480))


def test_deterministic() -> None:
    rng = np.random.default_rng(3)
    frames = [frame(i / 20, *rng.uniform(50, 400, (rng.integers(0, 6), 2))) for i in range(60)]
    runs = [[ids(out) for out in map(Tracker().update, frames)] for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    'values',
    [
        {'high_score': 0.1, 'low_score': 0.2},
        {'high_score': 1.5},
        {'match_similarity': 0},
        {'duplicate_similarity': 1.1},
        {'confirmations': 0},
        {'max_lost': -1},
    ],
)
def test_values_out_of_range(values: dict) -> None:
    with pytest.raises(ValueError):
        TrackerConfig(**values)


def recorded_people(data_root: Path, data_set: str) -> list[np.ndarray]:
    """Some true joint sequences (T, 14, 2), NaN where invisible."""
    if data_set == 'jhmdb':
        files = sorted((data_root / 'jhmdb/joint_positions').glob('*/*/joint_positions.mat'))
        arrays = [scipy.io.loadmat(f)['pos_img'].transpose(2, 1, 0) for f in files[::5]]
        return [adapt(xy, np.ones(xy.shape[:2]), JHMDB15)[0] for xy in arrays]
    clips = []
    for file in sorted((data_root / 'Penn_Action/labels').glob('*.mat'))[::20]:
        mat = scipy.io.loadmat(file)
        xy, visible = adapt(np.stack([mat['x'], mat['y']], -1), mat['visibility'], PENN13)
        clips.append(np.where(visible[..., None] > 0, xy, np.nan))
    return clips


@pytest.mark.parametrize('data_set', ['jhmdb', 'penn'])
@pytest.mark.parametrize('rate', [30, 10])
def test_recorded_people_side_by_side_keep_their_ids(
    data_root: Path, data_set: str, rate: int
) -> None:
    """Two recordings next to each other with 1 % noise: every person reported under one id."""
    clips = recorded_people(data_root, data_set)
    rng = np.random.default_rng(0)
    reported = 0
    for left, right in zip(clips[::2], clips[1::2], strict=False):
        beside = right + np.array([np.nanmax(left[..., 0]) + 20, 0])
        pair = [left[:: 30 // rate], beside[:: 30 // rate]]
        tracker, seen_as = Tracker(), {0: set(), 1: set()}
        for i in range(min(map(len, pair))):
            xy = np.stack([person[i] for person in pair])
            size = np.nanmax(xy, (1, 2)) - np.nanmin(xy[:, :, 1], 1)
            xy += rng.normal(0, 0.005, xy.shape) * size[:, None, None]
            poses = Poses(xy, np.isfinite(xy[..., 0]) * 0.9, stamp=round(i * SECOND / rate))
            out = tracker.update(poses)
            for k in range(2):
                same = (out.xy == poses.xy[k]).any((1, 2))
                seen_as[k].update(out.track_id[same].tolist())
                reported += int(same.sum())
        assert len(seen_as[0]) <= 1
        assert len(seen_as[1]) <= 1
        assert not seen_as[0] & seen_as[1]
    assert reported > 1000
