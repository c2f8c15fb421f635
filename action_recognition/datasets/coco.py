"""COCO keypoints: people in photographs with 17 joints each (Lin et al., ECCV 2014).

Layout: `<root>/annotations/person_keypoints_<part>.json` and `<root>/<part>/*.jpg`, as published.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from action_recognition.datasets.clips import require_file
from action_recognition.errors import UserError
from action_recognition.skeleton import COCO17, NUM_JOINTS, FloatArray, adapt

PART = 'val2017'
LAYOUT = f'the COCO folder, with annotations/person_keypoints_{PART}.json and {PART}/*.jpg'


@dataclass(frozen=True)
class CocoImage:
    """One photograph and its people.

    Attributes:
        path: of the image.
        xy: (n, 14, 2) float32 pixels as published, NaN where not labelled; the neck is the middle
            of the shoulders.
        boxes: (n, 4) float32 x0, y0, x1, y1 of the annotated boxes.
    """

    path: Path
    xy: FloatArray
    boxes: FloatArray


def load_coco(root: Path, part: str = PART) -> list[CocoImage]:
    """The images of a part that show people with labelled joints, by their number.

    Groups that are annotated as one (`iscrowd`) and people without a labelled joint are left
    out, as the published evaluation does.

    Raises:
        UserError: `root` does not hold the set, or the annotations are damaged.
    """
    path = require_file(Path(root) / 'annotations' / f'person_keypoints_{part}.json', LAYOUT)
    people: dict[int, list[dict[str, Any]]] = defaultdict(list)
    images = []
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        for entry in content['annotations']:
            if not entry['iscrowd'] and entry['num_keypoints'] > 0:
                people[entry['image_id']].append(entry)
        names = {entry['id']: entry['file_name'] for entry in content['images']}
        for number in sorted(people):
            joints = [_joints(entry['keypoints']) for entry in people[number]]
            boxes = np.array([entry['bbox'] for entry in people[number]], np.float32)
            boxes = boxes.reshape(len(joints), 4)
            boxes[:, 2:] += boxes[:, :2]
            file = require_file(Path(root) / part / Path(names[number]).name, LAYOUT)
            images.append(CocoImage(file, np.stack(joints), boxes))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} is damaged ({error!r}); copy it again') from error
    return images


def _joints(flat: list[float]) -> FloatArray:
    """(14, 2) of x, y, visibility of 17 joints one after another."""
    table = np.array(flat, np.float32).reshape(1, 17, 3)
    xy, score = adapt(table[..., :2], np.minimum(table[..., 2], 1), COCO17)
    return np.where(score[0, :, None] > 0, xy[0], np.nan).reshape(NUM_JOINTS, 2)
