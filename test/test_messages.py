"""The messages, and that they say the same as `skeleton`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from action_recognition.skeleton import NUM_JOINTS, NUM_PARTS, PARTS, Joint

ROOT = Path(__file__).resolve().parent.parent
MESSAGE_FILES = sorted((ROOT / 'msg').glob('*.msg'))
CONSTANT = re.compile(r'^\w+ ([A-Z_]+) = (\d+)', re.MULTILINE)

FIELDS = {
    'Joint': {'x': 'float', 'y': 'float', 'score': 'float'},
    'Skeleton': {
        'track_id': 'int64',
        'joints': 'action_recognition/Joint[14]',
        'score': 'float',
        'part_direction': 'float[6]',
    },
    'SkeletonArray': {
        'header': 'std_msgs/Header',
        'image_width': 'uint32',
        'image_height': 'uint32',
        'skeletons': 'sequence<action_recognition/Skeleton>',
    },
    'ActionLabel': {
        'track_id': 'int64',
        'label': 'string',
        'class_id': 'int32',
        'confidence': 'float',
        'state': 'uint8',
        'began': 'builtin_interfaces/Time',
        'scores': 'sequence<float>',
    },
    'ActionLabelArray': {
        'header': 'std_msgs/Header',
        'actions': 'sequence<action_recognition/ActionLabel>',
    },
    'BehaviorEvent': {
        'header': 'std_msgs/Header',
        'rule': 'string',
        'track_id': 'int64',
        'label': 'string',
        'confidence': 'float',
        'text': 'string',
    },
    'LabelClass': {'class_id': 'uint16', 'class_name': 'string'},
    'LabelInfo': {
        'header': 'std_msgs/Header',
        'class_map': 'sequence<action_recognition/LabelClass>',
        'threshold': 'float',
    },
}


@pytest.fixture
def msg():
    """The generated module, built from the message files of this tree."""
    pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    return pytest.importorskip('action_recognition.msg', reason='the messages are not built')


def test_there_is_an_expectation_for_every_message():
    assert [path.stem for path in MESSAGE_FILES] == sorted(FIELDS)


@pytest.mark.parametrize('name', FIELDS)
def test_fields(msg, name):
    assert getattr(msg, name).get_fields_and_field_types() == FIELDS[name]


@pytest.mark.parametrize('path', MESSAGE_FILES, ids=lambda path: path.stem)
def test_every_field_and_constant_is_explained(path):
    """A comment stands at the line, or directly above the group of lines it belongs to."""
    explained = False
    for line in path.read_text().splitlines():
        if line.startswith('#'):
            explained = True
        elif not line:
            explained = False
        else:
            assert explained or '#' in line, f'{path.name}: {line}'


def test_joint_indices_are_those_of_skeleton():
    constants = {
        name: int(value)
        for name, value in CONSTANT.findall((ROOT / 'msg' / 'Skeleton.msg').read_text())
    }
    assert constants.pop('NUM_JOINTS') == NUM_JOINTS == 14
    assert constants.pop('NUM_PARTS') == NUM_PARTS == 6
    parts = {name: constants.pop(name) for name in list(constants) if name.startswith('PART_')}
    assert parts == {f'PART_{name.upper()}': index for index, name in enumerate(PARTS)}
    assert constants == {joint.name: joint.value for joint in Joint}


def test_constants_are_generated(msg):
    assert [getattr(msg.Skeleton, joint.name) for joint in Joint] == list(range(14))
    label = msg.ActionLabel
    assert [label.CANDIDATE, label.CONFIRMED, label.ENDED] == [0, 1, 2]


@pytest.mark.parametrize(
    ('field', 'value'),
    [('joints', 13), ('joints', 15), ('part_direction', 5), ('part_direction', 7)],
)
def test_wrong_number_of_joints_or_parts_is_refused(msg, field, value):
    """Humble always checks, Jazzy where it is asked to."""
    wrong = [msg.Joint()] * value if field == 'joints' else [0.0] * value
    checks = {'check_fields': True} if hasattr(msg.Skeleton(), '_check_fields') else {}
    with pytest.raises(AssertionError):
        msg.Skeleton(**{field: wrong}, **checks)


def test_a_full_message_survives_the_wire(msg):
    from rclpy.serialization import deserialize_message, serialize_message

    skeleton = msg.Skeleton(
        track_id=2**40,
        joints=[msg.Joint(x=float(i), y=-float(i), score=i / 16) for i in range(14)],
        score=0.5,
        part_direction=[0.25 * i for i in range(6)],
    )
    array = msg.SkeletonArray(image_width=640, image_height=480, skeletons=[skeleton])
    array.header.frame_id = 'camera_optical_frame'
    array.header.stamp.sec, array.header.stamp.nanosec = 12, 345
    assert deserialize_message(serialize_message(array), msg.SkeletonArray) == array

    label = msg.ActionLabel(
        track_id=7,
        label='wave',
        class_id=-1,
        confidence=0.75,
        state=msg.ActionLabel.ENDED,
        scores=[0.25, 0.75],
    )
    label.began.sec = 11
    actions = msg.ActionLabelArray(header=array.header, actions=[label])
    assert deserialize_message(serialize_message(actions), msg.ActionLabelArray) == actions
