"""Whole bags against their truth: what is scored, skipped and noted, also by several processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bag_recipes import (
    LABELS,
    START,
    STEP,
    chunked_bag,
    image_message,
    skeleton_bag,
    skeleton_message,
    walk,
    write_bag,
)
from rosbags.rosbag2 import StoragePlugin

from action_recognition import weights
from action_recognition.cli import main
from action_recognition.datasets.bags import SKELETONS
from action_recognition.datasets.truth import ANY, Segment, write_truth
from action_recognition.errors import UserError
from action_recognition.evaluation import bag, offline
from action_recognition.evaluation.offline import Setup
from action_recognition.recognition.labels import LabelConfig
from action_recognition.recognition.models import create_model
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.stages.recognition import RecognizerConfig


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Untrained weights whose answers change with the input."""
    torch.manual_seed(3)
    network = create_model('online', len(LABELS))
    with torch.no_grad():
        network.classifier.weight *= 20
    path = tmp_path_factory.mktemp('weights') / 'toy.safetensors'
    header = weights.Header('action', 'toy', {'model': 'online'}, LABELS)
    weights.save(path, network.state_dict(), header)
    return path


@pytest.fixture
def setup(model):
    config = LabelConfig(enter=0.3, exit=0.2, unknown_below=0.2)
    return Setup('toy', recognizer=RecognizerConfig(str(model), labels=config))


@pytest.mark.parametrize(
    ('plugin', 'version'), [(StoragePlugin.MCAP, 8), (StoragePlugin.SQLITE3, 9)]
)
def test_skeletons_give_what_the_recogniser_says_frame_by_frame(tmp_path, setup, plugin, version):
    poses = walk(40, ids=(3, 5))
    skeleton_bag(tmp_path / 'k', poses, plugin=plugin, version=version)
    rows = [Segment('k', 0, 0.5, '3', 'wave'), Segment('k', 0.5, 1, '5', 'run')]
    result = bag.run(setup, [str(tmp_path / 'k')], rows, images=False)
    assert result.skipped == {}
    config = setup.recognizer
    plain = StreamingRecognizer.from_weights(config.model)
    plain.configure(config.labels, config.forget_after)
    for row, (ours, frame) in enumerate(zip(result.scored[0].answers, poses, strict=True)):
        for a, b in zip(ours, plain.update(frame), strict=True):
            np.testing.assert_array_equal(a.scores, b.scores)
            assert (a.track_id, a.label, a.state) == (b.track_id, b.label, b.state), row
    again = bag.run(setup, [str(tmp_path / 'k')], rows, images=False)
    for one in (result.figures, again.figures):
        one.pop('times_real_time')
    assert again.figures == result.figures
    assert result.figures['per_bag'][str(tmp_path / 'k')]['people'] == 2


def test_the_rest_of_the_batch_goes_on(tmp_path, setup):
    poses = walk(40)
    names = ('good', 'cut', 'unnamed', 'typo', 'late', 'jump', 'images')
    for name in names[:5]:
        skeleton_bag(tmp_path / name, poses)
    file = next((tmp_path / 'cut').glob('*.mcap'))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    jump = walk(20) + walk(20, start=START - 10**10)
    skeleton_bag(tmp_path / 'jump', jump)
    empty = [Poses.empty(START + k * STEP, (64, 48)) for k in range(3)]
    skeleton_bag(tmp_path / 'empty', empty)
    write_bag(tmp_path / 'other', {'/odom': [skeleton_message(p).header.stamp for p in []]})
    rows = [Segment(name, 0, 1, ANY, 'wave') for name in ('good', 'cut', 'jump', 'empty', 'other')]
    rows += [Segment('typo', 0, 1, ANY, 'wavee'), Segment('late', 50, 60, ANY, 'wave')]
    specs = [str(tmp_path / name) for name in (*names[:6], 'empty', 'other', 'gone')]
    result = bag.run(setup, specs, rows, images=False)
    assert [s.spec for s in result.scored] == specs[:1]
    reasons = {Path(spec).name: reason for spec, reason in result.skipped.items()}
    expected = {
        'cut': 'cannot read bag',
        'unnamed': 'the truth says nothing of this bag',
        'typo': 'did you mean wave?',
        'late': 'lies outside the bag, which goes from 0 to 1.3',
        'jump': 'its stamps go back by 10.6 s',
        'empty': 'nobody was seen in its 3 frames',
        'other': 'it holds nothing',
        'gone': 'does not exist',
    }
    assert reasons.keys() == expected.keys()
    for name, part in expected.items():
        assert part in reasons[name]
        assert '\n' not in reasons[name]
    assert result.figures['bags'] == 1
    assert len(result.figures['skipped']) == 8


