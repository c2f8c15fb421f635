"""PRECOG: hand-checked values of the real files, a recording written here, and projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from action_recognition.datasets.precog import LABELS, load_precog, project
from action_recognition.errors import UserError
from action_recognition.skeleton import NUM_JOINTS, Joint

HEADER = (
    'HipCenter; Spine; ShoulderCenter; Head; ShoulderLeft; ElbowLeft; WristLeft; HandLeft; '
    'ShoulderRight; ElbowRight; WristRight; HandRight; HipLeft; KneeLeft; AnkleLeft; FootLeft; '
    'HipRight; KneeRight; AnkleRight; FootRight'
)
KINECT = [name.strip() for name in HEADER.split(';')]


def kinect_name(joint: Joint) -> str:
    if joint is Joint.NOSE:
        return 'Head'
    if joint is Joint.NECK:
        return 'ShoulderCenter'
    side, part = joint.name.title().split('_')
    return part + side


def line(offset: float, label: int) -> str:
    """Joint j at (j + offset, 2 j, 3) metres."""
    return ';'.join(f'{j + offset} {2 * j} 3' for j in range(20)) + f';{label}'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / 'CSV').mkdir()
    lost = ';'.join(['0 0 0'] * 20) + ';0'
    (tmp_path / 'CSV' / 'Seq1_2.csv').write_text(
        '\n'.join([HEADER, line(0.25, 0), line(0.5, 8), lost, ''])
    )
    (tmp_path / 'CSV' / 'Seq1_10.csv').write_text('\n'.join([HEADER, line(0, 3)]))
    return tmp_path


def test_written_tree(tree):
    recording, other = load_precog(tree)
    assert (recording.sequence, recording.person) == (1, 2)
    assert (other.sequence, other.person) == (1, 10)
    assert recording.labels.tolist() == [0, 8, 0]
    assert recording.stamps.tolist() == [0, 33_333_333, 66_666_667]
    for joint in Joint:
        column = KINECT.index(kinect_name(joint))
        assert recording.xyz[1, joint].tolist() == [column + 0.5, 2 * column, 3]
    assert np.isfinite(recording.xyz[:2]).all()
    assert np.isnan(recording.xyz[2]).all()


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('Seq1_2', '', 'expected a line naming the 20 Kinect joints'),
        ('Seq1_2', HEADER + '\n', 'expected a line naming the 20 Kinect joints'),
        ('Seq1_2', 'x;y\n' + line(0, 1), 'expected a line naming the 20 Kinect joints'),
        ('Seq1_2', HEADER + '\n' + line(0, 1) + '\n1 2 3;4\n', 'is damaged'),
        ('Seq1_2', HEADER + '\n' + line(0, 1).replace('3', 'x', 1), 'is damaged'),
        ('Seq1_2', HEADER + '\n1 2 3;4\n', 'every line must hold 20 joints'),
        ('Seq1_2', HEADER + '\n' + line(0, 9), 'labels must be whole numbers from 0 to 8'),
        ('Seq_1_2', HEADER + '\n' + line(0, 1), 'the name must be Seq<sequence>_<person>'),
    ],
)
def test_damaged_recording_is_named(tmp_path, name, content, message):
    (tmp_path / 'CSV').mkdir()
    (tmp_path / 'CSV' / f'{name}.csv').write_text(content)
    with pytest.raises(UserError, match=rf'{name}\.csv.*{message}'):
        load_precog(tmp_path)


def test_folder_that_is_not_precog(tmp_path):
    with pytest.raises(UserError, match=r'CSV is not a folder; expected the PRECOG folder'):
        load_precog(tmp_path)


@pytest.fixture
def person() -> np.ndarray:
    """(2, 14, 3): hips 1 m above the origin's height, 3 m away; arms out, then one step left."""
    xyz = np.zeros((1, NUM_JOINTS, 3), np.float32)
    xyz[0, :, 1] = 1
    xyz[0, :, 2] = 3
    xyz[0, Joint.LEFT_WRIST, 0] = -0.6  # the Kinect's x points to its left
    xyz[0, Joint.RIGHT_WRIST, 0] = 0.6
    xyz[0, Joint.NOSE, 1:] = 1.5, 2.7
    step = xyz.copy()
    step[..., 0] -= 0.3
    return np.concatenate([xyz, step])


