"""The stages without ROS: repeated stamps, clock jumps, faults, and parameters by their names."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from action_recognition.errors import UserError
from action_recognition.pose.gaze import LookConfig
from action_recognition.recognition.labels import ActionEstimate, LabelConfig
from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.stages.order import LATE, MOST_LATE, LateInput, Order
from action_recognition.stages.perception import Perception, PerceptionConfig
from action_recognition.stages.recognition import Recognition, RecognizerConfig

MS = 1_000_000


class Brightness:
    """One person at the place that the brightness of the image says."""

    name, device, runtime = 'brightness', 'cpu', 'none'

    def estimate(self, image, stamp=0):
        xy = float(image.mean()) + np.stack([np.arange(NUM_JOINTS) * 2.0] * 2, -1)
        score = np.full((1, NUM_JOINTS), 0.9)
        return Poses(xy[None], score, stamp=stamp, image_size=image.shape[1::-1])

    def close(self):
        pass


class Counter:
    """Says how many images it was asked about."""

    labels, device = ('run', 'wave'), 'cpu'

    def __init__(self):
        self.asked = 0

    def update(self, poses):
        self.asked += 1
        scores = np.array([0, 1], np.float32)
        return [ActionEstimate(1, 1, 'wave', 1.0, 'confirmed', self.asked, scores)]

    def configure(self, config, forget_after):
        pass

    def reset(self):
        self.asked = 0

    def close(self):
        pass


def image(grey):
    return lambda: np.full((48, 64, 3), grey, np.uint8)


def refuse():
    raise UserError('a damaged image')


def test_an_image_of_the_same_stamp_is_not_read_again():
    stage = Perception(Brightness(), LookConfig('full'))
    first = stage.process(5, image(10))
    again = [stage.process(5, refuse) for _ in range(3)]
    assert first.repeats == 0
    assert first.image.mean() == 10
    assert (first.full, first.crops) == (True, 0)
    assert [sight.repeats for sight in again] == [1, 2, 3]
    assert all(sight.poses is first.poses and sight.image is None for sight in again)
    assert stage.process(6, image(10)).repeats == 0


def test_a_damaged_image_leaves_everything_as_it_was():
    one, other = (Perception(Brightness(), LookConfig('full')) for _ in range(2))
    for stage in (one, other):
        stage.process(0, image(10))
    with pytest.raises(UserError, match='damaged'):
        one.process(40 * MS, refuse)
    assert one.process(0, refuse).repeats == 1
    a, b = (stage.process(80 * MS, image(12)).poses for stage in (one, other))
    np.testing.assert_array_equal(a.xy, b.xy)
    np.testing.assert_array_equal(a.track_id, b.track_id)


def test_a_clock_jump_begins_new_identities():
    stage = Perception(Brightness(), LookConfig('full'))
    ids = [stage.process(ms * MS, image(10)).poses.track_id.tolist() for ms in (1000, 1040, 0)]
    assert ids == [[1], [1], [2]]


def test_images_and_people_that_were_overtaken_change_nothing():
    one, other = (Perception(Brightness(), LookConfig('full')) for _ in range(2))
    for ms in (0, 80):
        one.process(ms * MS, image(10 + ms))
        other.process(ms * MS, image(10 + ms))
    with pytest.raises(LateInput, match=r'0\.040 s before the last one'):
        one.process(40 * MS, refuse)
    a, b = (stage.process(120 * MS, image(100)).poses for stage in (one, other))
    np.testing.assert_array_equal(a.track_id, b.track_id)
    stage = Recognition(Counter())
    stage.process(Poses.empty(80 * MS))
    with pytest.raises(LateInput):
        stage.process(Poses.empty(40 * MS))
    assert stage.process(Poses.empty(120 * MS)).estimates[0].began == 2


def test_late_or_a_jump_of_the_clock():
    order = Order()
    order.check(10 * LATE, 9 * LATE)  # in order
    order.check(9 * LATE - 1, 10 * LATE)  # too far back to be late
    for _ in range(2):
        for _ in range(MOST_LATE):
            with pytest.raises(LateInput):
                order.check(10 * LATE - 1, 10 * LATE)
        order.check(10 * LATE - 1, 10 * LATE)  # a clock that was set back a little


def test_turns_are_timed():
    turns = []

    @contextmanager
    def timed(stage):
        yield
        turns.append(stage)

    Perception(Brightness(), LookConfig('full'), timed=timed).process(0, image(1))
    Recognition(Counter(), timed).process(Poses.empty(0))
    assert turns == ['convert', 'pose', 'track', 'recognize']


def test_the_people_of_the_same_stamp_get_the_same_answer():
    stage = Recognition(Counter())
    first, again, later, back = (
        stage.process(Poses.empty(1000 * stamp * MS)) for stamp in (5, 5, 6, 4)
    )
    assert (first.repeated, first.reset) == (False, False)
    assert again.repeated
    assert again.estimates is first.estimates
    assert later.estimates[0].began == 2
    assert (back.repeated, back.reset) == (False, True)


def test_ids_that_begin_anew_change_nothing_in_what_is_late_or_known():
    recognizer = Counter()
    stage = Recognition(recognizer)
    assert not stage.process(Poses.empty(1000 * MS), anew=True).reset
    stage.process(Poses.empty(1040 * MS))
    assert stage.process(Poses.empty(1040 * MS), anew=True).repeated
    with pytest.raises(LateInput):
        stage.process(Poses.empty(1000 * MS), anew=True)
    assert recognizer.asked == 2
    assert stage.process(Poses.empty(1080 * MS), anew=True).reset
    assert recognizer.asked == 1


class Echo(Counter):
    """Everybody waves; who is not in an image has ended."""

    def __init__(self):
        super().__init__()
        self.here = set()

    def update(self, poses):
        ids = set(poses.track_id.tolist())
        gone, self.here = self.here - ids, ids
        scores = np.array([0, 1], np.float32)
        return [
            ActionEstimate(i, 1, 'wave', 1.0, state, poses.stamp, scores)
            for state, group in (('ended', gone), ('confirmed', ids))
            for i in sorted(group)
        ]

    def reset(self):
        self.here = set()


def people(ms, *ids):
    shape = (len(ids), NUM_JOINTS)
    return Poses(np.ones((*shape, 2)), np.ones(shape), np.array(ids, np.int64), stamp=ms * MS)


def said(verdict):
    return [(e.track_id, e.state) for e in verdict.estimates]


def test_where_ids_begin_anew_everybody_who_was_known_has_ended_once():
    stage = Recognition(Echo())
    assert said(stage.process(people(1000, 1, 2, 3), anew=True)) == [
        (i, 'confirmed') for i in (1, 2, 3)
    ]
    assert (2, 'ended') in said(stage.process(people(1040, 1, 3)))
    anew = stage.process(people(1080, 1), anew=True)
    assert said(anew) == [(1, 'ended'), (3, 'ended'), (1, 'confirmed')]
    assert said(stage.process(people(1080, 1))) == said(anew)
    assert said(stage.process(people(1120, 1))) == [(1, 'confirmed')]
    back = stage.process(people(0, 1), anew=True)  # the stamps say it
    assert (said(back), back.reset) == ([(1, 'confirmed')], True)


def test_labels_are_computed_by_one_thread_wherever_the_stage_runs():
    class Threads(Counter):
        def update(self, poses):
            self.threads = torch.get_num_threads()
            return []

    recognizer, threads = Threads(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        Recognition(recognizer).process(Poses.empty(0))
        assert (recognizer.threads, torch.get_num_threads()) == (1, 2)
    finally:
        torch.set_num_threads(threads)


def test_parameters_reach_the_part_they_are_named_for():
    config = PerceptionConfig.from_parameters(
        {
            'model': 'other',
            'input_size': 128,
            'decoder.max_people': 3,
            'look.mode': 'full',
            'tracker.max_lost': 2.5,
            'image_transport': 'raw',
        }
    )
    assert (config.model, config.device) == ('other', 'auto')
    assert (config.estimator.input_size, config.estimator.decoder.max_people) == (128, 3)
    assert (config.look.mode, config.tracker.max_lost) == ('full', 2.5)
    assert config.tracker.confirmations == PerceptionConfig().tracker.confirmations
    recognizer = RecognizerConfig.from_parameters({'labels.enter': 0.9, 'forget_after': 3.0})
    assert recognizer == RecognizerConfig(labels=LabelConfig(enter=0.9), forget_after=3.0)


@pytest.mark.parametrize(
    ('kind', 'values', 'complaint'),
    [
        (PerceptionConfig, {'tracker.low_score': 0.9}, r'tracker\.\*: scores must satisfy'),
        (PerceptionConfig, {'look.crop_size': 100}, 'multiple of 8'),
        (RecognizerConfig, {'labels.exit': 0.9, 'labels.enter': 0.1}, 'must not be above enter'),
        (RecognizerConfig, {'labels.enter': 'high'}, r'labels\.\*'),
    ],
)
def test_values_that_do_not_fit(kind, values, complaint):
    with pytest.raises(UserError, match=complaint):
        kind.from_parameters(values)
