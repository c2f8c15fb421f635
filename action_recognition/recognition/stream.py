"""Streams of tracked people in, one label per person out.

recognizer = StreamingRecognizer.from_weights('online_union32')
for poses in tracked_poses:
    for estimate in recognizer.update(poses):
        print(estimate.track_id, estimate.label, estimate.confidence)
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from action_recognition.classes import background
from action_recognition.errors import UserError
from action_recognition.recognition.base import softmax
from action_recognition.recognition.features import FeatureState, online_step
from action_recognition.recognition.labels import (
    UNKNOWN,
    UNKNOWN_LABEL,
    ActionEstimate,
    LabelConfig,
    LabelFilter,
)
from action_recognition.recognition.online_weights import OnlineWeights, load_online
from action_recognition.recognition.runtime import CpuRuntime, Runtime
from action_recognition.skeleton import FloatArray, IntArray, Poses
from action_recognition.weights import Header

if TYPE_CHECKING:
    from action_recognition.recognition.models import Network

#: Seconds after which a person not seen is dropped.
FORGET_AFTER = 2.0


class _Memory(Protocol):
    """What a model remembers of people, by track id."""

    def update(self, poses: Poses) -> FloatArray:
        """Take in one frame of these people; (people, classes) logits."""

    def forget(self, track_id: int) -> None:
        """Drop a person who may or may not be known."""


class _OnlineMemory:
    """States of all people as the rows of one batch."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.ids: list[int] = []
        self.stamps: IntArray = np.empty(0, np.int64)
        self.features = FeatureState.initial(0)

    def update(self, poses: Poses) -> FloatArray:
        ids = poses.track_id.tolist()
        new = [i for i in ids if i not in self.ids]
        if new:
            self.ids += new
            self.stamps = np.append(self.stamps, np.full(len(new), poses.stamp))
            initial = FeatureState.initial(len(new))
            self.features = FeatureState.concatenate([self.features, initial])
            self.runtime.add(len(new))
        everybody = ids == self.ids  # then nothing need be copied out and back
        rows = slice(None) if everybody else np.array([self.ids.index(i) for i in ids])
        elapsed = ((poses.stamp - self.stamps[rows]) * 1e-9).astype(np.float32)
        self.stamps[rows] = poses.stamp
        past = self.features if everybody else self.features[rows]
        features, memory = online_step(poses.xy, poses.score, elapsed, past)
        self.features = memory if everybody else self.features.replace(rows, memory)
        return self.runtime.step(features, rows)

    def forget(self, track_id: int) -> None:
        if track_id in self.ids:
            keep = np.array([other != track_id for other in self.ids])
            self.ids.remove(track_id)
            self.stamps, self.features = self.stamps[keep], self.features[keep]
            self.runtime.keep(keep)


@dataclass
class _Person:
    """What is published of a person."""

    label_filter: LabelFilter
    last: ActionEstimate
    seen: int  # ns


