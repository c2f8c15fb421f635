"""Pose estimators of others beside ours: MoveNet and MediaPipe, from files the user has."""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition.errors import UserError
from action_recognition.pose.backends import mediapipe_worker
from action_recognition.pose.backends.blazepose import to_poses
from action_recognition.skeleton import Poses

Picture = npt.NDArray[np.uint8]

#: Types of the input of a MoveNet file.
TYPES = {'tensor(int32)': np.int32, 'tensor(uint8)': np.uint8, 'tensor(float)': np.float32}


class PeerEstimator(ABC):
    """A `PoseEstimator` by somebody else, which finds one person in an image."""

    name: str
    device: str
    runtime: str

    @abstractmethod
    def estimate(self, image: Picture, stamp: int = 0) -> Poses:
        """The person in an image (h, w, 3) uint8 BGR taken at `stamp` ns."""

    @abstractmethod
    def close(self) -> None:
        """Give back the memory; the estimator cannot be used after."""


class MoveNet(PeerEstimator):
    """MoveNet Lightning or Thunder as an ONNX file, in ONNX Runtime.

    Conversions differ: the input may be int32, uint8 or float32 in [0, 255], its channels last or
    first; the output is 17 rows of y, x and score in parts of the square input.
    """

    device = 'cpu'
    runtime = 'onnxruntime float32'

    def __init__(self, session: Any, name: str) -> None:
        """Raises: UserError, the session is not that of a MoveNet."""
        self.name = name
        self._session = session
        entry = session.get_inputs()[0]
        shape = list(entry.shape)
        self._type = TYPES.get(entry.type)
        if self._type is None or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise UserError(f'{name} is no MoveNet: its input is {entry.type} {shape}')
        self._channels_first = shape[1] == 3
        side = shape[2 if self._channels_first else 1]
        self.size = 256 if 'thunder' in name.lower() else 192
        if isinstance(side, int):
            self.size = side
        self._input = entry.name

    @classmethod
    def load(cls, path: Path, threads: int) -> MoveNet:
        """Raises: UserError, ONNX Runtime or the file is missing, or it is another network."""
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError('--movenet needs ONNX Runtime: pip install onnxruntime') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=['CPUExecutionProvider']
            )
        except Exception as error:  # its errors have no common class
            raise UserError(f'cannot read the ONNX file {path}: {error}') from error
        return cls(session, path.stem)

    def estimate(self, image: Picture, stamp: int = 0) -> Poses:
        """The person in an image (h, w, 3) uint8 BGR."""
        height, width = image.shape[:2]
        scale = self.size / max(height, width)
        sides = max(round(width * scale), 1), max(round(height * scale), 1)
        left, above = (self.size - sides[0]) // 2, (self.size - sides[1]) // 2
        square = np.zeros((self.size, self.size, 3), np.uint8)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        square[above : above + sides[1], left : left + sides[0]] = cv2.cvtColor(
            cv2.resize(image, sides, interpolation=interpolation), cv2.COLOR_BGR2RGB
        )
        pixels = square.transpose(2, 0, 1) if self._channels_first else square
        inputs = np.ascontiguousarray(pixels[None], self._type)
        (keypoints,) = self._session.run(None, {self._input: inputs})
        y, x, score = keypoints.reshape(17, 3).T
        xy = (np.stack([x, y], -1) * self.size - (left, above)) / scale
        return Poses.from_coco17(
            xy[None].astype(np.float32), score[None], stamp=stamp, image_size=(width, height)
        )

    def close(self) -> None:
        """Give back the memory; the estimator cannot be used after."""
        del self._session


class MediaPipe(PeerEstimator):
    """MediaPipe's pose landmarker in a Python environment of its own.

    A process of that Python runs `mediapipe_worker`, which gets images and answers landmarks over
    its standard input and output: some 0.3 ms of its time for an image of 640x480.

    Args:
        python: the interpreter of an environment with mediapipe.
        model: a `.task` file; without, the model inside older releases is used.

    Raises:
        UserError: mediapipe or the model cannot be loaded there.
    """

    name = 'mediapipe'
    device = 'cpu'
    runtime = 'mediapipe'

    def __init__(self, python: Path, model: Path | None, threads: int) -> None:
        command = [str(python), '-u', mediapipe_worker.__file__, str(threads), str(model or '')]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise UserError(f'cannot start {python}: {error.strerror}') from error
        if fault := self._answer().get('error'):
            self.close()
            raise UserError(f'{python}: {fault}')

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        while line := self._process.stdout.readline():
            # Libraries like to print other things, and a process may end in the midst of a line.
            if line.startswith(b'{') and line.endswith(b'\n'):
                return json.loads(line)
        return {'error': 'the process has ended without an answer'}

    def estimate(self, image: Picture, stamp: int = 0) -> Poses:
        """The person in an image (h, w, 3) uint8 BGR.

        Raises:
            UserError: mediapipe fails, or its process has ended.
        """
        height, width = image.shape[:2]
        assert self._process.stdin
        with suppress(BrokenPipeError):  # of a process that has ended: its last words, if any, tell
            self._process.stdin.write(json.dumps([height, width]).encode() + b'\n')
            self._process.stdin.write(np.ascontiguousarray(image).tobytes())
            self._process.stdin.flush()
        answer = self._answer()
        if fault := answer.get('error'):
            raise UserError(f'mediapipe: {fault}')
        return to_poses(answer['landmarks'], stamp, (width, height))

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # what was not sent is of no use any more
                if pipe:
                    pipe.close()
        self._process.wait()
