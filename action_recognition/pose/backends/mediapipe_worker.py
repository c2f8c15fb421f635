"""MediaPipe's pose landmarker, here or for another process; needs mediapipe and numpy alone.

    python mediapipe_worker.py THREADS [MODEL]

After a line `{}` it reads, again and again, a line `[height, width]` and height * width * 3 bytes
of BGR pixels, and answers a line `{"landmarks": [[[x, y, visibility], ...], ...]}` in parts of the
image, 33 of the one person or none. A line `{"error": ...}` ends it.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import Any


class Landmarker:
    """From (h, w, 3) RGB pixels to (n, 33, 3) x, y in parts of the image and visibility.

    Args:
        model: a `.task` file; without, the model inside older releases is used.
        people: most people to find; the model inside older releases finds one.

    Raises:
        RuntimeError: there is no model inside this release. MediaPipe raises others.
    """

    def __init__(self, model: str, people: int = 1) -> None:
        import mediapipe

        self._tasks: Any = None
        self._pose: Any = None
        if model:
            vision = mediapipe.tasks.vision
            options = vision.PoseLandmarkerOptions(
                base_options=mediapipe.tasks.BaseOptions(model_asset_path=model), num_poses=people
            )
            self._tasks = vision.PoseLandmarker.create_from_options(options)
            self._image = partial(mediapipe.Image, image_format=mediapipe.ImageFormat.SRGB)
        elif hasattr(mediapipe, 'solutions'):
            self._pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1)
        else:
            raise RuntimeError(
                'this release of mediapipe holds no model: give a pose_landmarker_*.task file'
            )

    def __call__(self, pixels: Any) -> list[list[tuple[float, float, float]]]:
        """The landmarks of each person."""
        if self._tasks:
            people = self._tasks.detect(self._image(data=pixels)).pose_landmarks
        else:
            found = self._pose.process(pixels).pose_landmarks
            people = [found.landmark] if found else []
        return [[(mark.x, mark.y, mark.visibility) for mark in person] for person in people]

    def close(self) -> None:
        """Give back the memory; it cannot be used after."""
        (self._tasks or self._pose).close()


def main() -> None:
    threads, model = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ''
    # Its interface does not say how many threads it uses, but no more than there are cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    pipe = sys.stdin.buffer
    try:
        import numpy as np

        landmarker = Landmarker(model)
        print('{}')
        while line := pipe.readline():
            height, width = json.loads(line)
            image = np.frombuffer(pipe.read(height * width * 3), np.uint8)
            rgb = np.ascontiguousarray(image.reshape(height, width, 3)[..., ::-1])
            print(json.dumps({'landmarks': landmarker(rgb)}))
    except Exception as error:  # whatever it is, the other process shall say it
        print(json.dumps({'error': f'{type(error).__name__}: {error}'}))


if __name__ == '__main__':
    main()