class StreamingRecognizer:
    """Labels for every tracked person, frame by frame; time comes from stamps alone.

    Attributes:
        labels: names of the classes, in the order of `ActionEstimate.scores`.
    """

    def __init__(
        self,
        model: OnlineWeights | Network,
        labels: tuple[str, ...],
        config: LabelConfig | None = None,
        forget_after: float = FORGET_AFTER,
    ) -> None:
        """Take over a model; its Batch Renormalisation is folded for inference.

        Args:
            model: in NumPy, or in PyTorch, which this module needs for nothing else.
            config: when labels are confirmed, lost, and unknown.
            forget_after: seconds after which a person not seen is dropped and 'ended'.

        Raises:
            UserError: the number of labels is not that of the model's classes, or `forget_after`
                is not positive.
        """
        if len(labels) != model.num_classes:
            raise UserError(f'{len(labels)} labels do not fit a model of {model.num_classes}')
        if not isinstance(model, OnlineWeights):
            from action_recognition.recognition.batch_renorm import fold

            fold(model)
        self.labels = labels
        self._none = background(labels)
        self.model = model
        self.reset()
        self.configure(config or LabelConfig(), forget_after)

    @classmethod
    def from_weights(
        cls, name: str, device: str = 'cpu', *, forget_after: float = FORGET_AFTER, **options: Any
    ) -> StreamingRecognizer:
        """A recogniser by published name or path of its weights.

        Args:
            device: 'cpu', 'cuda', 'cuda:1', or 'auto' for a GPU if there is one. On 'cpu' our
                model needs no PyTorch.
            options: fields of `LabelConfig`.

        Raises:
            UserError: as `load_recognizer`; an option is not known or out of range.
        """
        known = [field.name for field in fields(LabelConfig)]
        wrong = sorted(set(options) - set(known))
        if wrong:
            raise UserError(f'unknown option {", ".join(wrong)}; known: {", ".join(known)}')
        loaded: tuple[Header, Any] | None = load_online(name) if device == 'cpu' else None
        if loaded is None:
            from action_recognition.recognition.models import load_recognizer

            loaded = load_recognizer(name, device)
        header, model = loaded
        return cls(model, header.labels, LabelConfig(**options), forget_after)

    @property
    def device(self) -> str:
        """Where the model computes, such as 'cpu' or 'cuda:0'."""
        if isinstance(self.model, OnlineWeights):
            return 'cpu'
        return str(self.model.device)

    def configure(self, config: LabelConfig, forget_after: float) -> None:
        """Change how labels are published, of people known and to come.

        Raises:
            UserError: `forget_after` is not positive.
        """
        if not forget_after > 0:
            raise UserError(f'forget_after must be positive, not {forget_after}')
        self.config = config
        self.forget_after = forget_after
        for person in self._people.values():
            person.label_filter.config = config

    def reset(self) -> None:
        """Forget everybody."""
        self._stamp: int | None = None
        self._people: dict[int, _Person] = {}
        self._memory = _create_memory(self.model)

    def close(self) -> None:
        """Give back the memory of the device; the recogniser cannot be used after."""
        on_gpu = self.device.startswith('cuda')
        del self.model, self._memory
        if on_gpu:
            import torch

            torch.cuda.empty_cache()

    def update(self, poses: Poses) -> list[ActionEstimate]:
        """Take in one frame.

        People without identity (track_id -1) are left out, as is the second of two under one
        identity. A stamp before the last one resets everything first: the clock jumped.

        Returns:
            First one in state 'ended' for each person who was last seen more than `forget_after`
            seconds ago, then one estimate per person in `poses`, in their order: who comes back
            under the same identity ends and begins anew.
        """
        if self._stamp is not None and poses.stamp < self._stamp:
            self.reset()
        self._stamp = poses.stamp
        ended = self._forget(poses.stamp)
        ids = poses.track_id.tolist()
        if min(ids, default=0) < 0 or len(set(ids)) < len(ids):
            poses = poses[_tracked(poses.track_id)]
        if len(poses) == 0:
            return ended
        logits = self._memory.update(poses)
        scores = softmax(logits, self.model.temperature)
        visible = poses.seen.sum(1)
        estimates = []
        for k, track_id in enumerate(poses.track_id.tolist()):
            person = self._people.get(track_id)
            label_filter = person.label_filter if person else LabelFilter(self.config, self._none)
            answer = label_filter.update(scores[k], poses.stamp, int(visible[k]))
            estimate = ActionEstimate(
                track_id=track_id,
                class_id=answer.class_id,
                label=UNKNOWN_LABEL if answer.class_id == UNKNOWN else self.labels[answer.class_id],
                confidence=answer.confidence,
                state=answer.state,
                began=answer.began,
                scores=scores[k],
            )
            self._people[track_id] = _Person(label_filter, estimate, poses.stamp)
            estimates.append(estimate)
        return ended + estimates

    def _forget(self, stamp: int) -> list[ActionEstimate]:
        ended = []
        for track_id, person in list(self._people.items()):
            if stamp - person.seen > self.forget_after * 1e9:
                del self._people[track_id]
                self._memory.forget(track_id)
                ended.append(replace(person.last, state='ended'))
        return ended


def _create_memory(model: OnlineWeights | Network) -> _Memory:
    if isinstance(model, OnlineWeights):
        return _OnlineMemory(CpuRuntime(model))
    from action_recognition.recognition.paper import PaperRecognizer
    from action_recognition.recognition.torch_runtime import PaperMemory, create_runtime

    if isinstance(model, PaperRecognizer):
        return PaperMemory(model)
    return _OnlineMemory(create_runtime(model))


def _tracked(track_id: IntArray) -> npt.NDArray[np.int64]:
    """Rows of people with an identity, the first of each, in order."""
    ids, first = np.unique(track_id, return_index=True)
    return np.sort(first[ids >= 0])
