"""Recognisers in PyTorch behind `StreamingRecognizer`: the paper's model, and any on a GPU."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt
import torch

from action_recognition.recognition.base import agreed
from action_recognition.recognition.ensemble import OnlineEnsemble
from action_recognition.recognition.features import paper_features, sample_uniformly
from action_recognition.recognition.online import OnlineRecognizer, OnlineState
from action_recognition.recognition.online_weights import OnlineWeights
from action_recognition.recognition.paper import PaperRecognizer
from action_recognition.recognition.runtime import CpuRuntime, Rows, Runtime
from action_recognition.skeleton import FloatArray, Poses

#: The paper's model sees the last seconds of a person, sampled to its 60 frames, and of a
#: camera faster than 60 Hz only the newest frames.
PAPER_WINDOW = 2.0
PAPER_WINDOW_FRAMES = 120


def create_runtime(model: OnlineRecognizer | OnlineEnsemble) -> Runtime:
    """The faster runtime for where the model is."""
    if model.device.type == 'cpu':
        return CpuRuntime(OnlineWeights.of(model))
    return torch_runtime(model)


def torch_runtime(model: OnlineRecognizer | OnlineEnsemble) -> TorchRuntime | EnsembleRuntime:
    """The one that asks the model itself."""
    return EnsembleRuntime(model) if isinstance(model, OnlineEnsemble) else TorchRuntime(model)


class TorchRuntime:
    """The model's own `step` on its device."""

    def __init__(self, model: OnlineRecognizer) -> None:
        self.model = model
        self.device = model.device
        self.state = model.initial(0)

    def add(self, people: int) -> None:
        self.state = OnlineState.concatenate([self.state, self.model.initial(people)])

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        self.state = self.state.select(torch.from_numpy(rows).to(self.device))

    @torch.inference_mode()
    def step(self, features: FloatArray, rows: Rows) -> FloatArray:
        everybody = np.arange(len(self.state.hidden))
        index = torch.from_numpy(everybody[rows]).to(self.device)
        x = torch.from_numpy(features).to(self.device)
        logits, state = self.model.step(x, self.state.select(index))
        self.state = self.state.replace(index, state)
        return logits.cpu().numpy()


class EnsembleRuntime:
    """The `TorchRuntime` of each member."""

    def __init__(self, model: OnlineEnsemble) -> None:
        self.members = [TorchRuntime(member) for member in model.recognizers]
        self.temperatures = np.array(model.temperatures, np.float32)[:, None, None]

    def add(self, people: int) -> None:
        for member in self.members:
            member.add(people)

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        for member in self.members:
            member.keep(rows)

    def step(self, features: FloatArray, rows: Rows) -> FloatArray:
        logits = np.stack([member.step(features, rows) for member in self.members])
        return agreed(logits / self.temperatures)


class PaperMemory:
    """The last `PAPER_WINDOW` seconds of each person."""

    def __init__(self, model: PaperRecognizer) -> None:
        self.model = model
        self.device = model.device
        self.windows: dict[int, deque[tuple[int, FloatArray, FloatArray]]] = {}

    @torch.inference_mode()
    def update(self, poses: Poses) -> FloatArray:
        """Take in one frame of these people; (people, classes) logits."""
        clips = []
        for k, track_id in enumerate(poses.track_id):
            window = self.windows.setdefault(int(track_id), deque(maxlen=PAPER_WINDOW_FRAMES))
            window.append((poses.stamp, poses.xy[k], poses.score[k]))
            while window[0][0] < poses.stamp - PAPER_WINDOW * 1e9:
                window.popleft()
            frames = [window[row] for row in sample_uniformly(len(window))]
            _, xy, score = zip(*frames, strict=True)
            clips.append(paper_features(np.stack(xy), np.stack(score)))
        return self.model(torch.from_numpy(np.stack(clips)).to(self.device)).cpu().numpy()

    def forget(self, track_id: int) -> None:
        """Drop a person who may or may not be known."""
        self.windows.pop(track_id, None)
