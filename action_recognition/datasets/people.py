"""Single labelled people in images, the diet of the pose network: for training and for scoring."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition.datasets.coco import load_coco
from action_recognition.datasets.jhmdb import load_jhmdb, person_boxes, reliable, video_path
from action_recognition.datasets.lspet import load_lspet
from action_recognition.errors import UserError
from action_recognition.skeleton import NUM_JOINTS, FloatArray, face_from_head_top

#: LSP-extended has no official split: its last images are ours for validation. They are taken
#: as a block, as neighbouring images can show the same person.
LSPET_VALIDATION = 1000
#: A teacher's joint is believed above this score; below, it is treated as unlabelled.
TEACHER_SCORE = 0.5
#: A frame with fewer labelled joints teaches little and measures badly.
MIN_JOINTS = 6
#: A crop round a person takes in this part of the person's box on every side of it.
BOX_MARGIN = 0.25
#: How far from a person's joints, in parts of the longer side of their box, nothing of the person
#: is left to be seen; and the width in pixels below which what is there shows too little.
BESIDE_MARGIN = 0.3
MIN_BESIDE = 48


class Person(NamedTuple):
    """An encoded image and the 14 joints of one person in its pixels, NaN where unlabelled.

    Images stay encoded, for some 16,000 of them are held in memory at once.
    """

    jpeg: bytes
    xy: FloatArray

    def image(self) -> npt.NDArray[np.uint8]:
        """(h, w, 3) uint8 BGR.

        Raises:
            UserError: the bytes are not an image.
        """
        image = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError('an image of the data set is damaged: copy the data set again')
        return image


def lspet_people(root: Path, part: str) -> list[Person]:
    """The people of LSP-extended, head top moved to the face; `part` is 'train' or 'validation'."""
    data = load_lspet(root)
    cut = len(data.paths) - LSPET_VALIDATION
    rows = range(cut) if part == 'train' else range(cut, len(data.paths))
    xy = face_from_head_top(np.where(data.labelled[..., None], data.xy, np.nan))
    return [Person(data.paths[i].read_bytes(), xy[i]) for i in rows]


def jhmdb_people(
    root: Path, part: str, every: int, *, teacher: bool = False, crop: bool = False
) -> list[Person]:
    """Every n-th frame of the clips of JHMDB split 1.

    Args:
        part: 'train' or 'test' of split 1.
        every: 1 for all frames.
        teacher: take a teacher's joints where there is no reliable truth (never for a test).
        crop: cut the frame to the surroundings of the acting person.
    """
    trusted = reliable(root)
    boxes = person_boxes(root) if crop else {}
    people = []
    for clip in load_jhmdb(root, 1, part, 'best' if teacher else 'truth'):
        truth = clip.name in trusted
        if not truth and not teacher:
            continue
        believed = clip.score > (0 if truth else TEACHER_SCORE)
        labelled = np.where((believed & clip.inside)[..., None], clip.xy, np.nan)
        video = cv2.VideoCapture(str(video_path(root, clip.name)))
        for i, xy in enumerate(labelled):
            ok, frame = video.read()
            if not ok:
                break
            if i % every or np.isfinite(xy).all(-1).sum() < MIN_JOINTS:
                continue
            if crop:
                frame, xy = _crop(frame, xy, boxes[clip.name][i])
            jpeg = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
            people.append(Person(jpeg.tobytes(), xy.astype(np.float32)))
    return people


def beside(person: Person) -> list[npt.NDArray[np.uint8]]:
    """The parts of an image left and right of the person that are wide enough to show something.

    Only people with nearly every joint labelled are asked: an unlabelled leg may stand anywhere.
    """
    known = np.isfinite(person.xy).all(-1)
    if known.sum() < NUM_JOINTS - 1:
        return []
    image = person.image()
    width = image.shape[1]
    low, high = person.xy[known].min(0), person.xy[known].max(0)
    margin = BESIDE_MARGIN * (high - low).max()
    x0, x1 = int(low[0] - margin), int(high[0] + margin)
    strips = [image[:, : max(x0, 0)], image[:, min(x1, width) :]]
    return [strip for strip in strips if strip.shape[1] >= MIN_BESIDE]


def coco_people(root: Path) -> list[Person]:
    """The people of COCO val2017 with enough labelled joints, each cut out of its photograph."""
    people = []
    for photograph in load_coco(root):
        image = None
        for xy, box in zip(photograph.xy, photograph.boxes, strict=True):
            if np.isfinite(xy).all(-1).sum() < MIN_JOINTS:
                continue
            if image is None:
                image = read_image(photograph.path)
            cut, moved = _crop(image, xy, box)
            jpeg = cv2.imencode('.jpg', cut, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
            people.append(Person(jpeg.tobytes(), moved.astype(np.float32)))
    return people


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """(h, w, 3) uint8 BGR.

    Raises:
        UserError: the file is not an image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f'{path} is not an image that OpenCV can read; copy it again')
    return image.astype(np.uint8, copy=False)


def _crop(
    frame: npt.NDArray[np.uint8], xy: FloatArray, box: FloatArray
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """The frame cut round a box (unchanged where the box is not known), joints moved along."""
    if not np.isfinite(box).all():
        return frame, xy
    height, width = frame.shape[:2]
    margin = BOX_MARGIN * (box[2:] - box[:2])
    x0, y0 = np.clip(box[:2] - margin, 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(box[2:] + margin, (x0 + 1, y0 + 1), (width, height)).astype(int)
    return frame[y0:y1, x0:x1], xy - np.array([x0, y0])
