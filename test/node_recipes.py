"""Headers and images for tests of the nodes, by the millisecond."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from action_recognition.nodes.convert import ns_to_stamp
from action_recognition.nodes.images import bgr_to_image


def header(ms: int) -> Header:
    """Of what came `ms` after the beginning."""
    return Header(stamp=ns_to_stamp(10**18 + ms * 1_000_000), frame_id='eye')


def image(ms: int, grey: int = 90, size: tuple[int, int] = (48, 64)) -> Image:
    """A grey image of this height and width."""
    return bgr_to_image(np.full((*size, 3), grey, np.uint8), header(ms))
