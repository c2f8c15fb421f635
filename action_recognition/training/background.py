"""People who do nothing of interest, and people who are not there: samples of the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets import precog
from action_recognition.datasets.clips import SkeletonClip, frame_stamps
from action_recognition.datasets.streams import precog_stream, segments
from action_recognition.skeleton import NUM_JOINTS, FloatArray, Joint, torso_size
from action_recognition.training.augment import Track

FPS = 30.0
#: A torso leans no further than this from the vertical where a person is taken to stand.
UPRIGHT = np.radians(30)
#: Share of the people who stand still; the others idle between the strikes of PRECOG.
STILL = 0.5
#: Of a person who stands still, in torso sizes: drift per second, and sway of each joint.
DRIFT, SWAY = 0.05, 0.03
#: Sway in Hz.
SWAY_RATES = (0.1, 0.5)
#: Shortest idling that is taken, in frames.
SHORTEST = 15
#: Ghosts: joints seen at least, share of joints never seen, share of the rest that flickers,
#: scores, noise from frame to frame in sizes of the ghost.
GHOST_JOINTS, GHOST_HIDDEN, GHOST_FLICKER, GHOST_SCORES = 3, 0.7, 0.5, (0.05, 0.45)
GHOST_NOISE = 0.04
#: Hz.
GHOST_RATES = (10.0, 30.0)


class Background:
    """Draws background from training clips and from recordings of PRECOG."""

    def __init__(
        self, clips: Sequence[SkeletonClip], recordings: Sequence[precog.Recording]
    ) -> None:
        """Args: recordings, of training people only; without any, everybody stands still.

        Raises:
            ValueError: nobody in `clips` stands upright, or nobody idles in `recordings`.
        """
        standing = [
            (clip, np.flatnonzero(upright(clip.xy) & np.isfinite(torso_size(clip.xy))))
            for clip in clips
        ]
        self.standing = [(clip, frames) for clip, frames in standing if len(frames)]
        self.clips = [clip for clip in clips if (clip.score > 0).any()]
        none = precog.LABELS.index('none')
        self.idle = [
            (recording, start, stop)
            for recording in recordings
            for start, stop, label in segments(recording.labels)
            if label == none
            and stop - start >= SHORTEST
            and np.isfinite(recording.xyz[start:stop]).any()
        ]
        if not self.standing or (recordings and not self.idle):
            raise ValueError('background needs clips of upright people and idle recordings')
        lengths = np.array([stop - start for _, start, stop in self.idle])
        self.share = lengths / max(lengths.sum(), 1)

    def person(self, frames: int, rng: np.random.Generator) -> SkeletonClip:
        """Somebody who stands still or idles, for up to so many frames at 30 Hz."""
        still = not self.idle or rng.random() < STILL
        return (self._still if still else self._idle)(frames, rng)

    def _idle(self, frames: int, rng: np.random.Generator) -> SkeletonClip:
        """A stretch of PRECOG between two strikes, in a view drawn anew."""
        recording, start, stop = self.idle[rng.choice(len(self.idle), p=self.share)]
        start = int(rng.integers(start, max(stop - frames, start) + 1))
        part = slice(start, min(start + frames, stop))
        cut = replace(
            recording,
            xyz=recording.xyz[part],
            labels=recording.labels[part],
            stamps=recording.stamps[part],
        )
        stream = precog_stream(cut, rng)
        return _clip(stream.xy, stream.score, stream.image_size)

    def _still(self, frames: int, rng: np.random.Generator) -> SkeletonClip:
        """One upright pose of a clip, held with a slow drift and a sway of every joint."""
        clip, rows = self.standing[rng.integers(len(self.standing))]
        row = rng.choice(rows)
        pose = clip.xy[row]
        size = float(torso_size(pose))
        seconds = np.arange(frames)[:, None, None] / FPS
        rate = rng.uniform(*SWAY_RATES, (1, NUM_JOINTS, 2))
        phase = rng.uniform(0, 2 * np.pi, (1, NUM_JOINTS, 2))
        sway = rng.normal(0, SWAY, (1, NUM_JOINTS, 2)) * np.sin(2 * np.pi * rate * seconds + phase)
        drift = rng.normal(0, DRIFT, (1, 1, 2)) * seconds
        xy = pose + size * (sway + drift)
        return _clip(xy, np.repeat(clip.score[row][None], frames, 0), clip.image_size)

    def ghost(self, seconds: float, rng: np.random.Generator) -> Track:
        """What a pose network sees in furniture and foliage: few joints, low scores, no sense.

        Joints lie at random in a box, or are those of a pose of which each may be elsewhere;
        they hardly move. Nothing is left to augment, and augmentation would raise the scores.
        """
        rate = rng.uniform(*GHOST_RATES)
        frames = max(round(seconds * rate), 2)
        box = rng.uniform(20, 150) * rng.uniform(0.5, 1.5, 2)
        corner = np.zeros(2)
        kept, real = np.zeros((NUM_JOINTS, 1), bool), np.zeros((NUM_JOINTS, 2))
        if rng.random() < 0.5:
            clip = self.clips[rng.integers(len(self.clips))]
            real = clip.xy[rng.choice(np.flatnonzero((clip.score > 0).any(1)))]
            corner = np.nanmin(real, 0)
            box = np.nanmax(real, 0) - corner
            kept = np.isfinite(real) & (rng.random((NUM_JOINTS, 1)) < rng.random())
        pose = np.where(kept, real, corner + rng.random((NUM_JOINTS, 2)) * box)
        noise = rng.gamma(1, GHOST_NOISE) * float(np.sqrt(box.prod()))
        xy = pose + rng.normal(0, noise, (frames, NUM_JOINTS, 2))
        seen = rng.random(NUM_JOINTS) >= GHOST_HIDDEN * rng.random()
        seen[rng.permutation(NUM_JOINTS)[:GHOST_JOINTS]] = True
        shown = seen & (rng.random((frames, NUM_JOINTS)) >= GHOST_FLICKER * rng.random())
        score = rng.uniform(*GHOST_SCORES, NUM_JOINTS) + rng.normal(0, 0.05, (frames, NUM_JOINTS))
        return Track(
            np.where(shown[..., None], xy, np.nan).astype(np.float32),
            np.where(shown, np.clip(score, 0.02, 1), 0).astype(np.float32),
            frame_stamps(frames, rate),
        )


def upright(xy: FloatArray) -> npt.NDArray[np.bool_]:
    """(T,) True where a torso is within `UPRIGHT` of the vertical and both feet below the hips.

    Args:
        xy: (T, 14, 2) pixels, NaN where not seen; a pose that lacks one of the joints is not
            upright.
    """
    hips = xy[:, [Joint.RIGHT_HIP, Joint.LEFT_HIP]].mean(1)
    up = hips - xy[:, Joint.NECK]
    ankles = xy[:, [Joint.RIGHT_ANKLE, Joint.LEFT_ANKLE], 1].min(1)
    # Comparisons with NaN are False, which is the answer wanted here.
    return (np.abs(np.arctan2(up[:, 0], up[:, 1])) < UPRIGHT) & (ankles > hips[:, 1])


def _clip(xy: npt.NDArray[np.floating], score: FloatArray, size: tuple[int, int]) -> SkeletonClip:
    stamps = frame_stamps(len(xy), FPS)
    name = BACKGROUND_LABEL
    return SkeletonClip(name, name, name, xy.astype(np.float32), score, stamps, size)
