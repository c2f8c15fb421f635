"""Turns what a graph gave into files: an annotated video, labels, a summary page."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from action_recognition import __version__
from action_recognition.cli.graph import FrameCount, Outcome, Recipe, count_frames
from action_recognition.cli.output import write_json
from action_recognition.closing import Closing
from action_recognition.datasets.sources import Frame, Source, open_source
from action_recognition.errors import UserError
from action_recognition.evaluation.report import (
    Deed,
    deeds,
    people,
    stills,
    write_labels,
    write_page,
)
from action_recognition.nodes.images import BgrImage
from action_recognition.nodes.session import STAGES, Session
from action_recognition.recognition.labels import UNKNOWN
from action_recognition.skeleton import Poses
from action_recognition.visualization.film import AnnotatedFilm
from action_recognition.visualization.overlay import Caption
from action_recognition.weights import digest

#: H.264 by its names in MP4 files, the only codec here that all browsers play.
BROWSER_CODES = ('avc1', 'h264')
VIDEO = 'annotated.mp4'
#: Images of a live source that wait for their labels; older ones are left out of the video.
MOST_WAITING = 120


class Artist(Closing):
    """Draws frames with what was found in them; a context manager.

    Frames without results of their own show those of the frame before.
    """

    def __init__(self, out: Path, source: Source) -> None:
        self._film = AnnotatedFilm(out / VIDEO, source.fps, source.size)
        self._poses = Poses.empty()
        self._captions: dict[int, Caption] = {}

    def draw(self, image: BgrImage, stamp: int, session: Session) -> None:
        """Add a frame to the video."""
        if moment := session.moments.get(stamp):
            self._poses = session.poses.get(stamp, Poses.empty())
            self._captions = {
                e.track_id: Caption(e.label, e.confidence, e.state == 'confirmed')
                for e in moment.estimates
                if e.class_id != UNKNOWN and e.state != 'ended'
            }
        self._film.draw(image, self._poses, self._captions, stamp)

    def close(self) -> None:
        """Finish the video."""
        self._film.close()


class LiveArtist(Artist):
    """Draws the frames of a live source, which cannot be read again, while they come."""

    def __init__(self, out: Path, source: Source) -> None:
        super().__init__(out, source)
        self._waiting: deque[tuple[int, BgrImage]] = deque(maxlen=MOST_WAITING)

    def see(self, image: BgrImage, stamp: int) -> None:
        """Keep an image until its labels are there."""
        self._waiting.append((stamp, image))

    def catch_up(self, session: Session) -> None:
        """Draw the images that are as old as the newest labels, or older."""
        newest = next(reversed(session.moments), -1)
        while self._waiting and self._waiting[0][0] <= newest:
            stamp, image = self._waiting.popleft()
            self.draw(image, stamp, session)


def write_results(
    recipe: Recipe, source: Source, outcome: Outcome, models: Mapping[str, Path]
) -> None:
    """Write everything there is to say about a run, and print the gist of it.

    Args:
        source: of the run; closed.
        models: weights files by what they are for.
    """
    session, out = outcome.session, recipe.out
    moments = list(session.moments.values())
    write_labels(out / 'labels.csv', moments)
    if moments and not source.live:
        with suppress(KeyboardInterrupt):  # what is left to write takes a moment only
            _draw_again(recipe, source, session)
    frames = count_frames(session.counts, len(moments))
    done = deeds(moments)
    facts = {
        'source': source.name,
        'seconds_of_source': round(session.span(), 3),
        'frames_per_second': round(session.rate(), 2),
        'processes': 1 if recipe.composed else len(STAGES),
        'version': __version__,
    }
    used = {role: {'name': path.stem, 'sha256': digest(path)} for role, path in models.items()}
    devices = {name: device for name, device in session.devices.items() if device}
    times = {stage: round(sum(t) / len(t), 2) for stage, t in sorted(session.times.items())}
    summary = {
        **facts,
        'interrupted': outcome.interrupted,
        'frames': asdict(frames),
        'people': len(people(moments)),
        'actions': [asdict(deed) for deed in done],
        'models': used,
        'devices': devices,
        'milliseconds': times,
        'problems': session.problems,
    }
    write_json(out / 'summary.json', summary)
    tables: dict[str, dict[str, Any]] = {
        'Run': {name.replace('_', ' '): value for name, value in facts.items()},
        'Frames': {'came': frames.came, 'processed': frames.processed, **_dropped(frames)},
        'Models': {f'{role} {key}': v for role, model in used.items() for key, v in model.items()},
        'Milliseconds a frame': times,
        'Devices': devices,
    }
    if session.problems:
        tables['Problems'] = {str(i): problem for i, problem in enumerate(session.problems, 1)}
    video = out / VIDEO
    write_page(
        out / 'index.html',
        Path(source.name).name,
        moments,
        tables,
        stills(video),
        VIDEO if _plays_in_browsers(video) else '',
    )
    _print_gist(out, frames, len(people(moments)), done, session.problems)


def _draw_again(recipe: Recipe, source: Source, session: Session) -> None:
    """Read the source once more, up to the last frame with labels, and draw on it."""
    newest = next(reversed(session.moments))
    with (
        Artist(recipe.out, source) as artist,
        open_source(recipe.source) as again,
        tqdm(total=len(session.moments), desc='drawing', unit='frame', disable=None) as bar,
    ):
        for frame in _readable(again):
            stamp = (source.start or 0) + frame.stamp
            if stamp > newest:
                break
            artist.draw(frame.image, stamp, session)
            bar.update()


def _readable(source: Source) -> Iterator[Frame]:
    """The frames that can be read: the camera node leaves out the same ones."""
    while True:
        try:
            frame = source.read()
        except UserError:
            continue
        if frame is None:
            return
        yield frame


def _plays_in_browsers(video: Path) -> bool:
    capture = cv2.VideoCapture(str(video))
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) % 2**32  # -1 where there is no video
    capture.release()
    return code.to_bytes(4, 'little').decode('ascii', 'replace').lower() in BROWSER_CODES


def _dropped(frames: FrameCount) -> dict[str, int]:
    return frames.dropped or {'dropped': 0}


def _print_gist(
    out: Path, frames: FrameCount, seen: int, done: Sequence[Deed], problems: Sequence[str]
) -> None:
    dropped = ' + '.join(f'{number} {reason}' for reason, number in _dropped(frames).items())
    print(f'Frames: {frames.came} in = {frames.processed} processed + {dropped}')
    print(f'People: {seen}')
    for deed in done:
        print(
            f'  person {deed.person}: {deed.label.replace("_", " ")} from {deed.begin:.2f} '
            f'to {deed.end:.2f} s ({deed.confidence:.0%})'
        )
    for problem in problems:
        print(f'Problem: {problem}')
    print(f'Results: {out / "index.html"}, {VIDEO}, labels.csv, summary.json, bag')
