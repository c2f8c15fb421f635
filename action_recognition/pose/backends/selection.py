"""What of another estimator's answer counts, by the thresholds of ours."""

from __future__ import annotations

import numpy as np

from action_recognition.pose.decode import DecoderConfig, People
from action_recognition.pose.estimator import in_image
from action_recognition.skeleton import Poses


def select(poses: Poses, config: DecoderConfig) -> Poses:
    """The people who count, the surest first.

    Others guess joints that nobody can see, also beyond the border of the image; such a joint is
    not seen here, and a person is whoever keeps enough of them.

    Args:
        poses: of an image whose size is known.
        config: least score of a joint, least number and least mean score of the joints of a
            person, most people; the rest is about our own network's maps.
    """
    xy, score = in_image(People(poses.xy, poses.score), poses.image_size)
    score = np.where(score >= config.joint_threshold, score, 0)
    number = (score > 0).sum(1)
    mean = score.sum(1) / np.maximum(number, 1)
    people = (number >= max(config.min_joints, 1)) & (mean >= config.min_score)
    order = np.argsort(-score.mean(1), kind='stable')
    chosen = order[people[order]][: config.max_people]
    return Poses(xy[chosen], score[chosen], stamp=poses.stamp, image_size=poses.image_size)