def test_projection_by_hand(person):
    """Mean hip at (-0.15, 1, 3) m is the image's centre, (319.5, 239.5)."""
    xy = project(person, 600, (640, 480))
    assert xy.dtype == np.float32
    np.testing.assert_allclose(xy[0, Joint.LEFT_HIP], (319.5 - 600 * 0.15 / 3, 239.5))
    np.testing.assert_allclose(xy[1, Joint.LEFT_HIP], (319.5 + 600 * 0.15 / 3, 239.5))
    np.testing.assert_allclose(xy[0, Joint.LEFT_WRIST], (319.5 + 600 * 0.45 / 3, 239.5))
    np.testing.assert_allclose(
        xy[0, Joint.NOSE], (319.5 - 600 * 0.15 / 2.7, 239.5 - 600 * 0.5 / 2.7), rtol=1e-6
    )


def test_distance_scales_the_image(person):
    near, far = (project(person, 600, (640, 480), distance=metres) for metres in (2, 4))
    hand = 600 * 0.45
    assert near[0, Joint.LEFT_WRIST, 0] - 319.5 == pytest.approx(hand / 2, rel=1e-5)
    assert far[0, Joint.LEFT_WRIST, 0] - 319.5 == pytest.approx(hand / 4, rel=1e-5)


def test_yaw_turns_the_person_to_the_left(person):
    """The face of a person who faces us and turns to the left moves to our right."""
    xy = project(person[:1], 600, (640, 480), yaw=np.pi / 2)
    np.testing.assert_allclose(xy[0, Joint.NOSE], (319.5 + 600 * 0.3 / 3, 139.5), atol=1e-3)
    # The left hand is now the farther one, straight behind the hips.
    np.testing.assert_allclose(xy[0, Joint.LEFT_WRIST], (319.5, 239.5), atol=1e-3)


def test_lost_and_too_near_joints_are_not_seen(person):
    person[0, Joint.NECK] = np.nan
    person[1, Joint.NOSE, 2] = 0.05
    xy = project(person, 600, (640, 480))
    assert np.argwhere(np.isnan(xy[..., 0])).tolist() == [[0, Joint.NECK], [1, Joint.NOSE]]
    assert np.isnan(project(np.full((4, 14, 3), np.nan), 600, (640, 480))).all()


@pytest.fixture(scope='module')
def real(data_root):
    return load_precog(data_root / 'precog2016')


def test_counts(real):
    assert len(real) == 72
    assert {recording.person for recording in real} == set(range(1, 13))
    assert {recording.sequence for recording in real} == set(range(1, 7))
    labels = np.concatenate([recording.labels for recording in real])
    assert np.bincount(labels).tolist() == [*(5366, 1704, 1163, 1944, 1308, 2372, 2839, 2023, 500)]
    lost = [
        (recording.sequence, recording.person)
        for recording in real
        if np.isnan(recording.xyz).any()
    ]
    assert lost == [(2, 10), (4, 10)]


def test_hand_checked_frame(real):
    """Line 102 of Seq4_7.csv, in the middle of a left punch."""
    (recording,) = [r for r in real if (r.sequence, r.person) == (4, 7)]
    assert LABELS[recording.labels[100]] == 'left_punch'
    expected = {
        Joint.NOSE: (-0.3618343, 0.7758955, 3.306468),
        Joint.NECK: (-0.3926053, 0.6065878, 3.340816),
        Joint.LEFT_WRIST: (-0.4019249, 0.281284, 3.189455),
        Joint.RIGHT_SHOULDER: (-0.2320838, 0.5390165, 3.446037),
        Joint.LEFT_HIP: (-0.4224131, 0.1267819, 3.298012),
        Joint.RIGHT_ANKLE: (-0.2248716, -0.6689789, 3.370015),
    }
    for joint, place in expected.items():
        np.testing.assert_allclose(recording.xyz[100, joint], place, rtol=1e-6)


def test_unmirrored_camera_sees_the_left_shoulder_on_the_right(real):
    """Everybody faces the Kinect: feet in front of ankles would say the same."""
    recording = real[0]
    xy = project(recording.xyz, 525, (640, 480))
    assert (xy[:, Joint.LEFT_SHOULDER, 0] > xy[:, Joint.RIGHT_SHOULDER, 0]).mean() > 0.9
    assert (xy[:, Joint.NOSE, 1] < xy[:, Joint.LEFT_ANKLE, 1]).all()


def test_right_punches_are_made_by_the_right_hand(real):
    def speed(joint: Joint) -> float:
        moves = [
            np.linalg.norm(np.diff(r.xyz[:, joint], axis=0), axis=-1)[r.labels[1:] == 1]
            for r in real
        ]
        return float(np.nanmean(np.concatenate(moves)))

    assert LABELS[1] == 'right_punch'
    assert speed(Joint.RIGHT_WRIST) > 1.2 * speed(Joint.LEFT_WRIST)
