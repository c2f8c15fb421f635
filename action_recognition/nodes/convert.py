"""Messages of this package to `Poses` and action estimates, and back, losing nothing."""

from __future__ import annotations

import array
from collections.abc import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from action_recognition.datasets.skeleton_messages import poses_of
from action_recognition.errors import UserError
from action_recognition.msg import (
    ActionLabel,
    ActionLabelArray,
    Joint,
    LabelClass,
    LabelInfo,
    Skeleton,
    SkeletonArray,
)
from action_recognition.recognition.labels import UNKNOWN, UNKNOWN_LABEL, ActionEstimate
from action_recognition.skeleton import NUM_JOINTS, Poses, part_directions
from action_recognition.visualization.overlay import Caption

NANOSECONDS = 1_000_000_000

STATES: dict[str, int] = {
    'candidate': ActionLabel.CANDIDATE,
    'confirmed': ActionLabel.CONFIRMED,
    'ended': ActionLabel.ENDED,
}
STATE_NAMES: dict[int, str] = {value: name for name, value in STATES.items()}


def stamp_to_ns(stamp: Time) -> int:
    """Nanoseconds of a time."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def ns_to_stamp(nanoseconds: int) -> Time:
    """The time of these nanoseconds."""
    sec, nanosec = divmod(int(nanoseconds), NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def poses_to_msg(poses: Poses, header: Header) -> SkeletonArray:
    """The people of an image under the header of that image."""
    width, height = poses.image_size
    directions = part_directions(poses.xy)
    people = zip(poses.track_id, poses.xy, poses.score, poses.person_score, directions, strict=True)
    skeletons = [
        Skeleton(
            track_id=int(track_id),
            joints=[
                Joint(x=x, y=y, score=s)
                for (x, y), s in zip(xy.tolist(), score.tolist(), strict=True)
            ],
            score=float(person_score),
            part_direction=direction,
        )
        for track_id, xy, score, person_score, direction in people
    ]
    return SkeletonArray(header=header, image_width=width, image_height=height, skeletons=skeletons)


def msg_to_poses(message: SkeletonArray) -> Poses:
    """The people of a message; a joint with a NaN coordinate or score 0 is not seen.

    Raises:
        UserError: there are more people than `MAX_PEOPLE`, a person has not 14 joints, a
            coordinate is infinite or beyond `MAX_COORDINATE`, a score lies outside [0, 1], or two
            people share a track id.
    """
    for person in message.skeletons:
        if len(person.joints) != NUM_JOINTS:
            raise UserError(f'a skeleton has {len(person.joints)} joints, not {NUM_JOINTS}')
    return poses_of(
        [[(j.x, j.y, j.score) for j in person.joints] for person in message.skeletons],
        [person.track_id for person in message.skeletons],
        stamp_to_ns(message.header.stamp),
        (message.image_width, message.image_height),
    )


def estimates_to_msg(estimates: Iterable[ActionEstimate], header: Header) -> ActionLabelArray:
    """What everybody in an image is doing, under the header of that image."""
    actions = [
        ActionLabel(
            track_id=estimate.track_id,
            label='' if estimate.class_id == UNKNOWN else estimate.label,
            class_id=estimate.class_id,
            confidence=float(estimate.confidence),
            state=STATES[estimate.state],
            began=ns_to_stamp(estimate.began),
            scores=array.array('f', estimate.scores),
        )
        for estimate in estimates
    ]
    return ActionLabelArray(header=header, actions=actions)


def msg_to_estimates(message: ActionLabelArray) -> list[ActionEstimate]:
    """The action estimates of a message.

    Raises:
        UserError: a confidence is not in [0, 1] or a state is not one of ActionLabel's.
    """
    estimates = []
    for action in message.actions:
        if not 0 <= action.confidence <= 1:
            raise UserError(
                f'the label of person {action.track_id} has confidence {action.confidence}, '
                'which is not in [0, 1]'
            )
        if action.state not in STATE_NAMES:
            raise UserError(f'the label of person {action.track_id} has state {action.state}')
        estimates.append(
            ActionEstimate(
                track_id=action.track_id,
                class_id=action.class_id,
                label=action.label or UNKNOWN_LABEL,
                confidence=action.confidence,
                state=STATE_NAMES[action.state],
                began=stamp_to_ns(action.began),
                scores=np.array(action.scores, np.float32),
            )
        )
    return estimates


def captions(message: ActionLabelArray) -> dict[int, Caption]:
    """What to write over each person whose action is known, by track id."""
    return {
        action.track_id: Caption(
            action.label, action.confidence, action.state == ActionLabel.CONFIRMED
        )
        for action in message.actions
        if action.label and action.state != ActionLabel.ENDED
    }


def labels_to_msg(labels: Sequence[str], threshold: float, stamp: Time) -> LabelInfo:
    """The latched list of classes."""
    return LabelInfo(
        header=Header(stamp=stamp),
        class_map=[LabelClass(class_id=i, class_name=name) for i, name in enumerate(labels)],
        threshold=float(threshold),
    )
