"""What went wrong most when bags were scored, with pictures of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from action_recognition.classes import background
from action_recognition.datasets.bags import BagImages
from action_recognition.datasets.sources import split_bag
from action_recognition.datasets.streams import segments
from action_recognition.errors import UserError
from action_recognition.evaluation import offline
from action_recognition.evaluation.bag import Scored
from action_recognition.evaluation.online import true_actions
from action_recognition.evaluation.report import STILL_WIDTH
from action_recognition.recognition.labels import UNKNOWN
from action_recognition.visualization.overlay import Caption, draw_people


@dataclass(frozen=True)
class Failure:
    """A true action that was hardly recognised, or a label where nobody acted.

    Attributes:
        badness: seconds of the action times the probability that its label lacked, or seconds of
            the false label.
        stamp: ns, of the middle.
        text: what happened.
    """

    scored: Scored
    badness: float
    stamp: int
    text: str


def failures(scored: Scored) -> list[Failure]:
    """What went wrong in a bag, the worst first."""
    found = []
    for t in scored.timelines:
        seconds = (t.stamps - t.stamps[0]) * 1e-9
        none = background(t.classes)
        who = '' if t.person == 'any' else f'person {t.person}, '
        actions = [(*segment, True) for segment in true_actions(t)]
        alarms = [
            (*segment, False)
            for segment in segments(t.said)
            if (t.targets[segment[0] : segment[1]] == none).all()
        ]
        for start, stop, label, is_true in (*actions, *alarms):
            last = min(stop, len(t) - 1)
            length = seconds[last] - seconds[start]
            mean = t.probabilities[start:stop].mean(0)
            when = f'{who}{seconds[start]:.2f} to {seconds[last]:.2f} s'
            name = t.classes[label].replace('_', ' ')
            if is_true:
                badness = length * (1 - float(mean[label]))
                said = t.classes[int(mean.argmax())].replace('_', ' ')
                seen = t.tracked[start:stop].mean()
                text = f'{name}, {when}: mostly {said} ({mean.max():.0%}), tracked {seen:.0%}'
            else:
                badness, text = length, f'{name} said, {when}: nobody acts'
            found.append(Failure(scored, float(badness), int(t.stamps[(start + last) // 2]), text))
    return sorted(found, key=lambda failure: -failure.badness)


def pictures(worst: Sequence[Failure]) -> dict[tuple[str, int], str]:
    """The image of each failure whose bag has images, with what was seen in it, in base64."""
    found: dict[tuple[str, int], str] = {}
    for scored in {id(f.scored): f.scored for f in worst}.values():
        wanted = {f.stamp for f in worst if f.scored is scored}
        try:
            path, _ = split_bag(scored.spec)
            spec = scored.spec if offline.holds_images(scored.spec) else str(path)
            bag = BagImages(spec)
        except UserError:
            continue
        with bag:
            for stamp, pixels in bag.messages():
                if stamp in wanted and (scored.spec, stamp) not in found:
                    found[scored.spec, stamp] = _drawn(scored, stamp, pixels())
    return found


def _drawn(scored: Scored, stamp: int, image: np.ndarray) -> str:
    row = next(k for k, poses in enumerate(scored.frames.poses) if poses.stamp == stamp)
    captions: Mapping[int, Caption] = {
        e.track_id: Caption(e.label, e.confidence, e.state == 'confirmed')
        for e in scored.answers[row] or ()
        if e.class_id != UNKNOWN and e.state != 'ended'
    }
    picture = draw_people(image, scored.frames.poses[row], captions)
    size = (STILL_WIDTH, max(1, round(picture.shape[0] * STILL_WIDTH / picture.shape[1])))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode('.jpg', small, (cv2.IMWRITE_JPEG_QUALITY, 80))[1]
    return base64.b64encode(data.tobytes()).decode()
