"""JHMDB: hand-checked values of the real files, and a tree written here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from action_recognition.datasets import jhmdb
from action_recognition.datasets.jhmdb import load_jhmdb
from action_recognition.errors import UserError
from action_recognition.skeleton import Joint

#: Our joint -> row of `pos_img`, in the data set's own words.
ROWS = (
    'neck',
    'belly',
    'face',
    'right_shoulder',
    'left_shoulder',
    'right_hip',
    'left_hip',
    'right_elbow',
    'left_elbow',
    'right_knee',
    'left_knee',
    'right_wrist',
    'left_wrist',
    'right_ankle',
    'left_ankle',
)


def test_truth_of_a_written_tree(jhmdb_tree):
    (clip,) = load_jhmdb(jhmdb_tree, 1, 'train', 'truth')
    assert (clip.name, clip.label, clip.group) == ('catch/a_catch_0', 'catch', 'a')
    assert clip.image_size == (320, 240)
    assert clip.stamps.tolist() == [0, 33_333_333, 66_666_667, 100_000_000]
    for joint in Joint:
        row = ROWS.index('face' if joint is Joint.NOSE else joint.name.lower())
        assert clip.xy[:, joint, 0].tolist() == [10 * row + t for t in range(4)]
        assert (clip.xy[:, joint, 1] == 5 * row).all()
    assert (clip.score == 1).all()
    (test,) = load_jhmdb(jhmdb_tree, 1, 'test', 'truth')
    assert test.name == 'catch/a_catch_1'


def test_teacher_of_a_written_tree(jhmdb_tree):
    catch, bow = load_jhmdb(jhmdb_tree, 1, 'train', 'teacher')
    assert (catch.label, bow.label, bow.group) == ('catch', 'shoot_bow', 'b')
    # COCO: nose 0, left shoulder 5, right shoulder 6, right ankle 16.
    assert bow.xy[3, Joint.NOSE].tolist() == [0, 0]
    assert bow.xy[3, Joint.LEFT_SHOULDER].tolist() == [50, 25]
    assert bow.xy[3, Joint.NECK].tolist() == [55, 27.5]
    assert bow.xy[3, Joint.RIGHT_ANKLE].tolist() == [160, 80]
    np.testing.assert_allclose(bow.score[3, Joint.NOSE], 0.1)
    np.testing.assert_allclose(bow.score[3, Joint.RIGHT_ANKLE], 0.9)
    np.testing.assert_allclose(bow.score[3, Joint.NECK], bow.score[3, Joint.LEFT_SHOULDER])


def test_best_prefers_truth(jhmdb_tree):
    catch, bow = load_jhmdb(jhmdb_tree, 1, 'train')
    assert (catch.score == 1).all()
    assert bow.score.max() < 1
    # Without need for it, the teacher's file may be absent.
    (jhmdb_tree / 'movenet_thunder.npz').unlink()
    assert len(load_jhmdb(jhmdb_tree, 1, 'test', 'best')) == 1
    with pytest.raises(UserError, match=r'movenet_thunder\.npz does not exist'):
        load_jhmdb(jhmdb_tree, 1, 'train', 'best')


def test_joints_outside_the_image_are_kept_and_told(jhmdb_tree):
    (clip,) = load_jhmdb(jhmdb_tree, 1, 'train', 'truth')
    assert clip.inside.all()
    positions = np.ones((2, 15, 2))
    positions[0, 11] = [321, -2]  # right wrist
    savemat(
        jhmdb_tree / 'joint_positions' / 'catch' / 'a_catch_0' / 'joint_positions.mat',
        {'pos_img': positions},
    )
    (clip,) = load_jhmdb(jhmdb_tree, 1, 'train', 'truth')
    assert clip.xy[:, Joint.RIGHT_WRIST, 0].tolist() == [320, -3]
    assert not clip.inside[:, Joint.RIGHT_WRIST].any()
    assert clip.inside.sum() == 26


def test_files_beside_the_joints(jhmdb_tree):
    assert jhmdb.reliable(jhmdb_tree) == {'catch/a_catch_0'}
    assert jhmdb.person_boxes(jhmdb_tree)['catch/a_catch_1'].shape == (4, 4)
    path = jhmdb.video_path(jhmdb_tree, 'catch/a_catch_1')
    assert path == jhmdb_tree / 'ReCompress_Videos' / 'catch' / 'a_catch_1.mp4'
    path.rename(path.with_suffix('.avi'))
    assert jhmdb.video_path(jhmdb_tree, 'catch/a_catch_1').suffix == '.avi'
    with pytest.raises(UserError, match=r'missing\.mp4 \(or \.avi\) does not exist'):
        jhmdb.video_path(jhmdb_tree, 'catch/missing')


def test_annotations_of_the_set_itself_are_all_reliable(jhmdb_tree):
    (jhmdb_tree / 'joint_positions' / 'recovery.json').unlink()
    assert jhmdb.reliable(jhmdb_tree) == {'catch/a_catch_0', 'catch/a_catch_1'}


@pytest.mark.parametrize(
    ('name', 'group'),
    [
        ('catch/Goal_Keeping_Tips_catch_f_cm_np1_fr_med_0', 'Goal_Keeping_Tips'),
        ('shoot_bow/11408Erika_shoot_bow_u_nm_np1_fr_med_0', '11408Erika'),
        ('catch/How_to_catch_a_ball_catch_f_cm_np1_ri_goo_1', 'How_to_catch_a_ball'),
        ('wave/own_clip', 'own_clip'),
    ],
)
def test_group_is_the_name_up_to_the_class_word(name, group):
    assert jhmdb.group_of(name) == group


def test_folder_that_is_not_jhmdb(tmp_path, jhmdb_tree):
    with pytest.raises(UserError, match=r'nowhere.splits is not a folder; expected the JHMDB'):
        load_jhmdb(tmp_path / 'nowhere', 1, 'train')
    (tmp_path / 'splits').mkdir()
    with pytest.raises(UserError, match=r'splits holds no .*; expected the JHMDB folder'):
        load_jhmdb(tmp_path, 1, 'train')
    (jhmdb_tree / 'splits' / 'wave_test_split1.txt').unlink()
    with pytest.raises(UserError, match=r'wave_test_split1\.txt does not exist; expected the JHM'):
        load_jhmdb(jhmdb_tree, 1, 'train')


def test_damaged_files_are_named(jhmdb_tree):
    joints = jhmdb_tree / 'joint_positions' / 'catch' / 'a_catch_0' / 'joint_positions.mat'
    savemat(joints, {'pos_img': np.zeros((2, 14, 3))})
    with pytest.raises(UserError, match=r'a_catch_0.joint_positions\.mat: pos_img must have shape'):
        load_jhmdb(jhmdb_tree, 1, 'train', 'truth')
    joints.unlink()
    with pytest.raises(UserError, match=r'a_catch_0.joint_positions\.mat does not exist'):
        load_jhmdb(jhmdb_tree, 1, 'train', 'truth')
    np.savez(jhmdb_tree / 'movenet_thunder.npz', **{'catch/a_catch_0': np.zeros((4, 16, 3))})
    with pytest.raises(UserError, match=r'movenet_thunder\.npz: catch/a_catch_0 must have shape'):
        load_jhmdb(jhmdb_tree, 1, 'train', 'teacher')
    with pytest.raises(UserError, match=r'movenet_thunder\.npz lacks the clip catch/a_catch_1'):
        load_jhmdb(jhmdb_tree, 1, 'test', 'teacher')
    np.savez(jhmdb_tree / 'person_boxes.npz', **{'catch/a_catch_0': np.zeros((4, 5))})
    with pytest.raises(UserError, match=r'person_boxes\.npz: catch/a_catch_0 must have shape'):
        jhmdb.person_boxes(jhmdb_tree)
    (jhmdb_tree / 'joint_positions' / 'recovery.json').write_text('{"catch/a_catch_0": 1}')
    with pytest.raises(UserError, match=r'recovery\.json is damaged'):
        jhmdb.reliable(jhmdb_tree)
    (jhmdb_tree / 'splits' / 'catch_test_split1.txt').write_text('a_catch_0.avi\n')
    with pytest.raises(UserError, match=r"catch_test_split1\.txt: expected lines '<clip>\.avi"):
        load_jhmdb(jhmdb_tree, 1, 'train')


@pytest.mark.parametrize(
    'arguments', [(4, 'train', 'best'), (1, 'validation', 'best'), (1, 'train', 'estimated')]
)
def test_unknown_split_part_or_joints(jhmdb_tree, arguments):
    with pytest.raises(ValueError, match='must be'):
        load_jhmdb(jhmdb_tree, *arguments)


@pytest.mark.parametrize(
    ('split', 'joints', 'counts'),
    [
        (1, 'truth', [433, 176]),
        (2, 'truth', [433, 176]),
        (3, 'truth', [434, 175]),
        (1, 'best', [660, 268]),
        (2, 'best', [658, 270]),
        (3, 'teacher', [663, 265]),
    ],
)
def test_official_splits(data_root, split, joints, counts):
    parts = [load_jhmdb(data_root / 'jhmdb', split, part, joints) for part in ('train', 'test')]
    assert [len(part) for part in parts] == counts
    classes = jhmdb.TRUTH_CLASSES if joints == 'truth' else jhmdb.CLASSES
    assert all({clip.label for clip in part} == set(classes) for part in parts)


def test_hand_checked_truth(data_root):
    """A barman who faces the camera; frame 10 of pos_img as MATLAB shows it, less one."""
    name = 'pour/Bartender_of_America_Bartending_School_pour_u_cm_np1_fr_med_1'
    clips = [
        clip
        for part in ('train', 'test')
        for clip in load_jhmdb(data_root / 'jhmdb', 1, part, 'truth')
        if clip.name == name
    ]
    (clip,) = clips
    assert (len(clip), clip.group) == (30, 'Bartender_of_America_Bartending_School')
    expected = {
        Joint.NECK: (178.768, 108.96),
        Joint.NOSE: (171.316, 89.088),
        Joint.RIGHT_SHOULDER: (146.476, 151.464),
        Joint.LEFT_SHOULDER: (207.196, 107.304),
        Joint.RIGHT_WRIST: (173.8, 166.644),
        Joint.LEFT_ANKLE: (232.588, 304.092),
    }
    for joint, xy in expected.items():
        np.testing.assert_allclose(clip.xy[10, joint], xy, atol=1e-3)
    # Knees and ankles are behind the bar, below the image of 240 lines.
    below = [Joint.RIGHT_KNEE, Joint.LEFT_KNEE, Joint.RIGHT_ANKLE, Joint.LEFT_ANKLE]
    assert np.flatnonzero(~clip.inside[10]).tolist() == sorted(below)


def test_hand_checked_teacher(data_root):
    clips = load_jhmdb(data_root / 'jhmdb', 1, 'train', 'teacher')
    clips += load_jhmdb(data_root / 'jhmdb', 1, 'test', 'teacher')
    (clip,) = [
        clip
        for clip in clips
        if clip.name.startswith('shoot_bow/11408Erika')
        and clip.name.endswith('front_shoot_bow_u_nm_np1_fr_med_0')
    ]
    np.testing.assert_allclose(clip.xy[0, Joint.NOSE], (151.446, 81.782), atol=1e-3)
    np.testing.assert_allclose(clip.xy[0, Joint.RIGHT_SHOULDER], (101.7251, 116.6354), atol=1e-3)
    np.testing.assert_allclose(clip.xy[0, Joint.NECK], (134.67625, 115.132), atol=1e-3)
    np.testing.assert_allclose(clip.score[0, Joint.NECK], 0.8183, atol=1e-4)
    np.testing.assert_allclose(clip.score[0, Joint.RIGHT_ANKLE], 0.0792, atol=1e-4)


def test_truth_and_teacher_agree_on_left_and_right(data_root):
    """Over every joint of split 1 that the teacher is sure of: median error, and mirrored."""
    truth = load_jhmdb(data_root / 'jhmdb', 1, 'test', 'truth')
    teacher = {clip.name: clip for clip in load_jhmdb(data_root / 'jhmdb', 1, 'test', 'teacher')}
    reliable = jhmdb.reliable(data_root / 'jhmdb')
    errors = []
    for clip in truth:
        if clip.name in reliable:
            sure = teacher[clip.name].score > 0.7
            errors.append((clip.xy - teacher[clip.name].xy)[sure & clip.inside])
    error = np.concatenate(errors)
    assert np.median(np.linalg.norm(error, axis=-1)) < 8
    # Both count pixels from 0: were one a pixel off, this would be near 1.
    assert abs(np.median(error[:, 0])) < 0.5


def test_recovered_clips(data_root):
    assert len(jhmdb.reliable(data_root / 'jhmdb')) == 496
    boxes = jhmdb.person_boxes(data_root / 'jhmdb')
    assert len(boxes) == 928
    names = [
        name
        for part in ('train', 'test')
        for name in jhmdb.clip_names(data_root / 'jhmdb', 1, part)
    ]
    assert sorted(names) == sorted(boxes)
    assert all(jhmdb.video_path(data_root / 'jhmdb', name).is_file() for name in names)
