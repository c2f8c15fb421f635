"""Growing, publishing, and a training run that is stopped and resumed."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pose_recipes import JOINTS, person

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.evaluation.pose import Answer
from action_recognition.pose.calibration import ScoreCalibration
from action_recognition.pose.heads import PoseNetwork
from action_recognition.training import pose as training
from action_recognition.training.pose import (
    Trainer,
    batches,
    calibrate,
    grow,
    publish,
    run,
    trained,
)
from action_recognition.training.pose_calibration import fit_score
from action_recognition.training.pose_config import Phase, PoseConfig


def test_new_stages_begin_as_a_copy_of_the_last():
    torch.manual_seed(0)
    small = PoseNetwork(2).eval()
    large = grow(small, 4).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        want, got = small(image), large(image)
    torch.testing.assert_close(got[1], want[1])
    for branch in (large.joint_stages, large.limb_stages):
        for new in branch[2:]:
            torch.testing.assert_close(new.state_dict(), branch[1].state_dict())


def test_a_second_stage_begins_alike_in_the_network_and_its_average(small_run):
    config, _ = small_run
    trainer = Trainer.begin(PoseConfig.load(config), torch.device('cpu'))
    first = [trainer.network.state_dict(), trainer.ema.model.state_dict()]
    for state in first:  # as if they had learnt
        state['joint_stages.0.0.0.weight'].normal_()
    trainer.grow(2)
    network, average = trainer.network.state_dict(), trainer.ema.model.state_dict()
    for key, value in network.items():
        if key not in first[0]:
            torch.testing.assert_close(average[key], value, rtol=0, atol=0)
    for before, after in zip(first, (network, average), strict=True):
        kept = {key: after[key] for key in before}
        torch.testing.assert_close(kept, before, rtol=0, atol=0)


class Recorder:
    """In place of `MapPck`: keeps what it is asked about, and finds a figure of its own."""

    asked = ()

    def __init__(self, network, device, size):
        assert not network.training
        Recorder.asked = {key: value.clone() for key, value in network.state_dict().items()}
        self.size = size

    def __call__(self, people):
        return len(people) / 10 + self.size / 1e4


class Estimator:
    def close(self):
        pass


@pytest.fixture
def small_run(tmp_path, monkeypatch):
    """A config of a very short run on two made-up people; returns (config path, data path)."""
    people = [person(), person(blank=True)] * 4
    monkeypatch.setattr(training, 'lspet_people', lambda root, part: people)
    monkeypatch.setattr(training, 'jhmdb_people', lambda *_, **__: [])
    config = {
        'name': 'short',
        'workers': 0,
        'threads': 1,
        'batch': 4,
        'validate_every': 8,
        'check_size': 64,
        'phases': [{'size': 64, 'stages': 1, 'images': 8}, {'size': 64, 'stages': 2, 'images': 8}],
    }
    path = tmp_path / 'config.yaml'
    path.write_text(yaml.safe_dump(config))
    return path, tmp_path


def test_run_grows_and_leaves_weights_and_curves(small_run, tmp_path):
    config, data = small_run
    path = run(config, data, tmp_path / 'out')
    header, state = weights.load(path, 'pose')
    assert header.config == {'stages': 2}
    assert header.training['images'] == 16
    weights.restore(PoseNetwork(2), state, path)
    rows = (tmp_path / 'out' / 'curves.csv').read_text().splitlines()
    assert len(rows) == 3


def test_the_figure_in_the_header_is_that_of_the_file(small_run, tmp_path, monkeypatch):
    config, _ = small_run
    trainer = Trainer.begin(PoseConfig.load(config), torch.device('cpu'))
    average = trainer.ema.model.state_dict()
    average['backbone.layers.L5.1.running_var'].fill_(1e5)  # more than half precision can say
    monkeypatch.setattr(training, 'MapPck', Recorder)
    header, state = weights.load(publish(trainer, tmp_path, [person()] * 3), 'pose')
    assert header.metrics == {'lspet_validation_map_pck_limb12_at_64': 0.3064}
    for key, value in state.items():
        want = average[key].half() if value.ndim > 1 else average[key]
        assert value.dtype == want.dtype
        torch.testing.assert_close(value, want, rtol=0, atol=0)
        torch.testing.assert_close(Recorder.asked[key], value.to(average[key].dtype))


def test_weights_tell_what_they_began_with(small_run, tmp_path):
    config, data = small_run
    first = run(config, data, tmp_path / 'first')
    told = weights.read_header(first).training
    assert (told['images'], told['data']) == (16, {'people to learn from': 8})
    settings = yaml.safe_load(config.read_text()) | {'start_from': str(first)}
    config.write_text(yaml.safe_dump(settings))
    out = tmp_path / 'second'
    second = run(config, data, out)
    told = weights.read_header(second).training
    assert told['images'] == 16 + 16
    assert told['data'] == {
        'weights of start_from': weights.digest(first),
        'labels doubted at': 64,
        'people to learn from': 8,
    }
    # A run that has ended can be published once more from its checkpoint.
    trainer, _ = Trainer.resume(PoseConfig.load(config), torch.device('cpu'), out)
    again = publish(trainer, tmp_path, [person()])
    assert weights.read_header(again).training == told
    for key, value in weights.load(again, 'pose')[1].items():
        torch.testing.assert_close(value, weights.load(second, 'pose')[1][key])


@pytest.mark.parametrize(
    ('said', 'told'), [('', training.LICENCE), ('Our own recordings.', 'Our own recordings.')]
)
def test_weights_tell_what_their_data_allow(small_run, tmp_path, said, told):
    config, _ = small_run
    settings = replace(PoseConfig.load(config), licence=said)
    trainer = Trainer.begin(settings, torch.device('cpu'))
    assert weights.read_header(publish(trainer, tmp_path, [person()])).licence == told


def test_weights_whose_header_counts_no_images_are_no_start(small_run, tmp_path):
    config, _ = small_run
    settings = replace(PoseConfig.load(config), start_from=str(tmp_path / 'odd.safetensors'))
    header = weights.Header('pose', 'odd', {'stages': 1}, training={'images': 'many'})
    weights.save(tmp_path / 'odd.safetensors', PoseNetwork(1).state_dict(), header)
    with pytest.raises(UserError, match=r"odd\.safetensors has a damaged header .*'many'"):
        Trainer.begin(settings, torch.device('cpu'))


def test_a_phase_may_show_people_of_other_sizes(small_run):
    config, _ = small_run
    settings = replace(
        PoseConfig.load(config),
        phases=(Phase(64, 1, 400), Phase(64, 1, 400, size_range=(0.3, 0.35))),
    )
    heights = []
    for seen in (0, 400):
        xy = torch.cat([xy[:, 0] for _, xy, _ in batches([person()] * 8, settings, seen)])
        xy = xy[torch.isfinite(xy).all(-1).all(-1)]
        heights.append((xy.amax(1) - xy.amin(1)).amax(-1).max())
    assert heights[1] < 0.45 * 64 < 0.5 * 64 < heights[0]  # a turned box is a little larger


@pytest.mark.parametrize('cut', [4, 16, 24, 28])
def test_resumed_run_ends_where_an_unbroken_one_does(small_run, tmp_path, monkeypatch, cut):
    """Cut within a pass over the eight people, between passes, between phases, and in the last."""
    config, data = small_run
    settings = yaml.safe_load(config.read_text())
    settings['phases'] = [
        {'size': 64, 'stages': 1, 'images': 23},  # the phase ends with the batch that reaches it
        {'size': 64, 'stages': 2, 'images': 12},
    ]
    config.write_text(yaml.safe_dump({**settings, 'validate_every': 4}))
    _, whole = weights.load(run(config, data, tmp_path / 'whole'), 'pose')

    def until_cut(people, settings, seen):
        for batch in batches(people, settings, seen):
            if seen == cut:
                raise KeyboardInterrupt
            yield batch
            seen += len(batch[0])

    with monkeypatch.context() as patch:
        patch.setattr(training, 'batches', until_cut)
        with pytest.raises(KeyboardInterrupt):
            run(config, data, tmp_path / 'broken')
    _, resumed = weights.load(run(config, data, tmp_path / 'broken', resume=True), 'pose')
    assert whole.keys() == resumed.keys()
    for key in whole:
        torch.testing.assert_close(resumed[key], whole[key], rtol=1e-3, atol=1e-4)


def test_a_pass_shows_everybody_once_wherever_it_was_cut(small_run):
    config, _ = small_run
    settings = replace(PoseConfig.load(config), phases=(Phase(64, 1, 16),))
    people = [person()] * 8
    whole = [batch[1] for batch in batches(people, settings, 0)]
    assert len(whole) == 4
    for done in (1, 2, 3):
        rest = [batch[1] for batch in batches(people, settings, 4 * done)]
        torch.testing.assert_close(torch.cat(rest), torch.cat(whole[done:]), equal_nan=True)


def test_a_run_that_was_killed_before_its_weights_were_written_can_be_resumed(
    small_run, tmp_path, monkeypatch
):
    config, data = small_run
    with monkeypatch.context() as patch:
        patch.setattr(training, 'publish', lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(config, data, tmp_path / 'out')
    header, _ = weights.load(run(config, data, tmp_path / 'out', resume=True), 'pose')
    assert header.training['images'] == 16


def test_a_run_is_resumed_by_its_own_config_alone(small_run, tmp_path):
    config, data = small_run
    run(config, data, tmp_path / 'out')
    settings = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**settings, 'validate_every': 4}))  # may change
    run(config, data, tmp_path / 'out', resume=True)
    config.write_text(yaml.safe_dump({**settings, 'ema': 0.5, 'limb_weight': 0.1}))
    with pytest.raises(UserError, match='trained with another ema, limb_weight: say the same'):
        run(config, data, tmp_path / 'out', resume=True)


def test_a_run_is_resumed_with_its_own_data_alone(small_run, tmp_path, monkeypatch):
    config, data = small_run
    first = weights.load(run(config, data, tmp_path / 'first'), 'pose')
    start, settings = tmp_path / 'start.safetensors', yaml.safe_load(config.read_text())
    weights.save(start, first[1], first[0])
    config.write_text(yaml.safe_dump({**settings, 'start_from': str(start)}))
    out = tmp_path / 'out'
    people = training.lspet_people(data, 'train')
    monkeypatch.setattr(training, 'believed', lambda *_: list(people))
    run(config, data, out)
    run(config, data, out, resume=True)
    with monkeypatch.context() as patch:
        patch.setattr(training, 'believed', lambda *_: people[:-1])
        with pytest.raises(UserError, match='trained with other people to learn from: bring'):
            run(config, data, out, resume=True)
    # Whose sides are doubted depends on the size at which they are asked about.
    settings = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(settings | {'check_size': 96}))
    with pytest.raises(UserError, match='trained with other labels doubted at: bring'):
        run(config, data, out, resume=True)
    config.write_text(yaml.safe_dump(settings))
    weights.save(start, {**first[1], 'more': torch.zeros(1)}, first[0])
    with pytest.raises(UserError, match='trained with other weights of start_from: bring'):
        run(config, data, out, resume=True)


def test_scores_are_calibrated_on_people_who_are_found(small_run, tmp_path, monkeypatch):
    config, data = small_run
    path = run(config, data, tmp_path / 'out')
    assert weights.load(path, 'pose')[0].calibration == {}  # nobody is found after 16 images
    given, state = weights.load(path, 'pose')
    rng = np.random.default_rng(0)
    score = rng.uniform(0.2, 0.9, (40, 14)).astype(np.float32)
    score[:, 3] = 0  # not found
    right = (rng.random(score.shape) < ScoreCalibration(2.0, 1.0)(score)).astype(np.float32)
    right[:, 5] = np.nan  # does not count
    answers = [Answer(person(), JOINTS, s, r, 0.1) for s, r in zip(score, right, strict=True)]
    asked = iter(answers)
    monkeypatch.setattr(training, 'ask', lambda estimator, who: next(asked))
    monkeypatch.setattr(training, 'create_estimator', lambda *_, **__: Estimator())
    calibrate(path, [person()] * 40, 64)
    header, after = weights.load(path, 'pose')
    assert header.calibration == fit_score(score, right).to_header()
    assert replace(header, calibration={}) == given
    torch.testing.assert_close(after, state)


def test_training_can_start_from_a_weights_file_of_another_number_of_stages(small_run, tmp_path):
    config, data = small_run
    first = run(config, data, tmp_path / 'first')
    _, state = weights.load(first, 'pose')
    for stages in (1, 2, 3):
        network = trained(str(first), stages)
        assert len(network.joint_stages) == stages
        for key, value in network.state_dict().items():
            if key in state:
                torch.testing.assert_close(value, state[key].to(value.dtype))
    settings = yaml.safe_load(config.read_text()) | {'start_from': str(first)}
    settings['learning_rate'] = 1e-30
    config.write_text(yaml.safe_dump(settings))
    _, after = weights.load(run(config, data, tmp_path / 'second'), 'pose')
    # No step can move the filters; the second stage is a new one beside the kept first.
    for key in ('backbone.layers.L5.0.weight', 'joint_stages.0.0.0.weight'):
        torch.testing.assert_close(after[key], state[key])


@pytest.mark.parametrize('stages', [1, 3])
def test_labels_that_the_first_weights_doubt_are_not_learnt(
    small_run, tmp_path, monkeypatch, stages
):
    """By the stages that have learnt, not by those that the training has."""
    config, data = small_run
    first = tmp_path / 'first.safetensors'
    weights.save(
        first, PoseNetwork(stages).state_dict(), weights.Header('pose', 'first', {'stages': stages})
    )
    settings = yaml.safe_load(config.read_text()) | {'start_from': str(first)}
    config.write_text(yaml.safe_dump(settings))
    asked, shown = [], []

    def doubt(people, network, device, size):
        asked.append((len(people), len(network.joint_stages), size))
        return people[:5], np.array([[True, False]] * 3 + [[False, False]] * 5)

    def watch(people, *rest):
        shown.append(len(people))
        return batches(people, *rest)

    monkeypatch.setattr(training, 'without_doubtful_sides', doubt)
    monkeypatch.setattr(training, 'batches', watch)
    run(config, data, tmp_path / 'second')
    assert asked == [(8, stages, 64)]
    assert set(shown) == {5}


def test_starting_from_weights_that_are_not_there_is_an_error(small_run, tmp_path):
    config, data = small_run
    settings = yaml.safe_load(config.read_text()) | {'start_from': str(tmp_path / 'none')}
    config.write_text(yaml.safe_dump(settings))
    with pytest.raises(UserError, match='none'):
        run(config, data, tmp_path / 'out')


def test_nothing_to_resume_is_an_error(small_run, tmp_path):
    config, data = small_run
    with pytest.raises(UserError, match='cannot resume'):
        run(config, data, tmp_path / 'none', resume=True)


def test_fewer_people_than_a_batch_holds_are_refused(small_run):
    config, _ = small_run
    with pytest.raises(UserError, match='3 people are fewer than a batch of 4'):
        next(batches([person()] * 3, PoseConfig.load(config), 0))


def test_the_published_config_is_that_of_the_weights():
    """All but the images that the weights had seen before."""
    root = Path(__file__).resolve().parents[2]
    config = PoseConfig.load(root / 'config' / 'train' / 'pose.yaml')
    told = weights.read_header(root / 'models' / 'pose.safetensors').training
    assert told.pop('images') > config.images
    told.pop('data')  # what it began with and learnt from
    assert told == json.loads(json.dumps(asdict(config)))