def test_what_the_user_should_know_is_noted(tmp_path, setup):
    poses = walk(40)
    poses[10], poses[11] = poses[11], poses[10]  # images that overtook each other
    messages = [skeleton_message(p) for p in poses]
    messages[20].skeletons[0].joints[0].score = 7.0
    messages[30] = messages[29]
    write_bag(tmp_path / 'k', {'/skeletons': messages})
    rows = [Segment('k', 0, 1, '4', 'wave')]
    result = bag.run(setup, [str(tmp_path / 'k')], rows, images=False)
    assert result.skipped == {}
    notes = ' | '.join(result.scored[0].notes)
    assert '1 frames came with the stamp of the one before' in notes
    assert '1 messages were passed over, the first because a skeleton cannot be read' in notes
    assert 'person 4 is never tracked (tracked: 1)' in notes
    assert 'the truth does not name them: people 1' in notes
    assert '1 frames were overtaken by later ones (by up to 0.033 s)' in notes
    assert (np.diff(result.scored[0].timelines[0].stamps) > 0).all()


class Blob:
    """One person where the image is bright; nobody in a black one."""

    name, device, runtime = 'blob', 'cpu', 'none'

    def estimate(self, image, stamp=0):
        size = image.shape[1::-1]
        if not image.any():
            return Poses.empty(stamp, size)
        xy = float(image.mean()) + np.stack([np.arange(NUM_JOINTS) * 2.0] * 2, -1)
        return Poses(xy[None], np.full((1, NUM_JOINTS), 0.9), stamp=stamp, image_size=size)

    def close(self):
        pass


@pytest.mark.parametrize('jpeg', [False, True])
def test_images_are_looked_at_and_bad_ones_passed_over(tmp_path, setup, monkeypatch, jpeg):
    monkeypatch.setattr(offline, 'create_perception', lambda setup: Blob())
    pictures = [np.full((48, 64, 3), 40 + k, np.uint8) for k in range(30)]
    messages = [image_message(p, START + k * STEP, jpeg) for k, p in enumerate(pictures)]
    messages[5].data = messages[5].data[:4]
    messages[8] = messages[7]
    path = write_bag(tmp_path / 'k', {'/eye/image': messages})
    rows = [Segment('k', 0, 0.5, ANY, 'wave')]
    result = bag.run(setup, [str(path)], rows, images=False)
    assert result.skipped == {}
    frames = result.scored[0].frames
    assert (len(frames.poses), frames.repeated, len(frames.problems)) == (28, 1, 1)
    assert len(frames.milliseconds) == 28
    assert frames.poses[0].track_id.tolist() == [1]


