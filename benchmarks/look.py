"""Where the pose network should look, and how sure it must be of a person.

python benchmarks/look.py --data DIR [--model NAME] [--only NAME,...] [--against NAME]
    [--limit N] [--json FILE]

Two sets, on neither of which is anything tested: clips of the training part of JHMDB split 1 with
reliable joints, played whole (the network has learned from frames of them, so compare their rows
with each other only), and the validation images of LSP-extended, each shown `LOOKS` times in a
row as if a camera stood still. Every frame is also laid in the middle of a grey image 2 and 4
times as wide and high: people far away in a wide view. Network, gaze and tracker run as in the
perception node; all settings take turns, clip by clip. Scored is the tracked person most like the
truth, by PCK@0.2 of the 12 limb joints; where nobody is tracked every joint is wrong. Most images
show one person, so "people per image" above 1 are mostly ghosts. "Gain" is the PCK less that of the
way named by `--against` on the same frames, with its 95 % interval: source videos are drawn anew,
since clips of one video are alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from action_recognition.benchmarking.results import markdown
from action_recognition.datasets.jhmdb import load_jhmdb, reliable, video_path
from action_recognition.datasets.people import MIN_JOINTS, lspet_people
from action_recognition.datasets.sources import open_source
from action_recognition.evaluation.pose import correct_joints, spread
from action_recognition.pose.decode import DecoderConfig
from action_recognition.pose.estimator import PADDING, EstimatorConfig, create_estimator
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.skeleton import LIMB_JOINTS, NUM_JOINTS, FloatArray, Poses
from action_recognition.tracking.similarity import oks
from action_recognition.tracking.tracker import Tracker, TrackerConfig

#: How often a still image is shown; the last one is scored.
LOOKS = 4
FRAME = 33_333_333  # ns
#: The frame lies in an image so many times as wide and high.
ROOMS = (1, 2, 4)
#: The way of looking of the perception node.
DEFAULT = 'crops160'
#: Pairs of `decoder.min_score`, from which on somebody is found, and `tracker.high_score`, from
#: which on somebody new is followed: heights of peaks the one, calibrated scores the other.
SURE = ((0.4, 0.3), (0.35, 0.3), (0.45, 0.3))
#: How often source videos are drawn for the interval of a gain.
DRAWS = 2000


@dataclass(frozen=True)
class Way:
    """A way of looking.

    Attributes:
        name: for `--only`.
        input_size: of the whole frame.
        look: where else.
        decoder, tracker: who is found, and who of them is followed.
    """

    name: str
    input_size: int = 224
    look: LookConfig = field(default_factory=LookConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)


def _ways() -> tuple[Way, ...]:
    full = [Way(f'full{n}', n, LookConfig('full')) for n in (128, 160, 224, 288, 384)]
    crops = [
        Way(f'crops{n}', 224, LookConfig('crops', crop_size=n)) for n in (96, 128, 160, 192, 224)
    ]
    margins = [
        Way(f'margin{100 * m:.0f}', 224, LookConfig('crops', margin=m)) for m in (0.1, 0.4, 0.6)
    ]
    every = [Way(f'every{n}', 224, LookConfig('crops', full_every=n)) for n in (1, 5, 30)]
    frames = [Way(f'frame{n}', n, LookConfig('crops')) for n in (160, 288, 384)]
    sure = [
        Way(
            f'seen{100 * seen:.0f}begin{100 * begin:.0f}',
            decoder=DecoderConfig(min_score=seen),
            tracker=TrackerConfig(high_score=begin),
        )
        for seen, begin in SURE
    ]
    return (*full, *crops, *margins, *every, *frames, *sure)


WAYS = _ways()

COLUMNS = {
    'set': '{set}',
    'room': '{room}',
    'way': '{way}',
    'whole frame': '{input_size}',
    'crop': '{crop_size}',
    'margin': '{margin}',
    'every': '{full_every}',
    'found from': '{min_score}',
    'new from': '{high_score}',
    'PCK@0.2': '{pck:.3f}',
    'gain (95 %)': '{gain:+.3f} ({gain_low:+.3f} to {gain_high:+.3f})',
    'tracked': '{tracked:.3f}',
    'people per image': '{people:.2f}',
    'ids per clip': '{ids:.2f}',
    'crops per image': '{crops:.2f}',
    'whole frames': '{full:.2f}',
    'kilopixels': '{kilopixels:.0f}',
    'ms mean': '{ms_mean:.1f}',
    'ms p95': '{ms_p95:.1f}',
}


class Clip(NamedTuple):
    """Images (h, w, 3) BGR in a row and the person who is scored in them.

    Attributes:
        xy: (T, 14, 2) true joints, NaN where not labelled; frames with too few do not count.
        group: the video or photograph it comes from.
    """

    images: list[npt.NDArray[np.uint8]]
    xy: FloatArray
    group: str


def jhmdb_clips(root: Path, limit: int | None) -> Iterator[Clip]:
    """Clips of the training part of split 1 whose joints are reliable."""
    trusted = reliable(root)
    clips = [c for c in load_jhmdb(root, 1, 'train', 'truth') if c.name in trusted]
    for clip in spread(clips, limit):
        with open_source(str(video_path(root, clip.name))) as source:
            images = [frame.image for frame in source]
        xy = np.where(clip.inside[..., None], clip.xy, np.nan)
        yield Clip(images, xy[: len(images)], clip.group)


def lspet_clips(root: Path, limit: int | None) -> Iterator[Clip]:
    """Validation images, each as a clip of `LOOKS` frames of which the last is labelled."""
    for i, person in enumerate(spread(lspet_people(root, 'validation'), limit)):
        xy = np.full((LOOKS, NUM_JOINTS, 2), np.nan, np.float32)
        xy[-1] = person.xy
        yield Clip([person.image()] * LOOKS, xy, str(i))


SETS: dict[str, Callable[[Path, int | None], Iterator[Clip]]] = {
    'jhmdb': jhmdb_clips,
    'lspet': lspet_clips,
}


def with_room(clip: Clip, room: int) -> Clip:
    """The same in the middle of grey images `room` times as wide and high."""
    height, width = clip.images[0].shape[:2]
    above, left = (room - 1) * height // 2, (room - 1) * width // 2
    below, right = (room - 1) * height - above, (room - 1) * width - left
    images = [
        cv2.copyMakeBorder(
            image, above, below, left, right, cv2.BORDER_CONSTANT, value=[PADDING] * 3
        )
        for image in clip.images
    ]
    return Clip(images, clip.xy + np.array([left, above], np.float32), clip.group)


class Tally:
    """What one way of looking made of the clips of a set."""

    def __init__(self, way: Way, model: str, device: str) -> None:
        self.way = way
        config = EstimatorConfig(way.input_size, decoder=way.decoder)
        self.gaze = Gaze(create_estimator(model, device, config), way.look)
        self.right: list[FloatArray] = []
        self.groups: list[str] = []
        self.tracked: list[bool] = []
        self.ids: list[int] = []
        self.people: list[int] = []
        self.crops: list[int] = []
        self.full: list[bool] = []
        self.seconds: list[float] = []

    def play(self, clip: Clip) -> None:
        """Go through a clip from a fresh state."""
        tracker, ids = Tracker(self.way.tracker), set()
        self.gaze.reset()
        for i, (image, truth) in enumerate(zip(clip.images, clip.xy, strict=True)):
            start = time.perf_counter()
            found = self.gaze.look(image, i * FRAME, tracker.predict(i * FRAME))
            self.seconds.append(time.perf_counter() - start)
            people = tracker.update(found)
            self.people.append(len(people))
            self.crops.append(len(self.gaze.last.regions))
            # Newcomers beside known people are looked for when the answer is out.
            self.full.append(self.gaze.last.full or self.gaze.look_around())
            labelled = np.isfinite(truth).all(-1)
            if labelled.sum() < MIN_JOINTS:
                continue
            xy, track_id = most_alike(people, truth)
            self.right.append(correct_joints(xy[None], truth[None])[0, list(LIMB_JOINTS)])
            self.groups.append(clip.group)
            self.tracked.append(track_id is not None)
            ids |= {track_id} - {None}
        self.ids.append(len(ids))

    def kilopixels(self) -> float:
        """Input of the network per image in thousands of pixels: its work is proportional."""
        crops = float(np.mean(self.crops)) * self.way.look.crop_size**2
        return (crops + float(np.mean(self.full)) * self.way.input_size**2) / 1e3

    def figures(self) -> dict[str, Any]:
        """A row of the table."""
        return {
            'way': self.way.name,
            'input_size': self.way.input_size,
            **(asdict(self.way.look) if self.way.look.mode == 'crops' else {}),
            'min_score': self.way.decoder.min_score,
            'high_score': self.way.tracker.high_score,
            'pck': float(np.nanmean(np.stack(self.right))),
            'tracked': float(np.mean(self.tracked)),
            'people': float(np.mean(self.people)),
            'ids': float(np.mean(self.ids)),
            'crops': float(np.mean(self.crops)),
            'full': float(np.mean(self.full)),
            'kilopixels': self.kilopixels(),
            'ms_mean': 1e3 * float(np.mean(self.seconds)),
            'ms_p95': 1e3 * float(np.percentile(self.seconds, 95)),
            'frames': len(self.right),
        }


def gain(right: FloatArray, against: FloatArray, groups: Sequence[str]) -> dict[str, float]:
    """How much higher the PCK of one way is than that of another, and a 95 % interval.

    Args:
        right: (n, joints) of the one way, as `correct_joints` says. against: of the other.
        groups: (n,) frames of one group are drawn together.
    """
    members = np.unique(groups, return_inverse=True)[1]
    counts = np.bincount(members, np.isfinite(right).sum(1))
    more = np.bincount(members, np.nansum(right - against, axis=1))
    counts, more = counts[counts > 0], more[counts > 0]  # in some no joint can be scored
    drawn = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    low, high = np.quantile(more[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return {
        'gain': float(more.sum() / counts.sum()),
        'gain_low': float(low),
        'gain_high': float(high),
    }


def most_alike(people: Poses, truth: FloatArray) -> tuple[FloatArray, int | None]:
    """(14, 2) joints and id of the person most like the truth; NaN and None where nobody is."""
    seen = np.isfinite(truth[None]).all(-1)
    alike = oks(np.nan_to_num(truth[None]), seen, people.xy, people.score)[0]
    if not len(people) or alike.max() <= 0:
        return np.full((NUM_JOINTS, 2), np.nan, np.float32), None
    best = int(alike.argmax())
    return people.xy[best], int(people.track_id[best])


def chosen(names: str) -> tuple[Way, ...]:
    """The ways of a comma-separated list.

    Raises:
        ArgumentTypeError: there is no way of some name.
    """
    known = {way.name: way for way in WAYS}
    unknown = [name for name in names.split(',') if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f'{", ".join(unknown)}; known: {", ".join(known)}')
    return tuple(known[name] for name in names.split(','))


def main() -> None:
    """The command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True, help='holds jhmdb and lspet')
    parser.add_argument('--model', default='pose', help='name or path of the weights')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--sets', nargs='+', choices=SETS, default=list(SETS))
    parser.add_argument('--rooms', nargs='+', type=int, default=ROOMS)
    parser.add_argument(
        '--only',
        type=chosen,
        default=WAYS,
        help='names of ways; all by default',
        metavar='NAME,...',
    )
    parser.add_argument(
        '--against',
        choices=[way.name for way in WAYS],
        default=DEFAULT,
        help='the way that gains are over; default: %(default)s',
        metavar='NAME',
    )
    parser.add_argument('--limit', type=int, help='clips or images of each set')
    parser.add_argument('--json', type=Path, help='also write the figures here')
    args = parser.parse_args()
    rows = []
    for name in args.sets:
        for room in args.rooms:
            tallies = [Tally(way, args.model, args.device) for way in args.only]
            clips = SETS[name](args.data / name, args.limit)
            for clip in tqdm(clips, desc=f'{name}, room {room}', unit='clip', disable=None):
                for tally in tallies:
                    tally.play(with_room(clip, room))
            part = [{'set': name, 'room': room, **tally.figures()} for tally in tallies]
            for other in (tally for tally in tallies if tally.way.name == args.against):
                for row, tally in zip(part, tallies, strict=True):
                    if tally is not other:
                        row |= gain(np.stack(tally.right), np.stack(other.right), tally.groups)
            print(markdown(part, COLUMNS), '\n', flush=True)
            rows += part
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
    main()
