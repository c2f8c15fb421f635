"""The main person of a video as a pose estimator and our tracker see them, kept on disk.

Finding people in thousands of images takes minutes, so every video's joints are written as soon
as they are known: a run that was killed goes on where it ended, and the next one is quick. Videos
are known by path, size and time of change.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from action_recognition.datasets import jhmdb
from action_recognition.datasets.clips import SkeletonClip, read_npz
from action_recognition.datasets.folder import load_folder
from action_recognition.datasets.sources import Frame, Image, open_source
from action_recognition.errors import UserError
from action_recognition.parallel import map_recordings
from action_recognition.pose.backends import registry
from action_recognition.pose.estimator import (
    EstimatorConfig,
    PoseEstimator,
    create_estimator,
    sees_crops,
)
from action_recognition.pose.gaze import LookConfig
from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.stages.order import LateInput
from action_recognition.stages.perception import Perception
from action_recognition.tracking.tracker import TrackerConfig

#: Of the joints in caches: to be raised when decoding, tracking or what is stored changes.
VERSION = 7
#: Of the GPU that a worker of Ray asks for; the pose network fills none.
GPU_SHARE = 0.25


@dataclass(frozen=True)
class Video:
    """A file that shows one action; `name` and `group` as in `SkeletonClip`."""

    name: str
    label: str
    group: str
    path: Path


def jhmdb_videos(root: Path, names: Sequence[str]) -> list[Video]:
    """The videos of '<class>/<clip>' of JHMDB."""
    return [
        Video(name, jhmdb.label_of(name), jhmdb.group_of(name), jhmdb.video_path(root, name))
        for name in names
    ]


def folder_videos(root: Path) -> list[Video]:
    """The videos of `<root>/<class>/<clip>`; each is a source of its own."""
    return [
        Video(f'{label}/{path.stem}', label, f'{label}/{path.stem}', path)
        for label, path in load_folder(root)
    ]


def pose_trained_on_fraction(root: Path, names: Sequence[str]) -> float:
    """The share of '<class>/<clip>' of JHMDB that taught the pose network, as `train pose` does.

    It learns from the training part of split 1, so that only the test part of that split is new to
    it.
    """
    known = set(jhmdb.clip_names(root, 1, 'train'))
    return sum(name in known for name in names) / len(names)


def default_cache() -> Path:
    """Where joints are kept if nobody says where (XDG base directory specification)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'action_recognition'


def main_person(
    video: Video,
    estimator: PoseEstimator,
    look: LookConfig | None = None,
    tracker: TrackerConfig | None = None,
) -> SkeletonClip:
    """The person whose joints have the highest scores over the whole video together.

    This is what a recogniser node gets to see of them: only the images in which their track was
    confirmed, stamped as filmed, without those that the perception node leaves out (overtaken by
    a later one, or with the stamp of the one before). Where nobody was found it is one frame
    without joints.

    Raises:
        UserError: the video cannot be read.
    """
    perception = Perception(estimator, look, tracker)
    images: list[Poses] = []
    totals: defaultdict[int, float] = defaultdict(float)
    with open_source(str(video.path)) as source:
        size = source.size
        for frame in source:
            try:
                sight = perception.process(frame.stamp, functools.partial(_pixels, frame))
            except LateInput:
                continue
            if sight.image is None:
                continue
            images.append(sight.poses)
            for track_id, score in zip(sight.poses.track_id, sight.poses.score, strict=True):
                totals[int(track_id)] += float(score.sum())
    xy, scores, stamps = [], [], []
    if totals:
        chosen = max(totals, key=totals.__getitem__)  # the first of equals
        for poses in images:
            for row in np.flatnonzero(poses.track_id == chosen):
                xy.append(poses.xy[row])
                scores.append(poses.score[row])
                stamps.append(poses.stamp)
    else:
        xy, scores = [np.full((NUM_JOINTS, 2), np.nan)], [np.zeros(NUM_JOINTS)]
        stamps = [0]
    return SkeletonClip(
        video.name,
        video.label,
        video.group,
        np.stack(xy).astype(np.float32),
        np.stack(scores).astype(np.float32),
        np.array(stamps),
        size,
    )


def _pixels(frame: Frame) -> Image:
    return frame.image


def detected(clip: SkeletonClip) -> bool:
    """Whether anybody was found."""
    return bool((clip.score > 0).any())


