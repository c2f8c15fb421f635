"""Recordings of new actions: videos, joints or labelled bags as labelled clips."""

from __future__ import annotations

import csv
import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from action_recognition.classes import BACKGROUND, BACKGROUND_LABEL
from action_recognition.datasets import truth
from action_recognition.datasets.bags import SKELETONS, BagImages, BagSkeletons, topics
from action_recognition.datasets.clips import SkeletonClip, natural_key, read_npz, require_file
from action_recognition.datasets.folder import load_folder
from action_recognition.errors import UserError
from action_recognition.evaluation.estimated import JointCache, Video, detected
from action_recognition.recognition.labels import UNKNOWN_LABEL
from action_recognition.skeleton import JOINT_NAMES, NUM_JOINTS, Poses

#: What a label may be: it becomes a topic's text, a row of a table and a name in rules.
LABEL = re.compile(r'[A-Za-z][A-Za-z0-9_]*')
POSE_SUFFIXES = ('.npz', '.csv')
#: Columns of a CSV of joints: seconds, then x, y in pixels and the score of each joint.
POSE_COLUMNS = ('time', *(f'{name}_{part}' for name in JOINT_NAMES for part in ('x', 'y', 'score')))
POSE_LAYOUT = 'folders named after actions, each with joints (.npz or .csv, see docs/teach.md)'
#: Image size of a CSV, which has none.
UNKNOWN_SIZE = (640, 480)
#: Fewer frames are no action.
SHORTEST = 3


