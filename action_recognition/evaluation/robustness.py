"""What is left of a recogniser's accuracy on worse joints, at lower rates, and after minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.streams import SkeletonStream, segments, string_together
from action_recognition.evaluation.action import Contest, enter
from action_recognition.evaluation.common import average, observed, project
from action_recognition.evaluation.estimated import JointCache, detected
from action_recognition.evaluation.online import stream_logits
from action_recognition.recognition.base import softmax
from action_recognition.recognition.models import PaperRecognizer
from action_recognition.skeleton import FLIP, NUM_JOINTS, FloatArray, Joint, torso_size

#: Everything random is drawn from this, so that all models see the same.
SEED = 0
#: Standard deviation of the noise of joints in torso sizes; share of joints that go missing.
JITTER, MISSING = 0.1, 0.2
#: Mean frames of a stretch of swapped joints, and the share of time in such stretches.
STRETCH, SWAPPED = 6, 0.1
#: Streams of clips one after another, their minutes, and the share of an action that a settled
#: answer has seen.
STREAMS, MINUTES, SETTLED = 4, 10, 0.4

LEGS = (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE, Joint.LEFT_KNEE, Joint.LEFT_ANKLE)
RIGHT_SIDE = (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE)
LEFT_SIDE = (Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_KNEE, Joint.LEFT_ANKLE)
#: What a pose network takes for its opposite at once when it mistakes a single limb.
LIMBS = (
    (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, Joint.LEFT_ELBOW, Joint.LEFT_WRIST),
    (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE, Joint.LEFT_KNEE, Joint.LEFT_ANKLE),
)

Change = Callable[[SkeletonClip, np.random.Generator], SkeletonClip]


def jittered(clip: SkeletonClip, rng: np.random.Generator) -> SkeletonClip:
    """Noise of `JITTER` times the clip's median torso size on every joint and frame."""
    sizes = torso_size(clip.xy)
    sizes = sizes[np.isfinite(sizes)]
    size = float(np.median(sizes)) if len(sizes) else 0.0
    noise = rng.normal(0, JITTER * size, clip.xy.shape)
    return replace(clip, xy=clip.xy + noise.astype(np.float32))


def thinned(clip: SkeletonClip, rng: np.random.Generator) -> SkeletonClip:
    """`MISSING` of all joints not seen, independently."""
    return _without(clip, rng.random(clip.score.shape) < MISSING)


def every(step: int) -> Change:
    """Every `step`-th frame only, at its own time."""

    def change(clip: SkeletonClip, rng: np.random.Generator) -> SkeletonClip:
        kept = slice(None, None, step)
        return replace(clip, xy=clip.xy[kept], score=clip.score[kept], stamps=clip.stamps[kept])

    return change


def legless(clip: SkeletonClip, rng: np.random.Generator) -> SkeletonClip:
    """Knees and ankles never seen: the picture ends at the hips."""
    return _without(clip, np.isin(np.arange(NUM_JOINTS), LEGS))


def one_sided(clip: SkeletonClip, rng: np.random.Generator) -> SkeletonClip:
    """Arm and leg of one side, drawn for each clip, never seen."""
    side = (RIGHT_SIDE, LEFT_SIDE)[rng.integers(2)]
    return _without(clip, np.isin(np.arange(NUM_JOINTS), side))


def swapped(clip: SkeletonClip, rng: np.random.Generator) -> SkeletonClip:
    """Left and right of all joints exchanged in stretches of `SWAPPED` of the time."""
    return _swap(clip, stretches(len(clip), rng)[:, None])


def limbs_swapped(clip: SkeletonClip, rng: np.random.Generator) -> SkeletonClip:
    """The arms exchanged in stretches of `SWAPPED` of the time, and the legs in others."""
    mask = np.zeros(clip.score.shape, bool)
    for limb in LIMBS:
        mask[:, limb] = stretches(len(clip), rng)[:, None]
    return _swap(clip, mask)


#: Name of each condition and what it does to a clip; the rates are those of clips of 30 Hz.
CONDITIONS: dict[str, Change] = {
    'clean': lambda clip, rng: clip,
    'jitter_10_percent': jittered,
    'missing_20_percent': thinned,
    'rate_15_hz': every(2),
    'rate_10_hz': every(3),
    'legs_hidden': legless,
    'one_side_hidden': one_sided,
    'swapped_10_percent': swapped,
    'limbs_swapped_10_percent': limbs_swapped,
}