@dataclass(frozen=True)
class JointCache:
    """Estimated joints of videos, found on first use and kept under `folder`.

    Attributes:
        folder: of all caches; joints found by other means or settings lie beside each other.
        pose: name or path of the weights of the pose network, or a model of another backend.
        device: where to compute. Workers of Ray have a GPU only where this begins with 'cuda'.
        config, look, tracker: as in the perception node.
        jobs, ray: who looks for people, as in `map_recordings`. The joints are the same, and
            this process alone writes them.
    """

    folder: Path = field(default_factory=default_cache)
    pose: str = 'pose'
    device: str = 'auto'
    config: EstimatorConfig = field(default_factory=EstimatorConfig)
    look: LookConfig = field(default_factory=LookConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    jobs: int = 1
    ray: str = ''

    @property
    def found_by(self) -> str:
        """The backend and its model, with the digest of its weights.

        Raises:
            UserError: there is no such backend, or no such weights.
        """
        return registry.fingerprint(self.config.backend, self.pose)

    @property
    def place(self) -> Path:
        """The folder of this backend, its model and these settings.

        Raises:
            UserError: as `found_by`.
        """
        parts = VERSION, self.found_by, self.config, self.look, self.tracker
        settings = ' '.join(map(str, parts))
        return self.folder / f'joints-{hashlib.sha256(settings.encode()).hexdigest()[:16]}'

    def clips(
        self, videos: Sequence[Video], unreadable: dict[str, str] | None = None
    ) -> list[SkeletonClip]:
        """The main person of each video; `detected` tells whether there is one.

        Args:
            unreadable: is given the names of the videos that cannot be read, with the reason, and
                they are left out. Without it the first of them ends the work.

        Raises:
            UserError: a video or the weights cannot be read, or the folder not be written.
        """
        place = self.place
        # Once, before the work: a file that changes meanwhile is another one, to be looked at anew.
        files = {video: _file(place, video) for video in videos}
        missing = {video: file for video, file in files.items() if not file.is_file()}
        if missing:
            for folder in {file.parent for file in missing.values()}:
                try:  # before minutes of work
                    folder.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise _not_writable(folder, error) from error
            self._find(missing, unreadable)
        known = [video for video in videos if video.name not in (unreadable or {})]
        return [_read(files[video], video) for video in known]

    def _find(self, files: dict[Video, Path], unreadable: dict[str, str] | None) -> None:
        videos = list(files)
        gpus = GPU_SHARE if self.device.startswith('cuda') else 0.0
        look = functools.partial(_look, self)
        try:
            for index, found in map_recordings(
                look, videos, self.jobs, self.ray, gpus=gpus, what='finding joints'
            ):
                if isinstance(found, SkeletonClip):
                    _write(files[videos[index]], found)
                elif unreadable is None:
                    raise found
                else:
                    unreadable[videos[index].name] = str(found)
        finally:
            _close_eyes(self)


@functools.lru_cache(maxsize=1)
def _eyes(cache: JointCache) -> tuple[PoseEstimator, LookConfig]:
    """What a process looks at all of its videos with, and how."""
    estimator = create_estimator(cache.pose, cache.device, cache.config)
    # As `Gaze` does, which would say so of each video.
    return estimator, cache.look if sees_crops(estimator) else replace(cache.look, mode='full')


def _close_eyes(cache: JointCache) -> None:
    """Give back those of this process, if it had any; those of others end with them."""
    if _eyes.cache_info().currsize:
        estimator, _ = _eyes(cache)
        estimator.close()
        _eyes.cache_clear()


def _look(cache: JointCache, video: Video) -> SkeletonClip | UserError:
    estimator, look = _eyes(cache)
    try:
        return main_person(video, estimator, look, cache.tracker)
    except UserError as error:  # of this video alone
        return error


def _file(place: Path, video: Video) -> Path:
    # Two sets may hold videos of one name, and a video may be recorded anew.
    key = repr((str(video.path.resolve()), _state(video.path)))
    return place / f'{video.name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.npz'


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change (ns) of a file, or of those in a folder (a bag, images)."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    except OSError:
        return []  # opening it says what is wrong


def _write(path: Path, clip: SkeletonClip) -> None:
    # Of this process alone: another one may fill the same folder.
    partial = path.with_suffix(f'.{os.getpid()}.partial')
    try:
        with partial.open('wb') as file:
            np.savez(
                file,
                xy=clip.xy,
                score=clip.score,
                stamps=clip.stamps,
                image_size=np.array(clip.image_size),
            )
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _not_writable(path, error) from error


def _not_writable(path: Path, error: OSError) -> UserError:
    return UserError(
        f'cannot keep joints in {path} ({error.strerror}): give another folder with --cache'
    )


def _read(path: Path, video: Video) -> SkeletonClip:
    stored = read_npz(path, 'joints that were found earlier; delete the file to find them again')
    width, height = stored['image_size'].tolist()
    return SkeletonClip(
        video.name,
        video.label,
        video.group,
        stored['xy'],
        stored['score'],
        stored['stamps'],
        (width, height),
    )