@dataclass
class Material:
    """What there is to learn from.

    Attributes:
        clips: in which somebody was found; `group` is the source.
        skipped: name -> why it was left out.
    """

    clips: list[SkeletonClip] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The actions, sorted."""
        return tuple(sorted({clip.label for clip in self.clips} - {BACKGROUND_LABEL}))


def read_material(
    root: Path,
    cache: JointCache,
    truth_file: Path | None = None,
    groups_file: Path | None = None,
    poses: bool = False,
) -> Material:
    """The clips of a folder of recordings.

    A clip that cannot be read, or in which nobody is found, is skipped and listed.

    Args:
        root: of `<class>/<clip>` videos or joints; with `truth_file`, of bags. A class called
            'background' or 'none' shows people who do nothing of interest.
        truth_file: who does what when in the bags, as `datasets.truth` reads it.
        groups_file: CSV with the columns `clip` ('<class>/<file name without suffix>', or what is
            one source without a row of its own: a bag, or clips by `source_of`) and `source`: which
            clips show the same moment or come from one film. Without it each bag is a source, and
            names that differ by a number at their end are one.
        poses: of joints instead of videos.

    Raises:
        UserError: there is nothing in this layout, a label is not valid, or a file that says
            something about all clips cannot be read or names what is not there.
    """
    sources = _read_groups(groups_file) if groups_file else {}
    if truth_file:
        material = _from_bags(root, truth_file, cache, sources)
    elif poses:
        material = _from_poses(root, sources)
    else:
        material = _from_videos(root, cache, sources)
    for clip in [clip for clip in material.clips if not detected(clip)]:
        material.skipped[clip.name] = 'nobody was found'
    for clip in [clip for clip in material.clips if detected(clip) and len(clip) < SHORTEST]:
        material.skipped[clip.name] = f'somebody was found in {len(clip)} images only'
    material.clips = [
        replace(clip, group=sources.get(clip.name) or sources.get(clip.group, clip.group))
        for clip in material.clips
        if clip.name not in material.skipped
    ]
    return material


def source_of(name: str) -> str:
    """The source of '<class>/<clip>': without the number at its end, if more than that is left.

    `wave/anna_1` and `wave/anna_2` are of one source; `wave/1` and `wave/2` are not, nor are
    `wave/wave_1` and `wave/wave_2`, whose names tell no more. Clips of several classes are of one
    source only where a file of groups says so.
    """
    label, _, clip = name.rpartition('/')
    stem = re.sub(r'[\s_.-]*\(?\d+\)?$', '', clip)
    return name if stem in ('', label) else f'{label}/{stem}'


def check_labels(labels: Iterable[str]) -> None:
    """Raise a UserError that names what is no label."""
    for label in labels:
        if label == UNKNOWN_LABEL or not LABEL.fullmatch(label):
            raise UserError(
                f'{label!r} cannot be the name of an action: use letters, digits and underscores, '
                f'a letter first, and not {UNKNOWN_LABEL!r}'
            )


def _label(name: str) -> str:
    return BACKGROUND_LABEL if name in BACKGROUND else name


def _from_videos(root: Path, cache: JointCache, sources: dict[str, str]) -> Material:
    found = load_folder(root)
    check_labels({label for label, _ in found})
    videos = []
    for label, path in found:
        name = f'{label}/{path.stem}'
        videos.append(Video(name, _label(label), source_of(name), path))
    _refuse_twins(video.name for video in videos)
    _require(sources, [name for video in videos for name in (video.name, video.group)])
    material = Material()
    material.clips = cache.clips(videos, material.skipped)
    return material


def _refuse_twins(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f'two recordings are called {name}, but for their suffix: rename one')
        seen.add(name)


def _from_poses(root: Path, sources: dict[str, str]) -> Material:
    if not root.is_dir():
        raise UserError(f'{root} is not a folder; expected {POSE_LAYOUT}')
    files = [
        (folder.name, path)
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith('.')
        for path in sorted(folder.iterdir(), key=natural_key)
        if path.suffix.lower() in POSE_SUFFIXES
    ]
    if not files:
        raise UserError(f'{root} holds no <class>/<clip> joints; expected {POSE_LAYOUT}')
    check_labels({label for label, _ in files})
    names = [f'{label}/{path.stem}' for label, path in files]
    _refuse_twins(names)
    _require(sources, [*names, *map(source_of, names)])
    material = Material()
    for name, (label, path) in zip(names, files, strict=True):
        try:
            read = read_npz_clip if path.suffix.lower() == '.npz' else read_csv_clip
            material.clips.append(read(path, name, _label(label)))
        except UserError as error:
            material.skipped[name] = str(error)
    return material


def read_npz_clip(path: Path, name: str, label: str) -> SkeletonClip:
    """Joints as arrays: xy (T, 14, 2) px, score (T, 14), stamps (T,) ns, image_size (2,).

    Raises:
        UserError: an array is missing or wrong.
    """
    arrays = read_npz(path, POSE_LAYOUT)
    lacking = {'xy', 'score', 'stamps', 'image_size'} - arrays.keys()
    if lacking:
        raise UserError(f'{path} lacks {", ".join(sorted(lacking))}')
    try:
        width, height = (int(size) for size in arrays['image_size'])
        return SkeletonClip(
            name,
            label,
            source_of(name),
            np.asarray(arrays['xy'], np.float32),
            np.asarray(arrays['score'], np.float32),
            arrays['stamps'],
            (width, height),
        )
    except (ValueError, TypeError) as error:
        raise UserError(f'{path}: {error}') from error


def read_csv_clip(path: Path, name: str, label: str) -> SkeletonClip:
    """Joints as a table of `POSE_COLUMNS`; empty cells where a joint is not seen.

    Raises:
        UserError: a column is missing, or a cell no number.
    """
    require_file(path, POSE_LAYOUT)
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            reader = csv.DictReader(file)
            lacking = [column for column in POSE_COLUMNS if column not in (reader.fieldnames or ())]
            if lacking:
                raise UserError(f'{path} lacks the column {", ".join(lacking[:3])}')
            rows = [[float(row[column] or 'nan') for column in POSE_COLUMNS] for row in reader]
        table = np.array(rows, np.float64).reshape(-1, len(POSE_COLUMNS))
        joints = table[:, 1:].reshape(-1, NUM_JOINTS, 3)
        seen = np.isfinite(joints).all(-1) & (joints[..., 2] > 0)
        return SkeletonClip(
            name,
            label,
            source_of(name),
            np.where(seen[..., None], joints[..., :2], np.nan).astype(np.float32),
            np.where(seen, joints[..., 2], 0).astype(np.float32),
            np.round(table[:, 0] * 1e9).astype(np.int64),
            UNKNOWN_SIZE,
        )
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f'cannot read joints from {path}: {error}') from error


def _read_groups(path: Path) -> dict[str, str]:
    """Source of each clip; rows without anything are passed over."""
    found = {}
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            reader = csv.DictReader(file)
            if not {'clip', 'source'} <= set(reader.fieldnames or ()):
                raise UserError(f'{path} lacks the columns clip,source in its first line')
            for row in reader:
                clip, source = ((row[name] or '').strip() for name in ('clip', 'source'))
                if bool(clip) != bool(source):
                    lacking = 'source' if clip else 'clip'
                    raise UserError(f'{path} line {reader.line_num} lacks the {lacking}')
                if clip:
                    found[clip] = source
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f'cannot read groups from {path}: {error}') from error
    return found


def _require(sources: dict[str, str], names: Iterable[str]) -> None:
    """Raise a UserError where the file of groups has a clip that is none of these names."""
    known = set(names)
    for clip in sources:
        if clip not in known:
            like = difflib.get_close_matches(clip, known, 3) or sorted(known)[:3]
            raise UserError(
                f'there is no clip {clip!r}, of which the file of groups tells the source; there '
                f'is {", ".join(like) or "nothing"}'
            )


# --- bags -----------------------------------------------------------------------------------


def _from_bags(
    root: Path, truth_file: Path, cache: JointCache, sources: dict[str, str]
) -> Material:
    segments = truth.read_truth(truth_file)
    wanted = [s for s in segments if s.label != truth.UNSCORED_LABEL]
    check_labels({segment.label for segment in wanted})
    if not root.is_dir():
        raise UserError(f'{root} is not a folder of bags')
    bags = {path: truth.of_bag(wanted, path) for path in _bags(root)}
    named = {segment.bag for mine in bags.values() for segment in mine}
    absent = sorted({segment.bag for segment in wanted} - named)
    names = {path: _bag_name(root, path) for path in bags}
    _refuse_twins(names[path] for path, mine in bags.items() if mine)
    clips = [name for path, mine in bags.items() for name in _clip_names(names[path], mine)]
    _require(sources, [*names.values(), *clips, *absent])
    material = Material(skipped=dict.fromkeys(absent, f'there is no such bag in {root}'))
    for path, mine in bags.items():
        if mine:
            _read_bag(path, names[path], mine, cache, material)
    return material


def _bag_name(root: Path, path: Path) -> str:
    """Its path in the folder of bags: there may be a bag of the same name in another one."""
    inside = path.relative_to(root)
    if path.is_file():  # `_bags` takes those with the suffix of a bag only
        inside = inside.with_suffix('')
    return inside.as_posix() if inside.parts else root.resolve().name


def _clip_names(bag: str, segments: Sequence[truth.Segment]) -> list[str]:
    return [f'{bag}/{segment.label}_{number}' for number, segment in enumerate(segments, 1)]


def _bags(root: Path) -> list[Path]:
    folders = {path.parent for path in root.rglob('metadata.yaml')}
    files = {path for path in root.rglob('*') if path.suffix in ('.mcap', '.db3')}
    return sorted(folders | {path for path in files if path.parent not in folders})


def _read_bag(
    path: Path,
    bag_name: str,
    segments: Sequence[truth.Segment],
    cache: JointCache,
    material: Material,
) -> None:
    try:
        if any(kind == SKELETONS for kind, _ in topics(path).values()):
            with BagSkeletons(str(path)) as bag:
                people, origin = _tracks(bag)
        else:
            people, origin = _main_person(path, bag_name, cache)
    except UserError as error:
        material.skipped[bag_name] = str(error)
        return
    for name, segment in zip(_clip_names(bag_name, segments), segments, strict=True):
        start, end = segment.span(origin)
        chosen = people if segment.person == truth.ANY else _only(people, segment.person)
        parts = [part for clip in chosen.values() if (part := _cut(clip, start, end))]
        if parts:
            best = max(parts, key=lambda part: float(part.score.sum()))
            label = _label(segment.label)
            material.clips.append(replace(best, name=name, label=label, group=bag_name))
        else:
            when = f'from {segment.start:.12g} to {segment.end:.12g}'
            material.skipped[name] = f'nobody was tracked {when}'


def _only(people: dict[str, SkeletonClip], person: str) -> dict[str, SkeletonClip]:
    return {name: clip for name, clip in people.items() if name in (person, truth.ANY)}


def _main_person(
    path: Path, bag_name: str, cache: JointCache
) -> tuple[dict[str, SkeletonClip], int]:
    """The main person in the images of a bag, whoever is asked for, and the first image's stamp."""
    (clip,) = cache.clips([Video(f'bags/{bag_name}', '', bag_name, path)])
    images = BagImages(str(path))
    images.close()
    # Joints of videos are kept with stamps from the first image on; a truth may have absolute ones.
    return {truth.ANY: replace(clip, stamps=clip.stamps + images.start)}, images.start