def stretches(steps: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(steps,) True in stretches of `STRETCH` frames in the mean that fill `SWAPPED` of the time.

    A chain of two states, started at random: stretches may reach over both ends of a clip.
    """
    leave = 1 / STRETCH
    begin = leave * SWAPPED / (1 - SWAPPED)
    draws = rng.random(steps)
    inside = np.empty(steps, bool)
    now = bool(rng.random() < SWAPPED)
    for t in range(steps):
        inside[t] = now
        now = bool(draws[t] >= leave if now else draws[t] < begin)
    return inside


def _without(clip: SkeletonClip, gone: npt.NDArray[np.bool_]) -> SkeletonClip:
    """The clip without these joints, (T, 14) or (14,)."""
    return replace(clip, score=np.where(gone, np.float32(0), clip.score))


def _swap(clip: SkeletonClip, mask: npt.NDArray[np.bool_]) -> SkeletonClip:
    """The clip with these joints exchanged for those of the other side; (T, 14) or (T, 1)."""
    return replace(
        clip,
        xy=np.where(mask[..., None], clip.xy[:, FLIP], clip.xy),
        score=np.where(mask, clip.score[:, FLIP], clip.score),
    )


def conditions(contest: Contest, entrant: int) -> dict[str, dict[str, float]]:
    """Accuracy of one model at the end of clips under every one of `CONDITIONS`.

    As in `evaluation.action.figures`, a clip in which nobody is seen counts as wrong.

    Returns:
        Condition -> `accuracy`, and `drop_points`, how many percent points it lies below that
        of the clean clips.
    """
    truth = np.array([contest.classes.index(clip.label) for clip in contest.clips])
    table: dict[str, dict[str, float]] = {}
    for k, (name, change) in enumerate(CONDITIONS.items()):
        rng = np.random.default_rng([SEED, k])
        changed = [change(clip, rng) for clip in contest.clips]
        answers = contest.answers(entrant, changed, asked=(1.0,))
        right = np.array([p[-1].argmax() for p in answers]) == truth
        accuracy = float((right & np.array([detected(clip) for clip in changed])).mean())
        clean = table['clean']['accuracy'] if table else accuracy
        table[name] = {'accuracy': accuracy, 'drop_points': 100 * (clean - accuracy)}
    return table


def long_stream(contest: Contest, entrant: int) -> dict[str, Any]:
    """Does one model still answer as well after minutes as at the start?

    `STREAMS` streams of `MINUTES` minutes are made of clips one after another
    (`string_together`) and stepped through with one state from start to end. Scored is the most
    probable class of the frames from `SETTLED` of each action on. Clips in which nobody was found
    are in no stream, and in none of the figures.

    Returns:
        `accuracy` over all such frames, `alone`, what it is if every clip starts afresh,
        `per_minute` of each minute, and `clips`, how many were seen, repeats included.
    """
    header, network = contest.entrants[entrant]
    clips = [clip for clip in contest.clips if detected(clip)]
    streams = [
        string_together(clips, np.random.default_rng([SEED, k]), contest.classes, 60 * MINUTES)
        for k in range(STREAMS)
    ]
    answers = [
        project(softmax(logits, network.temperature), header.labels, contest.classes)
        for logits in stream_logits(network, streams)
    ]
    right, minute = (np.concatenate(part) for part in zip(*_settled(streams, answers), strict=True))
    alone = [
        p[observed(len(p), SETTLED) :].argmax(1) == contest.classes.index(clip.label)
        for clip, p in zip(clips, contest.answers(entrant, clips), strict=True)
    ]
    return {
        'accuracy': float(right[minute < MINUTES].mean()),
        'alone': float(np.concatenate(alone).mean()),
        'per_minute': [float(right[minute == m].mean()) for m in range(MINUTES)],
        'clips': sum(len(segments(stream.targets)) for stream in streams),
    }


def _settled(
    streams: Sequence[SkeletonStream], answers: Sequence[FloatArray]
) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]]:
    """For each action the frames that count: is the answer right, and in which minute."""
    for stream, p in zip(streams, answers, strict=True):
        for start, stop, label in segments(stream.targets):
            rows = slice(start + observed(stop - start, SETTLED), stop)
            yield p[rows].argmax(1) == label, stream.stamps[rows] // 60_000_000_000


def run(
    set_name: str,
    data: Path,
    models: Sequence[str],
    split: int = 1,
    joints: str | None = None,
    cache: JointCache | None = None,
) -> dict[str, Any]:
    """How trained recognisers stand up to what robots see; the mean over several models.

    Args:
        As `evaluation.action.run`.

    Returns:
        `conditions`, and `long_stream` if all models are streaming ones.

    Raises:
        UserError: as `evaluation.action.enter`.
    """
    contest = enter(set_name, data, models, split, joints, cache)
    rows = range(len(models))
    found = {'conditions': average([conditions(contest, k) for k in rows])}
    if not any(isinstance(network, PaperRecognizer) for _, network in contest.entrants):
        found['long_stream'] = average([long_stream(contest, k) for k in rows])
    return found
