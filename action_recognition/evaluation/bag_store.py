"""What was seen and said in a bag, kept in a file: a run that was killed goes on after it.

The truth is no part of it: it can be corrected and scored again without computing anything.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from action_recognition import weights
from action_recognition.datasets.sources import split_bag
from action_recognition.errors import UserError
from action_recognition.evaluation.offline import Answers, Frames, Setup
from action_recognition.recognition.labels import ActionEstimate
from action_recognition.skeleton import Poses

#: Of the file; a change in what the stages answer needs another one.
VERSION = 1


def place(folder: Path, spec: str, setup: Setup, images: bool) -> Path:
    """The file of these answers: another bag, parameter or weights have another.

    Bags are known by path, sizes and times of change, weights by content.
    """
    path, topic = split_bag(spec)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    state = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    names = [setup.recognizer.model, *([setup.perception.model] if images else [])]
    digests = [_digest(name) for name in names]
    parts = (VERSION, str(path.resolve()), topic, state, images, digests, setup.recognizer)
    key = repr((*parts, setup.perception if images else None))
    return folder / f'{path.name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz'


def _digest(name: str) -> str:
    try:
        return weights.digest(weights.find(name))
    except (OSError, UserError):
        return name  # a model of another backend


def save(path: Path, frames: Frames, answers: list[Answers | None], seconds: float) -> None:
    """Write the file; it is there wholly or not at all.

    Raises:
        UserError: it cannot be written.
    """
    poses, said = frames.poses, [e for some in answers for e in some or ()]
    arrays: dict[str, Any] = {
        'topic': frames.topic,
        'state': frames.state,
        'problems': np.array(frames.problems, np.str_),
        'numbers': [frames.repeated, seconds],
        'milliseconds': frames.milliseconds,
        'people': [len(p) for p in poses],
        'stamp': [p.stamp for p in poses],
        'size': [p.image_size for p in poses],
        'xy': np.concatenate([p.xy for p in poses]),
        'score': np.concatenate([p.score for p in poses]),
        'track_id': np.concatenate([p.track_id for p in poses]),
        'answered': [-1 if some is None else len(some) for some in answers],
        'said': np.array([(e.track_id, e.class_id, e.began) for e in said], np.int64),
        'confidence': np.array([e.confidence for e in said], np.float64),
        'names': np.array([(e.label, e.state) for e in said], np.str_),
        'scores': np.array([e.scores for e in said], np.float32),
    }
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open('wb') as file:
            np.savez_compressed(file, **arrays)
        part.replace(path)
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror}') from error


def load(path: Path) -> tuple[Frames, list[Answers | None], float] | None:
    """What `save` wrote: frames, answers and seconds; None if there is no such file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            a = dict(file)
        ends = np.cumsum(a['people'])[:-1]
        split = (np.split(a[name], ends) for name in ('xy', 'score', 'track_id'))
        rows = zip(*split, a['stamp'].tolist(), a['size'].tolist(), strict=True)
        poses = [Poses(xy, s, i, stamp, tuple(size)) for xy, s, i, stamp, size in rows]
        said = iter(
            ActionEstimate(int(i), int(k), str(label), float(c), str(state), int(began), scores)
            for (i, k, began), (label, state), c, scores in zip(
                a['said'].reshape(-1, 3),
                a['names'].reshape(-1, 2),
                a['confidence'],
                a['scores'],
                strict=True,
            )
        )
        answers = [None if n < 0 else [next(said) for _ in range(n)] for n in a['answered']]
        repeated, seconds = a['numbers'].tolist()
        problems = tuple(str(line) for line in a['problems'])
        topic, state = str(a['topic']), str(a['state'])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, StopIteration):
        return None  # not there, or damaged: it is computed again
    return (
        Frames(topic, poses, int(repeated), problems, a['milliseconds'], state),
        answers,
        seconds,
    )