def test_a_cut_bag_is_scored_as_far_as_it_goes(tmp_path, setup):
    path = chunked_bag(tmp_path / 'k.mcap', SKELETONS, [skeleton_message(p) for p in walk(60)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rows = [Segment('k.mcap', 0.2, 1.9, '1', 'wave'), Segment('k.mcap', 1.95, 1.96, '1', 'run')]
    result = bag.run(setup, [str(path)], rows, images=False)
    assert (result.skipped, result.figures['partial'], result.figures['n']) == ({}, 1, 1)
    scored = result.scored[0]
    assert 5 < len(scored.frames.poses) < 50
    line = f'partial: the file is cut; {scored.length:.1f} s were read, the rest is lost'
    assert scored.notes[0] == line


# --- many bags ------------------------------------------------------------------------------


def same(ours, other):
    """Label by label, number by number."""
    for one, two in zip(ours.scored, other.scored, strict=True):
        assert (one.spec, one.notes) == (two.spec, two.notes)
        for a, b in zip(one.timelines, two.timelines, strict=True):
            assert (a.person, a.classes) == (b.person, b.classes)
            for name in ('stamps', 'targets', 'said', 'tracked', 'probabilities'):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert len(one.answers) == len(two.answers)
        for a, b in zip(one.answers, two.answers, strict=True):
            assert [(e.track_id, e.label, e.state, e.began) for e in a or ()] == [
                (e.track_id, e.label, e.state, e.began) for e in b or ()
            ]
    assert ours.skipped == other.skipped


@pytest.mark.parametrize('ray', ['', 'local'])
def test_two_processes_say_what_one_says(tmp_path, setup, ray):
    if ray:
        pytest.importorskip('ray', reason='Ray is not installed')
    specs = [str(skeleton_bag(tmp_path / f'k{k}', walk(30, (1, 2), seed=k))) for k in range(3)]
    specs.append(str(tmp_path / 'gone'))
    rows = [Segment(Path(spec).name, 0.1, 0.8, '1', 'wave') for spec in specs]
    strict = Setup('strict', recognizer=RecognizerConfig(setup.recognizer.model))
    alone = bag.run_all([setup, strict], specs, rows, images=False)
    spread = bag.run_all([setup, strict], specs, rows, False, jobs=2, ray=ray)
    for one, other in zip(spread, alone, strict=True):
        assert len(other.scored) == 3
        same(one, other)


def test_what_is_kept_is_not_computed_again(tmp_path, setup, monkeypatch):
    specs = [str(skeleton_bag(tmp_path / name, walk(30))) for name in 'ab']
    rows = [Segment(name, 0.1, 0.8, '1', 'wave') for name in 'ab']
    plain = bag.run_all([setup], specs, rows, False)[0]
    kept = tmp_path / 'kept'
    recognise, begun = offline.recognise, []

    def killed(poses, recognizer):
        begun.append(poses)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return recognise(poses, recognizer)

    monkeypatch.setattr(offline, 'recognise', killed)
    with pytest.raises(KeyboardInterrupt):
        bag.run_all([setup], specs, rows, False, folder=kept)
    assert [path.name[:2] for path in kept.iterdir()] == ['a-']
    same(bag.run_all([setup], specs, rows, False, folder=kept)[0], plain)
    assert len(begun) == 3
    same(bag.run_all([setup], specs, rows, False, folder=kept)[0], plain)
    assert len(begun) == 3
    next(kept.glob('a-*')).write_bytes(b'half a file')
    same(bag.run_all([setup], specs, rows, False, folder=kept)[0], plain)
    assert len(begun) == 4
    other = Setup('strict', recognizer=RecognizerConfig(setup.recognizer.model))
    bag.run_all([other], specs, rows, False, folder=kept)
    assert len(begun) == 6


# --- the command ----------------------------------------------------------------------------


def test_the_command(tmp_path, model, capsys):
    skeleton_bag(tmp_path / 'a', walk(40))
    skeleton_bag(tmp_path / 'b', walk(40, seed=1))
    truth = tmp_path / 'truth.csv'
    write_truth(truth, [Segment(name, 0.2, 0.9, '1', 'wave') for name in 'ab'])
    params = tmp_path / 'other.yaml'
    params.write_text(
        f'/**/recognizer:\n  ros__parameters:\n    model: {model}\n    labels:\n      enter: 0.99\n'
    )
    command = ['evaluate', 'bag', '--bag', str(tmp_path / 'a'), str(tmp_path / 'b')]
    command += ['--truth', str(truth), '--model', str(model), '--against', str(params)]
    command += ['--report', str(tmp_path / 'report'), '--json', str(tmp_path / 'figures.json')]
    assert main(command) == 0
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert (figures['model'], figures['against']['model']) == ('toy', 'other')
    assert figures['bags'] == figures['n'] == 2
    assert figures['frames'] == 80
    page = (tmp_path / 'report' / 'index.html').read_text()
    assert page.count('<svg') >= 4
    assert 'prefers-color-scheme: dark' in page
    for reference in ('http:', 'https:', 'src="/', '<script'):
        assert reference not in page
    capsys.readouterr()
    assert main([*command, '--fail-below', 'accuracy=2', 'ece=-1']) == 1
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith('failed: ') for line in lines) == 2


@pytest.mark.parametrize(
    ('options', 'complaint'),
    [
        (['--fail-below', 'speed=1'], 'speed is no figure'),
        (['--model', 'no_such'], 'no_such'),
        (['--params-file', 'gone.yaml'], 'cannot read gone.yaml'),
        ([], 'no bag could be scored'),
    ],
)
def test_bad_commands(tmp_path, capsys, options, complaint):
    truth = tmp_path / 'truth.csv'
    write_truth(truth, [Segment('a', 0, 1, ANY, 'wave')])
    command = ['evaluate', 'bag', '--bag', str(tmp_path / 'a'), '--truth', str(truth)]
    assert main([*command, *options]) == 1
    assert complaint in capsys.readouterr().err.splitlines()[-1]


def test_thresholds_are_judged_even_if_no_bag_could_be_scored(tmp_path, capsys):
    truth = tmp_path / 'truth.csv'
    write_truth(truth, [Segment('a', 0, 1, ANY, 'wave')])
    command = ['evaluate', 'bag', '--bag', str(tmp_path / 'a'), '--truth', str(truth)]
    assert main([*command, '--fail-below', 'map=0.5']) == 1
    *_, failed, error = capsys.readouterr().err.splitlines()
    assert failed == 'failed: map could not be measured, but must reach 0.5'
    assert 'no bag could be scored' in error


def test_a_bag_given_twice():
    with pytest.raises(UserError, match='given twice'):
        bag.check_bags(['a', './a:/topic'])
