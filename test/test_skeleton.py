"""Joints, limbs, parts, adapters and `Poses`.

The joint orders of other sets are spelled out as their publishers name them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from action_recognition import skeleton
from action_recognition.skeleton import (
    FACE_FRACTION,
    FLIP,
    JOINT_NAMES,
    LIMB_JOINTS,
    LIMBS,
    NUM_JOINTS,
    NUM_PARTS,
    PARTS,
    Joint,
    Poses,
    adapt,
    face_from_head_top,
    part_directions,
    torso_size,
    within,
)

#: `hri_msgs/Skeleton2D`, constants 0 to 13 (REP-155).
_REP_155 = """
    nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist
    right_hip right_knee right_ankle left_hip left_knee left_ankle
"""
REP_155 = _REP_155.split()

COCO17 = """
    nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow
    left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle
"""
LSP14 = """
    right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow
    right_shoulder left_shoulder left_elbow left_wrist neck head_top
"""
JHMDB15 = """
    neck belly face right_shoulder left_shoulder right_hip left_hip right_elbow left_elbow
    right_knee left_knee right_wrist left_wrist right_ankle left_ankle
"""
PENN13 = """
    head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip
    right_hip left_knee right_knee left_ankle right_ankle
"""
KINECT20 = """
    hip_center spine shoulder_center head left_shoulder left_elbow left_wrist left_hand
    right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot
    right_hip right_knee right_ankle right_foot
"""
BLAZEPOSE33 = """
    nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear
    right_ear mouth_left mouth_right left_shoulder right_shoulder left_elbow right_elbow left_wrist
    right_wrist left_pinky right_pinky left_index right_index left_thumb right_thumb left_hip
    right_hip left_knee right_knee left_ankle right_ankle left_heel right_heel left_foot_index
    right_foot_index
