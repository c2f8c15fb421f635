"""Bags through the stages of the graph, without ROS and as fast as the machine goes.

    perception = create_perception(setup)
    frames = look(bag, perception)           # or `read`, where a bag holds skeletons
    answers = recognise(frames.poses, setup)

The stages are those that the nodes run (`stages`), so the labels are those that the graph would
give, if it lost no message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from action_recognition.datasets.bags import COMPRESSED, IMAGE, SKELETONS, BagImages, BagSkeletons
from action_recognition.datasets.bags import topics as bag_topics
from action_recognition.datasets.sources import split_bag
from action_recognition.errors import UserError
from action_recognition.pose.estimator import PoseEstimator, create_estimator
from action_recognition.recognition.labels import ActionEstimate
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import Poses
from action_recognition.stages.order import LateInput
from action_recognition.stages.parameters import parameter_names
from action_recognition.stages.perception import Perception, PerceptionConfig
from action_recognition.stages.recognition import Recognition, RecognizerConfig
from action_recognition.tracking.similarity import oks

#: Parameters that the nodes have beside those of the stages, which do not change what is said.
TRAVEL = ('image_transport', 'autostart', 'trace', 'use_sim_time', 'start_type_description_service')
#: Least likeness (OKS) of two people of one image to be the same one.
SAME_PERSON = 0.3

Progress = Callable[[int], object]
#: What is said of everybody in a frame.
Answers = list[ActionEstimate]


@dataclass(frozen=True)
class Setup:
    """The parameters of the stages.

    Attributes:
        name: what to call it.
        sees: whether something was said about perception, so that images are to be looked at.
    """

    name: str
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    recognizer: RecognizerConfig = field(default_factory=RecognizerConfig)
    sees: bool = False


def create_setup(
    params_file: Path | None = None,
    model: str | None = None,
    pose: str | None = None,
    device: str | None = None,
) -> Setup:
    """The parameters of a file, and over them those given one by one.

    Raises:
        UserError: the file cannot be read, names an unknown parameter, or values do not fit.
    """
    values = read_parameters(params_file) if params_file else {}
    perception, recognizer = values.get('perception', {}), values.get('recognizer', {})
    if pose:
        perception['model'] = pose
    if model:
        recognizer['model'] = model
    sees = bool(perception)
    if device:
        perception['device'] = recognizer['device'] = device
    seeing = PerceptionConfig.from_parameters(perception)
    naming = RecognizerConfig.from_parameters(recognizer)
    name = Path(naming.model).stem if model or not params_file else params_file.stem
    return Setup(name, seeing, naming, sees)


def read_parameters(path: Path) -> dict[str, dict[str, Any]]:
    """What a ROS parameter file says of perception and recognizer, in any namespace.

    Raises:
        UserError: it cannot be read, or names a parameter that there is not.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is not YAML: {error}') from error
    kinds = {'perception': PerceptionConfig, 'recognizer': RecognizerConfig}
    found: dict[str, dict[str, Any]] = {name: {} for name in kinds}

    def collect(block: Any, name: str) -> None:
        for key, inner in block.items() if isinstance(block, dict) else ():
            if key == 'ros__parameters':
                for node in kinds if name in ('*', '**') else (name,):
                    found.get(node, {}).update(_flat(inner))
            else:
                collect(inner, str(key).rstrip('/').rpartition('/')[2])

    collect(content, '')
    everywhere = set.union(*(parameter_names(kind) for kind in kinds.values()))
    for node, values in found.items():
        known = parameter_names(kinds[node])
        for name in list(values):
            if (
                name in TRAVEL
                or name.startswith('qos_overrides.')
                or (name not in known and name in everywhere)
            ):
                del values[name]
            elif name not in known:
                raise UserError(
                    f'{path}: {node} has no parameter {name}; there are {", ".join(sorted(known))}'
                )
    return found


def _flat(values: Any, prefix: str = '') -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        out.update(
            _flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
        )
    return out


@dataclass(frozen=True)
class Frames:
    """The people of the frames of a bag.

    Attributes:
        topic: where they come from.
        poses: of each frame, in the order of the bag; stamps in ns.
        repeated: frames left out because they came with the stamp of the one before.
        problems: what was wrong with frames left out.
        milliseconds: (frames,) what perception took, for images only.
        state: as of `BagImages` and `BagSkeletons`.
    """

    topic: str
    poses: list[Poses]
    repeated: int = 0
    problems: tuple[str, ...] = ()
    milliseconds: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    state: str = ''

    @property
    def partial(self) -> bool:
        """Whether a part of the bag is lost."""
        return self.state.startswith('partial')

    @property
    def span(self) -> tuple[int, int]:
        """Stamps of the first and the last frame."""
        stamps = [poses.stamp for poses in self.poses]
        return stamps[0], max(stamps)

    @property
    def jumps(self) -> list[float]:
        """Seconds by which stamps go back, wherever they do."""
        back = -np.diff([poses.stamp for poses in self.poses]) * 1e-9
        return back[back > 0].tolist()


def holds_images(spec: str) -> bool:
    """Whether the bag, or the topic that is named, has images; otherwise it has skeletons.

    Raises:
        UserError: it cannot be read, or has neither; the message lists what there is.
    """
    path, topic = split_bag(spec)
    there = bag_topics(path)
    kinds = {kind for name, (kind, _) in there.items() if topic in (None, name)}
    if kinds & {IMAGE, COMPRESSED}:
        return True
    if SKELETONS in kinds:
        return False
    listed = ', '.join(f'{name} ({kind})' for name, (kind, _) in there.items()) or 'nothing'
    wanted = f'{topic} with images or skeletons' if topic else 'neither images nor skeletons'
    raise UserError(f'bag {path} holds {"no " if topic else ""}{wanted}; it holds {listed}')


