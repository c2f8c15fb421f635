"""A first draft of the truth about bags: what the model confirms in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from action_recognition.datasets.sources import split_bag
from action_recognition.datasets.truth import Segment
from action_recognition.errors import UserError
from action_recognition.evaluation import offline
from action_recognition.evaluation.offline import Setup
from action_recognition.evaluation.report import Moment, deeds


def propose(
    setup: Setup, specs: Sequence[str], left_out: Callable[[UserError], object]
) -> list[Segment]:
    """The confirmed labels of each tracked person as segments, in seconds from the first frame.

    Args:
        left_out: is told why a bag cannot be read; the rest goes on.

    Raises:
        UserError: weights cannot be used, or nothing is confirmed.
    """
    recognizer = offline.create_recognizer(setup)
    estimator = None
    found: list[Segment] = []
    for spec in specs:
        try:
            images = offline.takes_images(spec, setup.sees)
        except UserError as error:
            left_out(error)
            continue
        if images:
            estimator = estimator or offline.create_perception(setup)
        try:
            frames = (
                offline.look(spec, estimator, setup.perception)
                if estimator and images
                else offline.read(spec)
            )
        except UserError as error:
            left_out(error)
            continue
        answers = offline.recognise(frames.poses, recognizer)
        moments = [
            Moment(poses.stamp, tuple(estimates))
            for poses, estimates in zip(frames.poses, answers, strict=True)
            if estimates is not None
        ]
        name = split_bag(spec)[0].name
        found += [
            Segment(name, deed.begin, deed.end, str(deed.person), deed.label)
            for deed in deeds(moments)
            if deed.end > deed.begin >= 0
        ]
    recognizer.close()
    if estimator:
        estimator.close()
    if not found:
        raise UserError('the model confirms nothing in these bags: there is nothing to propose')
    return found