"""

SHOULDERS = ('left_shoulder', 'right_shoulder')
#: Adapter -> order of the set, and its joints that make our nose and neck.
ADAPTERS = {
    'from_coco17': (COCO17.split(), ('nose',), SHOULDERS),
    'from_lsp14': (LSP14.split(), ('head_top',), ('neck',)),
    'from_jhmdb15': (JHMDB15.split(), ('face',), ('neck',)),
    'from_penn13': (PENN13.split(), ('head',), SHOULDERS),
    'from_kinect20': (KINECT20.split(), ('head',), ('shoulder_center',)),
    'from_blazepose33': (BLAZEPOSE33.split(), ('nose',), SHOULDERS),
}


def person(**joints: tuple[float, float]) -> np.ndarray:
    """(14, 2) of the joints named, NaN elsewhere."""
    xy = np.full((NUM_JOINTS, 2), np.nan, np.float32)
    for name, place in joints.items():
        xy[Joint[name.upper()]] = place
    return xy


def people(count: int) -> Poses:
    """`count` people whose coordinates and scores all differ."""
    xy = np.arange(count * 28, dtype=np.float32).reshape(count, 14, 2)
    score = np.linspace(0.1, 1, count * 14).reshape(count, 14)
    return Poses(xy, score, np.arange(count) + 10, stamp=123, image_size=(640, 480))


def test_joint_order_is_that_of_rep_155():
    assert list(JOINT_NAMES) == REP_155
    assert NUM_JOINTS == 14


def test_limb_joints_leave_out_head_and_neck():
    assert {REP_155[joint] for joint in LIMB_JOINTS} == set(REP_155) - {'nose', 'neck'}


def test_flip_swaps_left_and_right_and_undoes_itself():
    for joint, mirrored in enumerate(FLIP):
        swapped = {'left': 'right', 'right': 'left'}
        side, _, part = REP_155[joint].partition('_')
        expected = f'{swapped[side]}_{part}' if side in swapped else REP_155[joint]
        assert REP_155[mirrored] == expected
        assert FLIP[mirrored] == joint


def test_limbs_are_a_tree_from_the_neck_with_parents_first():
    reached = {Joint.NECK}
    for parent, child in LIMBS:
        assert parent in reached
        assert child not in reached
        reached.add(child)
    assert len(LIMBS) == NUM_JOINTS - 1
    assert reached == set(Joint)


def test_limbs_are_symmetric():
    assert {(FLIP[a], FLIP[b]) for a, b in LIMBS} == {(int(a), int(b)) for a, b in LIMBS}


@pytest.mark.parametrize('name', ADAPTERS)
def test_adapter_follows_the_published_names(name):
    order, nose, neck = ADAPTERS[name]
    sources = {joint: (joint,) for joint in REP_155} | {'nose': nose, 'neck': neck}
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 100, (3, len(order), 2)).astype(np.float32)
    score = rng.uniform(0.1, 1, (3, len(order))).astype(np.float32)
    poses = getattr(Poses, name)(xy, score, stamp=5, image_size=(100, 80))
    assert (len(poses), poses.stamp, poses.image_size) == (3, 5, (100, 80))
    for joint, ours in enumerate(REP_155):
        rows = [order.index(source) for source in sources[ours]]
        np.testing.assert_allclose(poses.xy[:, joint], xy[:, rows].mean(1), rtol=1e-6)
        np.testing.assert_array_equal(poses.score[:, joint], score[:, rows].min(1))


@pytest.mark.parametrize('name', ADAPTERS)
def test_adapter_refuses_too_few_joints_or_other_scores(name):
    count = len(ADAPTERS[name][0])
    adapter = getattr(Poses, name)
    # Orders that end in joints we drop, like Kinect's feet, may be cut there.
    with pytest.raises(ValueError, match='expected at least'):
        adapter(np.zeros((1, 12, 2)), np.ones((1, 12)))
    with pytest.raises(ValueError, match='expected at least'):
        adapter(np.zeros((1, count, 2)), np.ones((1, count - 1)))
    with pytest.raises(ValueError, match='expected at least'):
        adapter(np.zeros(count), np.ones(count))


def test_adapter_neck_needs_both_shoulders():
    xy = np.ones((1, 17, 2))
    score = np.ones((1, 17))
    score[0, COCO17.split().index('left_shoulder')] = 0
    poses = Poses.from_coco17(xy, score)
    assert np.flatnonzero(~poses.seen[0]).tolist() == [Joint.NECK, Joint.LEFT_SHOULDER]


def test_adapt_keeps_leading_and_coordinate_dimensions():
    xyz, score = adapt(np.zeros((4, 5, 20, 3)), np.ones((4, 5, 20)), skeleton.KINECT20)
    assert xyz.shape == (4, 5, 14, 3)
    assert score.shape == (4, 5, 14)
    assert xyz.dtype == score.dtype == np.float32


def test_joint_not_seen_holds_nan_and_score_zero():
    xy = np.ones((1, 14, 2))
    score = np.full((1, 14), 0.5)
    xy[0, 0, 1] = np.nan
    xy[0, 1, 0] = np.inf
    score[0, 2] = 0
    score[0, 3] = np.nan
    poses = Poses(xy, score)
    assert poses.seen[0].tolist() == [*[False] * 4, *[True] * 10]
    assert np.isnan(poses.xy[0, :4]).all()
    assert (poses.score[0, :4] == 0).all()
    np.testing.assert_array_equal(np.isnan(poses.xy).all(-1), poses.score == 0)


def test_poses_are_frozen_copies():
    xy = np.ones((1, 14, 2), np.float32)
    score = np.ones((1, 14), np.float32)
    poses = Poses(xy, score)
    xy[:] = 5
    score[:] = 0
    assert (poses.xy == 1).all()
    assert (poses.score == 1).all()
    for array in (poses.xy, poses.score, poses.track_id):
        with pytest.raises(ValueError, match='read-only'):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        poses.stamp = 3


def test_types_and_defaults():
    poses = Poses(np.ones((2, 14, 2)), np.ones((2, 14)), stamp=np.int64(7), image_size=(4.0, 3.0))
    assert (poses.xy.dtype, poses.score.dtype) == (np.float32, np.float32)
    assert poses.track_id.dtype == np.int64
    assert poses.track_id.tolist() == [-1, -1]
    assert (poses.stamp, type(poses.stamp)) == (7, int)
    assert poses.image_size == (4, 3)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'xy': np.ones((2, 13, 2))}, r'xy must have shape \(n, 14, 2\), not \(2, 13, 2\)'),
        ({'xy': np.ones((14, 2))}, 'xy must have shape'),
        ({'xy': np.ones((2, 14, 3))}, 'xy must have shape'),
        ({'score': np.ones((2, 13))}, r'score must have shape \(2, 14\)'),
        ({'score': np.ones((1, 14))}, 'score must have shape'),
        ({'score': np.full((2, 14), 1.01)}, r'score must lie in \[0, 1\]'),
        ({'score': np.full((2, 14), -0.01)}, r'score must lie in \[0, 1\]'),
        ({'track_id': np.array([1])}, r'track_id must have shape \(2,\)'),
        ({'image_size': (-1, 5)}, 'image_size must not be negative'),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    arguments = {'xy': np.ones((2, 14, 2)), 'score': np.ones((2, 14))} | changes
    with pytest.raises(ValueError, match=message):
        Poses(**arguments)


def test_nobody():
    for poses in (Poses.empty(5, (64, 48)), Poses([], [], stamp=5, image_size=(64, 48))):
        assert len(poses) == 0
        assert poses.xy.shape == (0, 14, 2)
        assert poses.score.shape == poses.seen.shape == (0, 14)
        assert poses.person_score.shape == poses.track_id.shape == (0,)
        assert poses.boxes.shape == (0, 4)
        assert poses.to_hri_skeleton2d().shape == (0, 18, 3)
        assert (poses.stamp, poses.image_size) == (5, (64, 48))


@pytest.mark.parametrize(
    ('index', 'rows'),
    [
        (1, [1]),
        (-1, [2]),
        (slice(1, None), [1, 2]),
        (np.array([True, False, True]), [0, 2]),
        (np.array([2, 0]), [2, 0]),
        (np.array([], np.int64), []),
    ],
)
def test_selection_of_people(index, rows):
    poses = people(3)
    some = poses[index]
    np.testing.assert_array_equal(some.xy, poses.xy[rows])
    np.testing.assert_array_equal(some.score, poses.score[rows])
    assert some.track_id.tolist() == [10 + row for row in rows]
    assert (some.stamp, some.image_size) == (123, (640, 480))


def test_selection_out_of_range():
    with pytest.raises(IndexError):
        people(2)[2]


def test_iteration_gives_single_people():
    assert [len(one) for one in people(3)] == [1, 1, 1]


def test_with_ids():
    poses = people(2).with_ids([4, 9])
    assert poses.track_id.tolist() == [4, 9]
    np.testing.assert_array_equal(poses.xy, people(2).xy)
    with pytest.raises(ValueError, match='track_id'):
        people(2).with_ids([4])


def test_person_score_counts_unseen_joints_as_zero():
    score = np.zeros((1, 14))
    score[0, :7] = 0.5
    assert Poses(np.ones((1, 14, 2)), score).person_score.tolist() == [0.25]


def test_boxes_are_tight_round_the_joints_seen():
    xy = np.stack([person(nose=(3, 9), left_hip=(5, 2), neck=(4, 4)), person()])
    boxes = Poses(xy, np.ones((2, 14))).boxes
    assert boxes.dtype == np.float32
    assert boxes[0].tolist() == [3, 2, 5, 9]
    assert np.isnan(boxes[1]).all()


def test_hri_skeleton_is_normalised_by_the_image():
    xy = person(nose=(320, 120), left_ankle=(64, 480))
    score = np.full((1, 14), 0.75)
    out = Poses(xy[None], score, image_size=(640, 480)).to_hri_skeleton2d()
    assert out.shape == (1, 18, 3)
    np.testing.assert_allclose(out[0, 0], (0.5, 0.25, 0.75))
    np.testing.assert_allclose(out[0, 13], (0.1, 1, 0.75), rtol=1e-6)
    # Joints not seen, and the eyes and ears we do not have.
    assert (np.delete(out[0], [0, 13], 0) == 0).all()


def test_hri_skeleton_needs_the_image_size():
    with pytest.raises(ValueError, match='image_size must be known'):
        Poses(np.ones((1, 14, 2)), np.ones((1, 14))).to_hri_skeleton2d()


def test_part_directions_by_hand():
    xy = person(
        nose=(10, 0),
        neck=(10, 10),
        left_shoulder=(10, 10),
        left_wrist=(20, 10),
        right_shoulder=(10, 10),
        right_wrist=(0, 10),
        left_hip=(20, 20),
        right_hip=(0, 20),
        left_ankle=(30, 30),
    )
    angles = dict(zip(PARTS, part_directions(xy), strict=True))
    assert angles['head'] == pytest.approx(-np.pi / 2)  # up: y points down
    assert angles['torso'] == pytest.approx(np.pi / 2)
    assert angles['left_arm'] == pytest.approx(0)
    assert abs(angles['right_arm']) == pytest.approx(np.pi)
    assert angles['left_leg'] == pytest.approx(np.pi / 4)
    assert np.isnan(angles['right_leg'])


def test_part_directions_keep_leading_dimensions():
    assert NUM_PARTS == 6
    angles = part_directions(np.zeros((2, 3, 14, 2)))
    assert angles.shape == (2, 3, 6)
    assert angles.dtype == np.float32


def test_torso_size_is_the_larger_diagonal():
    both = person(right_shoulder=(0, 0), left_hip=(3, 4), left_shoulder=(0, 0), right_hip=(6, 8))
    one = person(right_shoulder=(0, 0), left_hip=(3, 4), left_shoulder=(0, 0))
    sizes = torso_size(np.stack([both, one, person()]))
    assert sizes[:2].tolist() == [10, 5]
    assert np.isnan(sizes[2])


def test_joints_within_an_image_lie_on_its_pixels():
    xy = [[(-0.5, 0), (-0.6, 0), (63.5, 47.5)], [(63.6, 0), (0, 47.6), (np.nan, 3)]]
    assert within(xy, (64, 48)).tolist() == [[True, False, True], [False, False, False]]


def test_face_lies_between_neck_and_head_top():
    xy = np.stack([person(nose=(10, 0), neck=(10, 20), left_hip=(1, 2)), person(nose=(10, 0))])
    moved = face_from_head_top(xy)
    np.testing.assert_allclose(moved[0, Joint.NOSE], (10, 20 - 20 * FACE_FRACTION), rtol=1e-6)
    np.testing.assert_array_equal(moved[:, 1:], xy[:, 1:])
    assert np.isnan(moved[1, Joint.NOSE]).all()
    assert xy[0, Joint.NOSE].tolist() == [10, 0]