def _tracks(frames: Iterable[Poses]) -> tuple[dict[str, SkeletonClip], int]:
    """Everybody in a bag by track id, and the stamp of its first message."""
    found: dict[int, list[tuple[int, Poses, int]]] = defaultdict(list)
    origin: int | None = None
    for poses in frames:
        origin = poses.stamp if origin is None else origin
        for row, track_id in enumerate(poses.track_id.tolist()):
            mine = found[track_id]
            if track_id >= 0 and (not mine or poses.stamp > mine[-1][0]):
                mine.append((poses.stamp, poses, row))
    people = {}
    for track_id, rows in found.items():
        if not rows:
            continue
        size = rows[0][1].image_size
        people[str(track_id)] = SkeletonClip(
            str(track_id),
            '',
            '',
            np.stack([poses.xy[row] for _, poses, row in rows]),
            np.stack([poses.score[row] for _, poses, row in rows]),
            np.array([stamp for stamp, _, _ in rows]),
            size,
        )
    return people, origin or 0


def _cut(clip: SkeletonClip, start: int, end: int) -> SkeletonClip | None:
    """The part of a clip between two stamps of a truth, None where there is nothing."""
    part = (clip.stamps >= start - truth.ROUNDING) & (clip.stamps < end - truth.ROUNDING)
    if not part.any():
        return None
    stamps = clip.stamps[part]
    return replace(clip, xy=clip.xy[part], score=clip.score[part], stamps=stamps - stamps[0])
