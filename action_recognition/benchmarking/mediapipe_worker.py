"""Runs MediaPipe's pose landmarker for another process; needs mediapipe and numpy alone.

    python mediapipe_worker.py THREADS [MODEL]

After a line `{}` it reads, again and again, a line `[height, width]` and height * width * 3 bytes
of BGR pixels, and answers a line `{"landmarks": [[x, y, visibility], ...]}` in parts of the image,
33 of them or none. A line `{"error": ...}` ends it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def landmarker(model: str) -> Callable[[Any], list[Any]]:
    """A function from (h, w, 3) RGB pixels to the landmarks of the one person in them."""
    import mediapipe

    if model:
        vision = mediapipe.tasks.vision
        options = vision.PoseLandmarkerOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_path=model)
        )
        tasks = vision.PoseLandmarker.create_from_options(options)

        def detect(pixels: Any) -> list[Any]:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            found = tasks.detect(image).pose_landmarks
            return found[0] if found else []

        return detect
    if not hasattr(mediapipe, 'solutions'):
        raise RuntimeError('this mediapipe holds no model: give --mediapipe-model FILE.task')
    pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1)

    def process(pixels: Any) -> list[Any]:
        found = pose.process(pixels).pose_landmarks
        return list(found.landmark) if found else []

    return process


def main() -> None:
    threads, model = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ''
    # Its interface does not say how many threads it uses, but no more than there are cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    pipe = sys.stdin.buffer
    try:
        import numpy as np

        detect = landmarker(model)
        print('{}')
        while line := pipe.readline():
            height, width = json.loads(line)
            image = np.frombuffer(pipe.read(height * width * 3), np.uint8)
            rgb = np.ascontiguousarray(image.reshape(height, width, 3)[..., ::-1])
            rows = [[mark.x, mark.y, mark.visibility] for mark in detect(rgb)]
            print(json.dumps({'landmarks': rows}))
    except Exception as error:  # whatever it is, the other process shall say it
        print(json.dumps({'error': f'{type(error).__name__}: {error}'}))


if __name__ == '__main__':
    main()
