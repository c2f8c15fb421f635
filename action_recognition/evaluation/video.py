"""From the pixels of a video to one label: pose estimator, tracker and recogniser together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from action_recognition.datasets import jhmdb
from action_recognition.evaluation.action import contest, judge, load_entrants
from action_recognition.evaluation.estimated import (
    JointCache,
    detected,
    folder_videos,
    jhmdb_videos,
    pose_trained_on_fraction,
)
from action_recognition.pose.backends.registry import OURS


def run(
    data: Path, models: Sequence[str], cache: JointCache, split: int = 1, report: Path | None = None
) -> dict[str, Any]:
    """Score recognisers on what a pose estimator and our tracker make of videos.

    The answer is about the main person of each video (`main_person`), after the last image that
    shows them; where nobody was found the video counts as wrong.

    Args:
        data: the folder of JHMDB, of which the test part of a split is scored, or of
            `<class>/<clip>.mp4`, all of which are.
        models: names or paths of weights; several are the seeds of one training.
        split: of JHMDB.
        report: an existing folder for pictures of the figures.

    Returns:
        What `evaluate action` gives, and `detected_fraction`, `not_detected` (names), and for
        JHMDB and our pose network `pose_trained_on_fraction`, the share of the videos that taught
        it.

    Raises:
        UserError: weights or videos are missing or do not fit each other.
    """
    official = jhmdb.is_root(data)
    labels: tuple[str, ...] = jhmdb.CLASSES
    about: dict[str, Any] = {
        'set': 'jhmdb21' if official else data.name,
        'backend': cache.config.backend,
        'pose': cache.pose,
    }
    if official:
        names = jhmdb.clip_names(data, split, 'test')
        videos = jhmdb_videos(data, names)
        about['split'] = split
        if cache.config.backend == OURS:
            about['pose_trained_on_fraction'] = pose_trained_on_fraction(data, names)
    else:
        videos = folder_videos(data)
        labels = tuple(dict.fromkeys(video.label for video in videos))
    entrants = load_entrants(models, labels, split if official else None)
    clips = cache.clips(videos)
    found = contest(entrants, labels, clips)
    missed = [clip.name for clip in clips if not detected(clip)]
    return {
        **about,
        'joints': 'estimated',
        'classes': len(found.classes),
        'detected_fraction': 1 - len(missed) / len(clips),
        'not_detected': missed,
        **judge(found, report),
    }
