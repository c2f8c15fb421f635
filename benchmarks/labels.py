"""What a robot is told: thresholds of the published label, tried on validation streams.

python benchmarks/labels.py --data DIR --run DIR [--config FILE] [--seed 0] [--out DIR]

`--run` is the folder that `action-recognition train action --config FILE --out DIR` trained into:
the model asked is the one that was trained without the validation part of the training clips, and
no test clip is read. The clips of the validation part become streams of people who do one thing
after another and stand still in between; people who only stand, people who idle, and ghosts come
beside them. The model goes through all of them once, and the published label under every setting
of `GRID`. Tables go to the terminal, all figures to `labels.json` in `--out`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_recognition import resources
from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets import precog
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.datasets.streams import (
    UNSCORED,
    SkeletonStream,
    precog_stream,
    segments,
    string_together,
)
from action_recognition.errors import UserError
from action_recognition.evaluation.action import FRACTIONS, clip_logits
from action_recognition.evaluation.common import expected_calibration_error, observed
from action_recognition.evaluation.online import (
    detection_times,
    durations,
    extra_changes,
    false_alarms,
    published,
    segmental_f1,
    stream_logits,
    true_actions,
)
from action_recognition.recognition.base import softmax
from action_recognition.recognition.labels import LabelConfig
from action_recognition.recognition.models import OnlineRecognizer, create_model
from action_recognition.skeleton import NUM_JOINTS, FloatArray
from action_recognition.training import loop
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.augment import Augmentation, Track
from action_recognition.training.background import FPS, Background
from action_recognition.training.tasks import ClipTask, fit_temperature

CONFIG = 'config/train/online_union32.yaml'
#: Everything random is drawn from this, so that every model is asked the same.
SEED = 0
#: Streams of actions: clips of each, and seconds of standing still between them.
ACTIONS, PAUSE = 5, (1.0, 4.0)
#: How often each clip is shown: once as it is, the other times as a pose network might see it.
ROUNDS = 3
#: Streams without action: how many of each kind, and their seconds.
QUIET, QUIET_SECONDS = 60, (2.0, 12.0)
#: Settings that are tried; an exit above enter is none.
GRID: dict[str, tuple[float, ...]] = {
    'enter': (0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95),
    'exit': (0.1, 0.3, 0.5, 0.6, 0.7, 0.8),
    'dwell': (0.0, 0.05, 0.1, 0.2, 0.3),
}
#: The chosen setting has no more changes per action than this beyond the one that it calls for.
MOST_CHANGES = 0.3


@dataclass(frozen=True)
class Scene:
    """Streams of one kind, and what the model says of them.

    Attributes:
        streams: of the model's labels; UNSCORED where nothing is to be said.
        probabilities: (T, labels) of each.
    """

    streams: list[SkeletonStream]
    probabilities: list[FloatArray]


# --- streams --------------------------------------------------------------------------------


class Standing(Background):
    """Background of which people who stand still can be asked for alone.

    The clips may be held out, but all recordings of PRECOG that may be learnt from are learnt
    from, so what idles is known to the model.
    """

    def still(self, seconds: float, rng: np.random.Generator) -> SkeletonClip:
        """Somebody who stands still for so long."""
        return self._still(max(round(seconds * FPS), 2), rng)


def acting(
    clips: Sequence[SkeletonClip],
    background: Standing,
    labels: Sequence[str],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> list[SkeletonStream]:
    """People who go through the clips, `ROUNDS` times in all, standing still here and there."""
    streams = []
    for turn in range(ROUNDS):
        order = rng.permutation(len(clips))
        for rows in np.array_split(order, max(len(order) // ACTIONS, 1)):
            pauses = [background.still(rng.uniform(*PAUSE), rng) for _ in range(len(rows))]
            stream = string_together([*(clips[k] for k in rows), *pauses], rng, labels)
            streams.append(estimated(stream, augmentation, rng) if turn else stream)
    return streams


def estimated(
    stream: SkeletonStream, augmentation: Augmentation, rng: np.random.Generator
) -> SkeletonStream:
    """The stream as a pose network and a slower camera might show it."""
    track = Track(stream.xy, stream.score, stream.stamps, stream.targets)
    kept = replace(augmentation, flip=0.0, speed=1.0, late_start=0.0, max_frames=0)
    seen = kept(track, rng)
    assert seen.target is not None
    return replace(stream, xy=seen.xy, score=seen.score, stamps=seen.stamps, targets=seen.target)


def quiet(track: Track, labels: Sequence[str]) -> SkeletonStream:
    """A stream of background from its first to its last frame."""
    none = labels.index(BACKGROUND_LABEL)
    targets = np.full(len(track.stamps), none)
    name = BACKGROUND_LABEL
    return SkeletonStream(
        name, name, track.xy, track.score, track.stamps, (640, 480), tuple(labels), targets
    )


def recorded(
    recordings: Sequence[precog.Recording], labels: Sequence[str], idle: bool
) -> list[SkeletonStream]:
    """Recordings of PRECOG of which the idling is scored, as background, or else the strikes.

    The strikes are no action of the model, so they count as background here too.
    """
    none = labels.index(BACKGROUND_LABEL)
    streams = []
    for stream in map(precog_stream, recordings):
        wanted = (stream.targets == precog.LABELS.index('none')) == idle
        scored = wanted & (stream.targets != UNSCORED)
        targets = np.where(scored, none, UNSCORED)
        streams.append(replace(stream, classes=tuple(labels), targets=targets))
    return streams


# --- what is said of them -------------------------------------------------------------------


def figures(scenes: Sequence[Scene], config: LabelConfig) -> dict[str, float]:
    """What one setting does to streams of actions and of background together.

    - `f1_25`, `f1_50`: segmental F1 of the published label.
    - `changes`: of the published label per true action, beyond the one that each action and
      each pause calls for.
    - `time_to_detect_s`: median over the actions that are published at all; `missed` of them are
      not.
    - `false_alarms_per_min`: labels that begin and end in the background, per minute of it.
    """
    pairs = [
        (stream, published(stream, p, config))
        for scene in scenes
        for stream, p in zip(scene.streams, scene.probabilities, strict=True)
    ]
    truth = [true_actions(stream) for stream, _ in pairs]
    said = [segments(labels) for _, labels in pairs]
    times = [time for pair in pairs for time in detection_times(*pair)]
    caught = [time for time in times if time is not None]
    return {
        'f1_25': segmental_f1(truth, said, 0.25),
        'f1_50': segmental_f1(truth, said, 0.5),
        'changes': sum(extra_changes(*pair) for pair in pairs) / len(times),
        'time_to_detect_s': float(np.median(caught)) if caught else float('inf'),
        'missed': 1 - len(caught) / len(times),
        'false_alarms_per_min': sum(false_alarms(*pair) for pair in pairs)
        / sum(minutes(stream) for stream, _ in pairs),
    }


def minutes(stream: SkeletonStream) -> float:
    """Minutes of background in a stream."""
    none = stream.classes.index(BACKGROUND_LABEL)
    return float(durations(stream)[stream.targets == none].sum()) / 60


# --- the model and its streams --------------------------------------------------------------


def trained(run: Path, config: ActionConfig, task: ClipTask, seed: int) -> OnlineRecognizer:
    """The model that was trained without the validation part, its temperature fitted to it.

    Raises:
        UserError: there is no checkpoint, or it is of another config.
    """
    model = create_model(config.model, len(task.labels), **config.settings)
    if not isinstance(model, OnlineRecognizer):
        raise UserError('labels are published by the online model')
    folder = run / f'seed{seed}' / 'validated'
    model = loop.load_average(folder, model).eval()
    done = loop.read_progress(folder)['epoch']
    if done < config.epochs:
        print(f'warning: only {done} of {config.epochs} epochs are trained')
    logits = clip_logits(model, task.validation)
    model.temperature = fit_temperature(logits, task.validation, task.labels)
    return model


def scenes_of(model: OnlineRecognizer, config: ActionConfig, task: ClipTask) -> dict[str, Scene]:
    """Streams by kind, and the answers of the model."""
    rng = np.random.default_rng(SEED)
    background, labels = Standing(task.validation, task.recordings), task.labels
    streams = {
        'actions': acting(task.validation, background, labels, config.augmentation, rng),
        'people who stand still': [
            quiet(Track.of(background.still(rng.uniform(*QUIET_SECONDS), rng)), labels)
            for _ in range(QUIET)
        ],
        'ghosts': [
            quiet(background.ghost(rng.uniform(*QUIET_SECONDS), rng), labels) for _ in range(QUIET)
        ],
        'people who idle (seen in training)': recorded(task.recordings, labels, idle=True),
        'people who strike (no class of the model)': recorded(task.recordings, labels, idle=False),
    }
    return {
        name: Scene(found, [softmax(x, model.temperature) for x in stream_logits(model, found)])
        for name, found in streams.items()
    }


# --- studies --------------------------------------------------------------------------------


def grid(scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    """Settings and figures of everything in `GRID`, best F1@25 first."""
    rows = []
    for enter, exit_, dwell in product(*GRID.values()):
        if exit_ <= enter:
            # What is called unknown below `enter` changes no confirmed label.
            config = LabelConfig(enter=enter, exit=exit_, dwell=dwell, unknown_below=0.0)
            setting = {name: getattr(config, name) for name in GRID}
            rows.append({**setting, **figures(scenes, config)})
    return sorted(rows, key=lambda row: -row['f1_25'])


def rejection(scene: Scene, config: LabelConfig) -> dict[str, float]:
    """What is said where nothing should be.

    - `confirmed`: share of the background frames with a confirmed action; `confirmed_few_joints`
      of those with fewer visible joints than the setting asks for.
    - `false_alarms_per_min`: as in `figures`; `minutes` of background.
    """
    said = [
        published(s, p, config) for s, p in zip(scene.streams, scene.probabilities, strict=True)
    ]
    quiet = np.concatenate([s.targets == s.classes.index(BACKGROUND_LABEL) for s in scene.streams])
    few = np.concatenate([(s.score > 0).sum(1) < config.min_joints for s in scene.streams])
    action = np.concatenate(said) >= 0
    total = sum(map(minutes, scene.streams))
    alarms = sum(false_alarms(s, labels) for s, labels in zip(scene.streams, said, strict=True))
    return {
        'confirmed': float(action[quiet].mean()),
        'confirmed_few_joints': float(action[quiet & few].mean()) if (quiet & few).any() else 0.0,
        'false_alarms_per_min': alarms / total,
        'minutes': total,
    }


def guesses(scenes: Sequence[Scene], least: float) -> dict[str, float]:
    """What the guess of the moment is worth where guesses below `least` are unknown.

    - `right`, `wrong`: shares of the frames of actions, the others are unknown.
    - `background`: share of the frames of background in which an action is guessed.
    """
    target = np.concatenate([stream.targets for scene in scenes for stream in scene.streams])
    p = np.concatenate([q for scene in scenes for q in scene.probabilities])
    none = scenes[0].streams[0].classes.index(BACKGROUND_LABEL)
    guess = np.where(p.max(1) >= least, p.argmax(1), none)
    action, quiet = (target != UNSCORED) & (target != none), target == none
    right, said = guess == target, guess != none
    return {
        'right': float(right[action].mean()),
        'wrong': float((said & ~right)[action].mean()),
        'background': float(said[quiet].mean()),
    }


def few_joints(
    model: OnlineRecognizer, clips: Sequence[SkeletonClip], labels: Sequence[str], visible: int
) -> dict[str, float]:
    """Answers about clips that show no more than `visible` joints, drawn for each clip.

    Returns:
        `accuracy` and mean `confidence` at all `FRACTIONS` of the clips, `ece` of both; `sure`,
        the share of answers that are an action above the `enter` of the defaults, and how many
        of these are `right`.
    """
    rng = np.random.default_rng(SEED)
    thinned = []
    for clip in clips:
        hidden = rng.permutation(NUM_JOINTS)[visible:]
        xy, score = clip.xy.copy(), clip.score.copy()
        xy[:, hidden], score[:, hidden] = np.nan, 0
        thinned.append(replace(clip, xy=xy, score=score))
    answers = [softmax(x, model.temperature) for x in clip_logits(model, thinned)]
    p = np.stack([q[observed(len(q), fraction)] for fraction in FRACTIONS for q in answers])
    truth = np.tile([labels.index(clip.label) for clip in clips], len(FRACTIONS))
    guess, confidence = p.argmax(1), p.max(1)
    right = guess == truth
    sure = (guess != labels.index(BACKGROUND_LABEL)) & (confidence >= LabelConfig().enter)
    return {
        'accuracy': float(right.mean()),
        'confidence': float(confidence.mean()),
        'ece': expected_calibration_error(confidence, right),
        'sure': float(sure.mean()),
        'right': float(right[sure].mean()) if sure.any() else float('nan'),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown, one line per row."""
    lines = ['| ' + ' | '.join(rows[0]) + ' |', '|' + '---|' * len(rows[0])]
    for row in rows:
        cells = [
            f'{value:.3g}' if isinstance(value, float) else str(value) for value in row.values()
        ]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data', type=Path, required=True, help='folder of all data sets')
    parser.add_argument('--run', type=Path, required=True, help='--out of the training')
    parser.add_argument('--config', type=Path, help=f'of the training (default: {CONFIG})')
    parser.add_argument('--seed', type=int, default=0, help='of the training')
    parser.add_argument('--out', type=Path, help='folder for labels.json')
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = ActionConfig.load(options.config or resources.find(CONFIG))
    if not config.background:
        parser.error('the config trains no background')
    task = ClipTask(config, options.data)
    model = trained(options.run, config, task, options.seed)
    scenes = scenes_of(model, config, task)
    tried = [scenes[name] for name in ('actions', 'people who stand still', 'ghosts')]

    rows = grid(tried)
    calm = [row for row in rows if row['changes'] <= MOST_CHANGES]
    defaults = LabelConfig()
    now = {**{name: getattr(defaults, name) for name in GRID}, **figures(tried, defaults)}
    print(f'Best F1@25 with at most {MOST_CHANGES} extra changes per action, then any, then ours:')
    print(table([*calm[:6], *rows[:3], now]), end='\n\n')
    rejected = [{'of': name, **rejection(scene, defaults)} for name, scene in scenes.items()]
    print('The defaults where there is no action:')
    print(table(rejected), end='\n\n')
    thresholds = [{'unknown_below': x, **guesses(tried, x)} for x in (0.0, 0.2, 0.3, 0.4, 0.5)]
    print('Guesses of the moment, shares of frames:')
    print(table(thresholds), end='\n\n')
    joints = [
        {'visible joints': k, **few_joints(model, task.validation, task.labels, k)}
        for k in range(2, NUM_JOINTS + 1)
    ]
    print('Clips of which only some joints are visible:')
    print(table(joints))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        content = {
            'temperature': model.temperature,
            'defaults': asdict(defaults),
            'grid': rows,
            'now': now,
            'rejection': rejected,
            'guesses': thresholds,
            'joints': joints,
        }
        (options.out / 'labels.json').write_text(json.dumps(content, indent=1))


if __name__ == '__main__':
    main()