def holds_skeletons(spec: str) -> bool:
    """Whether the bag, or the topic that is named, has skeletons."""
    path, topic = split_bag(spec)
    return any(
        kind == SKELETONS for name, (kind, _) in bag_topics(path).items() if topic in (None, name)
    )


def takes_images(spec: str, wanted: bool) -> bool:
    """Whether images of a bag are looked at: if they are wanted, or there are no skeletons.

    Raises:
        UserError: as `holds_images`.
    """
    return holds_images(spec) and (wanted or not holds_skeletons(spec))


def span(spec: str) -> tuple[int, int]:
    """Stamps of the first and the latest frame of a bag (ns), without looking at them.

    Raises:
        UserError: as `BagImages` and `BagSkeletons`; or there is no frame.
    """
    if takes_images(spec, wanted=False):
        images = BagImages(spec)
        with images:
            stamps = [stamp for stamp, _ in images.messages()]
        return stamps[0], max(stamps)
    return read(spec).span


def read(spec: str, progress: Progress = lambda count: None) -> Frames:
    """The skeletons that a bag holds.

    Raises:
        UserError: as `BagSkeletons`; or there are none.
    """
    with BagSkeletons(spec) as bag:
        frames: list[Poses] = []
        repeated = 0
        for poses in bag:
            progress(1)
            if frames and poses.stamp == frames[-1].stamp:
                repeated += 1
            else:
                frames.append(poses)
        if not frames:
            raise UserError(f'{bag.name} holds no skeletons')
        return Frames(bag.name, frames, repeated, tuple(bag.rejected), state=bag.state)


def look(
    spec: str,
    estimator: PoseEstimator,
    config: PerceptionConfig,
    progress: Progress = lambda count: None,
) -> Frames:
    """The people whom perception finds in the images of a bag.

    Raises:
        UserError: as `BagImages`; or no image can be read.
    """
    stage = Perception(estimator, config.look, config.tracker)
    frames: list[Poses] = []
    problems: list[str] = []
    took: list[float] = []
    repeated = 0
    bag = BagImages(spec)
    with bag:
        for stamp, pixels in bag.messages():
            progress(1)
            begin = time.perf_counter()
            try:
                sight = stage.process(stamp, pixels)
            except UserError as error:
                problems.append(str(error))
                continue
            if sight.image is None:
                repeated += 1
                continue
            took.append(1e3 * (time.perf_counter() - begin))
            frames.append(sight.poses)
            stage.look_around()
        if not frames:
            raise UserError(f'{bag.name}: no image can be read: {problems[0]}')
        milliseconds = np.array(took)
        return Frames(bag.name, frames, repeated, tuple(problems), milliseconds, bag.state)


def create_perception(setup: Setup) -> PoseEstimator:
    """What finds people.

    Raises:
        UserError: as `create_estimator`.
    """
    config = setup.perception
    return create_estimator(config.model, config.device, config.estimator)


def create_recognizer(setup: Setup) -> StreamingRecognizer:
    """What names actions.

    Raises:
        UserError: as `StreamingRecognizer.from_weights`.
    """
    config = setup.recognizer
    recognizer = StreamingRecognizer.from_weights(config.model, config.device)
    recognizer.configure(config.labels, config.forget_after)
    return recognizer


def recognise(
    frames: Sequence[Poses],
    recognizer: StreamingRecognizer,
    progress: Progress = lambda count: None,
) -> list[Answers | None]:
    """What is said of the people of each frame; the recogniser begins anew.

    Returns:
        None for a frame that was overtaken by a later one: the graph says nothing of it.
    """
    recognizer.reset()
    stage = Recognition(recognizer)
    answers: list[Answers | None] = []
    for poses in frames:
        try:
            answers.append(stage.process(poses).estimates)
        except LateInput:
            answers.append(None)
        progress(1)
    return answers


def renamed(frames: Frames, recorded: Sequence[Poses]) -> dict[int, int]:
    """Which person of a recording each track is: the one it lies on most often.

    Args:
        frames: tracks of our own.
        recorded: skeletons of the same images, with the ids that truth speaks of.

    Returns:
        Track id -> recorded id, of the tracks that lie on somebody in at least half of the images
        that both know.
    """
    known = {poses.stamp: poses for poses in recorded}
    votes: dict[int, dict[int, int]] = {}
    seen: dict[int, int] = {}
    for poses in frames.poses:
        other = known.get(poses.stamp)
        if other is None or not len(poses):
            continue
        alike = oks(poses.xy, poses.score, other.xy, other.score)
        for track, row in zip(poses.track_id.tolist(), alike, strict=True):
            seen[track] = seen.get(track, 0) + 1
            if len(row) and row.max() >= SAME_PERSON:
                person = int(other.track_id[row.argmax()])
                counts = votes.setdefault(track, {})
                counts[person] = counts.get(person, 0) + 1
    found = {}
    for track, counts in votes.items():
        person = max(counts, key=lambda key: counts[key])
        if 2 * counts[person] >= seen[track]:
            found[track] = person
    return found
