"""What a recogniser makes of bags, against the truth about them.

Who is who: a `person` of the truth is a track id of the skeletons that the bag holds. Where its
images are looked at, tracks are new; if it also holds skeletons, each new track is the recorded
person on whom it lies in most images (`offline.renamed`), otherwise ids are those of the new
tracks. `any` is whoever is surest of an action in an image, confirmed before not confirmed. A
person who is not tracked does nothing; `tracked_fraction` says how much of the actions was.
Tracks of whom the truth says nothing are not scored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from action_recognition.datasets.bags import topics
from action_recognition.datasets.sources import split_bag
from action_recognition.datasets.truth import ANY, Segment, faults, of_bag
from action_recognition.errors import UserError
from action_recognition.evaluation import bag_store, offline
from action_recognition.evaluation.bag_timelines import MAIN, Timeline, figures, timelines
from action_recognition.evaluation.offline import Answers, Frames, Setup
from action_recognition.evaluation.online import false_alarms, true_actions
from action_recognition.parallel import map_recordings
from action_recognition.pose.estimator import PoseEstimator
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.stages.perception import PerceptionConfig

#: Seconds that stamps may go back, as they do where images overtake each other; after a longer
#: jump, times of the truth mean nothing.
MOST_BACK = 1.0


@dataclass(frozen=True)
class Scored:
    """One bag, scored.

    Attributes:
        spec: as it was given.
        frames: what was seen.
        answers: of each frame; None for those that were left out.
        timelines: one of each person of the truth.
        seconds: that it took to compute.
        notes: what the user should know of it.
    """

    spec: str
    frames: Frames
    answers: list[Answers | None]
    timelines: list[Timeline]
    seconds: float
    notes: list[str]

    @property
    def length(self) -> float:
        """Seconds from the first frame to the last."""
        first, last = self.frames.span
        return (last - first) * 1e-9


class Judge:
    """Scores bags with one set of parameters, whose models it keeps.

    Args:
        truth: of all bags.
        seen: keeps what was seen in images.
        folder: keeps what was seen and said of each bag, for a later run; None: nothing does.
    """

    def __init__(
        self,
        setup: Setup,
        truth: Sequence[Segment],
        seen: dict[tuple[PerceptionConfig, str], Frames],
        folder: Path | None = None,
    ) -> None:
        self.setup = setup
        self.recognizer: StreamingRecognizer = offline.create_recognizer(setup)
        self._truth = truth
        self._estimator: PoseEstimator | None = None
        self._seen = seen
        self._folder = folder

    def score(
        self, spec: str, images: bool, progress: Callable[[int], object] = lambda count: None
    ) -> Scored:
        """Run a bag through the stages and lay it beside the truth.

        Args:
            images: look at the images of the bag rather than at its skeletons.

        Raises:
            UserError: the bag cannot be scored, and why.
        """
        path = split_bag(spec)[0]
        segments = of_bag(self._truth, path)
        if not segments:
            raise UserError(
                'the truth says nothing of this bag: if nobody does anything in it, give it a row '
                'with the label background'
            )
        labels = self.recognizer.labels
        _refuse(faults(segments, labels))
        kept = bag_store.place(self._folder, spec, self.setup, images) if self._folder else None
        known = bag_store.load(kept) if kept else None
        begin = time.perf_counter()
        frames = known[0] if known else self._look(spec, images, progress)
        if frames.partial:
            segments = _readable(segments, frames.span)
        _refuse(faults(segments, labels, frames.span))
        if max(frames.jumps, default=0) > MOST_BACK:
            raise UserError(
                f'its stamps go back by {max(frames.jumps):.1f} s: the clock was set, or two '
                'recordings are in one topic; split the bag there'
            )
        if not any(len(poses) for poses in frames.poses):
            raise UserError(f'nobody was seen in its {len(frames.poses)} frames')
        if known:
            _, answers, seconds = known
        else:
            answers = offline.recognise(frames.poses, self.recognizer)
            seconds = time.perf_counter() - begin
            if kept:
                bag_store.save(kept, frames, answers, seconds)
        notes = _notes(frames, answers.count(None))
        ids = None
        if images and offline.holds_skeletons(str(path)):
            ids = offline.renamed(frames, offline.read(str(path)).poses)
        found = timelines(path.name, frames, answers, segments, labels, ids)
        notes += _absences(found, frames, ids)
        return Scored(spec, frames, answers, found, seconds, notes)

    def close(self) -> None:
        """Give back the models."""
        self.recognizer.close()
        if self._estimator:
            self._estimator.close()

    def _look(self, spec: str, images: bool, progress: Callable[[int], object]) -> Frames:
        if not images:
            return offline.read(spec, progress)
        config = self.setup.perception
        if self._estimator is None:
            self._estimator = offline.create_perception(self.setup)
        if (config, spec) not in self._seen:
            self._seen[config, spec] = offline.look(spec, self._estimator, config, progress)
        return self._seen[config, spec]


def _readable(segments: Sequence[Segment], span: tuple[int, int]) -> list[Segment]:
    """The truth of the part of a cut bag that can be read."""
    found = []
    for s in segments:
        start, end = s.span(span[0])
        if start >= span[1]:
            continue
        if end > span[1]:
            s = replace(s, end=s.end - (end - span[1]) * 1e-9)
        found.append(s)
    return found


def _refuse(lines: Sequence[str]) -> None:
    if lines:
        more = f' (and {len(lines) - 1} more: see `label --check`)' if len(lines) > 1 else ''
        raise UserError(f'its truth is wrong: {lines[0]}{more}')


def _notes(frames: Frames, late: int) -> list[str]:
    notes = [frames.state] if frames.state else []
    if frames.repeated:
        notes.append(f'{frames.repeated} frames came with the stamp of the one before')
    if frames.problems:
        notes.append(
            f'{len(frames.problems)} messages were passed over, the first because '
            f'{frames.problems[0]}'
        )
    if late:
        notes.append(
            f'{late} frames were overtaken by later ones (by up to {max(frames.jumps):.3f} s) and '
            'left out, as in the graph'
        )
    return notes


def _absences(
    found: Sequence[Timeline], frames: Frames, ids: Mapping[int, int] | None
) -> list[str]:
    notes = []
    tracks = {int(i) for poses in frames.poses for i in poses.track_id if i >= 0}
    people = tracks if ids is None else set(ids.values())
    there = ', '.join(str(i) for i in sorted(people)) or 'nobody'
    for timeline in found:
        if not timeline.tracked.any():
            notes.append(f'person {timeline.person} is never tracked (tracked: {there})')
    named = {timeline.person for timeline in found}
    extra = sorted(people - {int(name) for name in named if name != ANY})
    if ANY not in named and extra:
        listed = ', '.join(str(i) for i in extra)
        notes.append(f'not scored, for the truth does not name them: people {listed}')
    return notes


@dataclass(frozen=True)
class Result:
    """What came of a batch with one set of parameters.

    Attributes:
        scored: the bags that could be.
        skipped: why the others could not, by the bag.
        figures: of all scored bags together; empty if there is none.
    """

    setup: Setup
    scored: list[Scored]
    skipped: dict[str, str]
    figures: dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """How to score one bag after another, in any process.

    Attributes:
        setups: scored one after the other on each bag; what was seen is seen once.
        truth: of all bags.
        images: look at images even where there are skeletons.
        folder: as of `Judge`.
        shows: whether to show how far a bag is.
    """

    setups: tuple[Setup, ...]
    truth: tuple[Segment, ...]
    images: bool
    folder: Path | None = None
    shows: bool = False

    def score(self, spec: str) -> list[Scored | str]:
        """With each set of parameters: a bag, scored, or why it cannot be.

        Raises:
            UserError: weights cannot be used.
        """
        if self not in _judges:
            close()
            _judges[self] = []
            seen: dict[tuple[PerceptionConfig, str], Frames] = {}
            for setup in self.setups:
                _judges[self].append((Judge(setup, self.truth, seen, self.folder), seen))
        found: list[Scored | str] = []
        length = _length(spec) if self.shows else 0
        for judge, _ in _judges[self]:
            try:
                pixels = offline.takes_images(spec, self.images)
                hidden = None if self.shows else True
                with tqdm(desc=Path(spec).name, total=length, unit='frame', disable=hidden) as bar:
                    found.append(judge.score(spec, pixels, bar.update))
            except UserError as error:
                found.append(str(error))
        for _, seen in _judges[self]:
            seen.clear()
        return found


#: Of this process, so that models are read once and not with every bag.
_judges: dict[Batch, list[tuple[Judge, dict[tuple[PerceptionConfig, str], Frames]]]] = {}


def close() -> None:
    """Give back the models of this process."""
    for judges in _judges.values():
        for judge, _ in judges:
            judge.close()
    _judges.clear()


def run_all(
    setups: Sequence[Setup],
    specs: Sequence[str],
    truth: Sequence[Segment],
    images: bool,
    jobs: int = 1,
    ray: str = '',
    folder: Path | None = None,
) -> list[Result]:
    """Score bags with each of several sets of parameters; what cannot be scored is skipped.

    Args:
        specs: a bag each, or `BAG:TOPIC`.
        images: look at images even where there are skeletons.
        jobs, ray: who computes, as in `map_recordings`.
        folder: keeps what was seen and said of each bag: what is there is not computed again.

    Raises:
        UserError: weights cannot be used.
    """
    batch = Batch(tuple(setups), tuple(truth), images, folder, shows=jobs == 1 and not ray)
    try:
        done = dict(map_recordings(batch.score, specs, jobs, ray, what='bags'))
    finally:
        close()
    results = []
    for k, setup in enumerate(setups):
        mine = [(spec, done[index][k]) for index, spec in enumerate(specs)]
        scored = [one for _, one in mine if isinstance(one, Scored)]
        skipped = {spec: one for spec, one in mine if isinstance(one, str)}
        results.append(Result(setup, scored, skipped, _summary(setup, scored, skipped)))
    return results


def run(setup: Setup, specs: Sequence[str], truth: Sequence[Segment], images: bool) -> Result:
    """Score bags with one set of parameters in this process, as `run_all`."""
    return run_all([setup], specs, truth, images)[0]


def _length(spec: str) -> int:
    """Messages of the largest topic: the bar need not be exact."""
    try:
        return max((count for _, count in topics(split_bag(spec)[0]).values()), default=0)
    except UserError:
        return 0


def _summary(setup: Setup, scored: Sequence[Scored], skipped: Mapping[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {
        'model': setup.name,
        'bags': len(scored),
        'partial': sum(s.frames.partial for s in scored),
        'skipped': dict(skipped),
        'notes': {s.spec: s.notes for s in scored if s.notes},
    }
    if not scored:
        return out
    found = [timeline for s in scored for timeline in s.timelines]
    length, seconds = sum(s.length for s in scored), sum(s.seconds for s in scored)
    out |= {
        **figures(found),
        'minutes': length / 60,
        'times_real_time': length / seconds if seconds > 0 else None,
        'per_bag': {s.spec: _row(s) for s in scored},
    }
    return out


def _row(scored: Scored) -> dict[str, Any]:
    all_figures = figures(scored.timelines)
    return {
        'topic': scored.frames.topic.rpartition(':')[2],
        'people': len(scored.timelines),
        'seconds': scored.length,
        'frames': len(scored.frames.poses),
        'actions': sum(len(true_actions(t)) for t in scored.timelines),
        'false_alarms': sum(false_alarms(t, t.said) for t in scored.timelines),
        **{name: all_figures[name] for name in MAIN},
    }


def common(results: Sequence[Result]) -> dict[str, Any]:
    """The figures of the first result, those of a second one as `against`."""
    out = dict(results[0].figures)
    if len(results) > 1:
        out['against'] = results[1].figures
    return out


def check_bags(specs: Sequence[str]) -> None:
    """Refuse a bag that would count twice.

    Raises:
        UserError: there is one.
    """
    names = [split_bag(spec)[0].resolve() for spec in specs]
    twice = {str(Path(name)) for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f'the bag {", ".join(sorted(twice))} is given twice')
