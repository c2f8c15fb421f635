"""Growing, augmentation, and a training run that is stopped and resumed."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from action_recognition import weights
from action_recognition.datasets.people import Person
from action_recognition.errors import UserError
from action_recognition.evaluation.pose import Answer
from action_recognition.pose.calibration import ScoreCalibration
from action_recognition.pose.heads import PoseNetwork
from action_recognition.skeleton import FLIP
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
from action_recognition.training.pose_config import ENTRIES, Phase, PoseConfig
from action_recognition.training.pose_data import AMOUNTS, Augmentation, PoseDataset, paste

#: Dots of one colour per joint on black: where a joint is can be read off the image.
COLOURS = [(0, 0, 40 + 16 * j) if j in (2, 5) else (40 + 16 * j, 0, 0) for j in range(14)]
JOINTS = np.array([(60 + 30 * (j % 4), 40 + 40 * (j // 4)) for j in range(14)], np.float32)


def person(blank=False):
    image = np.zeros((240, 220, 3), np.uint8)
    if not blank:
        for xy, colour in zip(JOINTS, COLOURS, strict=True):
            cv2.circle(image, [int(v) for v in xy], 9, colour, cv2.FILLED)
    return Person(cv2.imencode('.png', image)[1].tobytes(), JOINTS)


def geometry_only():
    return Augmentation(
        size_range=(0.5, 0.7), rotation=30, composite=0, occluder=0, degrade=0, upside_down=0.3
    )


def test_joints_move_with_the_image(monkeypatch):
    monkeypatch.setattr('action_recognition.training.pose_data.degrade', lambda image, *_: image)
    dataset = PoseDataset([person()] * 20, 192, geometry_only(), seed=5)
    checked = 0
    for i in range(len(dataset)):
        image, xy, labelled = dataset[i]
        assert labelled.tolist() == [True, False]
        seen = np.flatnonzero(np.isfinite(xy[0]).all(-1))
        x, y = np.clip(np.round(xy[0, seen]).astype(int), 0, 191).T
        found = image[y, x].astype(int)
        # A mirrored image shows the dot of the right wrist where the left wrist is labelled.
        ways = [np.array(COLOURS)[seen], np.array(COLOURS)[list(FLIP)][seen]]
        assert min(np.abs(found - colours).max() for colours in ways) < 30
        checked += len(seen)
    assert checked > 150


def test_same_seed_gives_the_same_item_and_another_seed_another():
    people = [person()] * 4
    one, same, other = (PoseDataset(people, 64, Augmentation(), seed) for seed in (1, 1, 2))
    for a, b in zip(one[2], same[2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[2][0], other[2][0])


def test_pasted_person_hides_what_is_under_it():
    rng = np.random.default_rng(0)
    under, over = np.full((100, 100, 3), 10, np.uint8), np.full((100, 100, 3), 200, np.uint8)
    under_xy = np.stack([np.linspace(5, 95, 14), np.full(14, 50)], 1).astype(np.float32)
    over_xy = np.stack([np.full(14, 50), np.linspace(20, 80, 14)], 1).astype(np.float32)
    image, (left, moved) = paste(under, under_xy, over, over_xy, rng)
    for x, y in left[np.isfinite(left[:, 0])]:
        assert (image[int(y), int(x)] == 10).all()
    hidden = under_xy[np.isnan(left[:, 0])]
    assert len(hidden) > 0
    for x, y in hidden:
        assert (image[int(y), int(x)] == 200).all()
    for x, y in moved[np.isfinite(moved[:, 0])]:
        assert (image[int(y), int(x)] == 200).all()


def beside_a_wall(missing=0):
    """A bright person on the left of a dark wall; the last joints perhaps unlabelled."""
    image = np.full((120, 300, 3), 40, np.uint8)
    image[:, :130] = 220
    xy = np.stack([np.linspace(15, 100, 14), np.linspace(10, 110, 14)], 1).astype(np.float32)
    xy[14 - missing :] = np.nan
    return Person(cv2.imencode('.png', image)[1].tobytes(), xy)


def test_empty_images_have_no_labels(monkeypatch):
    monkeypatch.setattr('action_recognition.training.pose_data.degrade', lambda image, *_: image)
    people = [beside_a_wall(), beside_a_wall(missing=2)]
    always = PoseDataset(people, 64, replace(Augmentation(), empty=1.0), seed=1)
    image, xy, labelled = always[0]
    assert not labelled.any()
    assert np.isnan(xy).all()
    assert image.shape == (64, 64, 3)
    assert (image == 40).any()
    assert always[1][2][0]  # nothing to be seen beside: the person
    never = PoseDataset(people, 64, Augmentation(), seed=1)
    assert never[0][2][0]


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
        'people to learn from': 8,
    }
    # A run that has ended can be published once more from its checkpoint.
    trainer, _ = Trainer.resume(PoseConfig.load(config), torch.device('cpu'), out)
    again = publish(trainer, tmp_path, [person()])
    assert weights.read_header(again).training == told
    for key, value in weights.load(again, 'pose')[1].items():
        torch.testing.assert_close(value, weights.load(second, 'pose')[1][key])


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


@pytest.mark.parametrize(
    'text',
    [
        *('[1, 2', '', '[1, 2]', '\0', 'name: x', 'name: x\nphases: []\ncolour: 1'),
        *('name: x\nphases: [{size: 1}]', 'name: x\nphases: 3'),
    ],
)
def test_bad_config_is_one_clear_error(tmp_path, text):
    path = tmp_path / 'bad.yaml'
    path.write_text(text)
    with pytest.raises(UserError, match=r'cannot use training config .*bad\.yaml'):
        PoseConfig.load(path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'phases': ()}, 'at least one phase'),
        ({'phases': (Phase(100, 1, 8),)}, 'multiples of 8, not 100'),
        ({'check_size': 0}, 'check_size must be a whole number from 32 to 1024, not 0'),
        ({'phases': (Phase(64, 1, 8), Phase(64, 9, 8))}, r'phases\[1\]\.stages must be .* 1 to 6'),
        ({'phases': (Phase(64, 1, 0),)}, r'phases\[0\]\.images must be a whole number from 1 on'),
        ({'phases': (Phase('64', 1, 8),)}, r'phases\[0\]\.size must be a whole number'),
        ({'phases': (Phase(64, 1, 8, (0.9, 0.3)),)}, r'phases\[0\]\.size_range must not begin'),
        ({'batch': 0}, 'batch must be a whole number from 1 on, not 0'),
        ({'workers': -1}, 'workers must be a whole number from 0 to 1024, not -1'),
        ({'seed': -1}, 'seed must be a whole number from 0 to'),
        ({'learning_rate': '6e-3'}, "learning_rate must be a number above 0, not the text '6e-3'"),
        ({'weight_decay': -1e-4}, 'weight_decay must be a number from 0 on'),
        ({'warm_up': 1}, 'warm_up must be a number from 0 to below 1, not 1'),
        ({'start_from': None}, 'start_from must be a name or a file, not None'),
        ({'name': 'a/b'}, 'must be a plain file name'),
        ({'joint_weights': {'wirst': 2.0, 'knee': 1.0}}, 'names no joint: wirst'),
        ({'joint_weights': {'knee': '2'}}, r'joint_weights\.knee must be a number from 0 on'),
    ],
)
def test_values_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        PoseConfig(**{'name': 'x', 'phases': (Phase(64, 1, 8),), **changes})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'rotation': -1}, r'augmentation\.rotation must be a number from 0 to 180, not -1'),
        ({'degrade': 1.5}, r'augmentation\.degrade must be a number from 0 to 1'),
        ({'size_range': [0.5]}, r'augmentation\.size_range must be two numbers'),
        ({'size_range': [0, 1]}, r'augmentation\.size_range\[0\] must be a number above 0'),
        ({'size_range': [0.9, 0.4]}, r'must not begin \(0\.9\) above its end \(0\.4\)'),
    ],
)
def test_an_augmentation_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        Augmentation(**changes)


def test_every_number_of_a_config_has_a_range():
    """And one that the default lies in: a config of defaults can be made."""
    settings = PoseConfig('x', (Phase(64, 1, 8),))
    numbers = {k for k, v in vars(settings).items() if isinstance(v, (bool, int, float))}
    assert numbers == ENTRIES.keys()
    assert {*vars(settings.augmentation)} == {*AMOUNTS, 'size_range'}


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
