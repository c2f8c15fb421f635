"""The published label: unknowns, hysteresis and dwell, on a scripted clock."""

from __future__ import annotations

import pytest

from action_recognition.errors import UserError
from action_recognition.recognition.labels import UNKNOWN, Answer, LabelConfig, LabelFilter

CONFIG = LabelConfig(enter=0.6, exit=0.3, dwell=0.2, unknown_below=0.25, min_joints=5, hold=0.3)


def scores(k: int, p: float) -> list[float]:
    """Probability p for class k of 4, the rest spread over the others."""
    rest = (1 - p) / 3
    return [p if i == k else rest for i in range(4)]


def play(frames: list[tuple[int, float]], config: LabelConfig = CONFIG) -> list[Answer]:
    """One frame every 100 ms: (most probable class, its probability)."""
    label_filter = LabelFilter(config)
    return [
        label_filter.update(scores(k, p), t * 100_000_000, 14) for t, (k, p) in enumerate(frames)
    ]


def brief(answers: list[Answer]) -> list[str]:
    """'c1' candidate of class 1, 'C1' confirmed, 'c-' unknown."""
    letter = {'confirmed': 'C', 'candidate': 'c'}
    return [letter[a.state] + str(a.class_id).replace('-1', '-') for a in answers]


@pytest.mark.parametrize(
    ('frames', 'expected'),
    [
        # confirmed once it was sure for 0.2 s
        ([(1, 0.9)] * 4, ['c1', 'c1', 'C1', 'C1']),
        # never sure enough
        ([(1, 0.5)] * 4, ['c1'] * 4),
        # a weak frame starts the dwell again
        ([(1, 0.9), (1, 0.5), (1, 0.9), (1, 0.9), (1, 0.9)], ['c1', 'c1', 'c1', 'c1', 'C1']),
        # a short guess of another class does not show
        ([(1, 0.9)] * 3 + [(2, 0.9)] + [(1, 0.9)] * 2, ['c1', 'c1', 'C1', 'C1', 'C1', 'C1']),
        # a lasting one takes over without a gap
        ([(1, 0.9)] * 3 + [(2, 0.9)] * 3, ['c1', 'c1', 'C1', 'C1', 'C1', 'C2']),
        # weak but above exit: kept; below for the dwell: lost
        ([(1, 0.9)] * 3 + [(1, 0.4)] * 3, ['c1', 'c1', 'C1', 'C1', 'C1', 'C1']),
        ([(1, 0.9)] * 3 + [(2, 0.5)] * 3, ['c1', 'c1', 'C1', 'C1', 'C1', 'c2']),
    ],
)
def test_states_over_time(frames, expected):
    assert brief(play(frames)) == expected


def test_began_is_when_the_label_was_first_the_guess():
    answers = play([(2, 0.9)] * 2 + [(1, 0.4)] + [(1, 0.9)] * 4)
    assert brief(answers)[-1] == 'C1'
    assert answers[-1].began == 200_000_000
    assert answers[-1].confidence == pytest.approx(0.9)


@pytest.mark.parametrize(('probability', 'class_id'), [(0.9, 1), (0.26, UNKNOWN)])
def test_the_first_guess_begins_with_the_first_frame(probability, class_id):
    config = LabelConfig(unknown_below=0.5)
    answer = LabelFilter(config).update(scores(1, probability), 10**18, 14)
    assert (answer.class_id, answer.began) == (class_id, 10**18)


def test_improbable_guesses_and_too_few_joints_are_unknown():
    config = LabelConfig(enter=0.6, exit=0.3, dwell=0.0, unknown_below=0.5, min_joints=5)
    label_filter = LabelFilter(config)
    answer = label_filter.update(scores(1, 0.4), 0, 14)
    assert (answer.class_id, answer.state) == (UNKNOWN, 'candidate')
    assert answer.confidence == pytest.approx(0.4)
    assert label_filter.update(scores(1, 0.9), 1, 4).class_id == UNKNOWN
    assert label_filter.update(scores(1, 0.9), 2, 5) == Answer(1, 0.9, 'confirmed', 2)


def test_a_label_outlives_its_joints_for_a_while():
    label_filter = LabelFilter(CONFIG)
    for t in range(3):
        label_filter.update(scores(1, 0.9), t * 100_000_000, 14)
    # Whatever is said of too few joints neither keeps the label nor speaks against it.
    said = [label_filter.update(scores(2, 0.9), t * 100_000_000, 2) for t in range(3, 7)]
    assert brief(said) == ['C1', 'C1', 'C1', 'c-']


def test_joints_that_come_back_in_time_keep_the_label():
    label_filter = LabelFilter(CONFIG)
    visible = [14, 14, 14, 2, 2, 14, 2, 2, 14]
    said = [label_filter.update(scores(1, 0.9), t * 100_000_000, n) for t, n in enumerate(visible)]
    assert brief(said)[2:] == ['C1'] * 7


def test_time_with_too_few_joints_does_not_speak_against_a_label():
    label_filter = LabelFilter(CONFIG)
    frames = [(1, 14)] * 3  # confirmed
    frames += [(2, 14), (2, 2), (2, 2), (2, 14), (2, 14)]  # 0.0, 0.1 and 0.2 s of weakness
    said = [
        label_filter.update(scores(k, 0.5 if k == 2 else 0.9), t * 100_000_000, n)
        for t, (k, n) in enumerate(frames)
    ]
    assert brief(said)[2:] == ['C1'] * 5 + ['c2']


def test_a_weak_label_is_lost_though_every_other_frame_shows_too_few_joints():
    label_filter = LabelFilter(CONFIG)
    for t in range(3):
        label_filter.update(scores(1, 0.9), t * 100_000_000, 14)
    visible = [14, 2] * 4
    said = [
        label_filter.update(scores(2, 0.5), t * 100_000_000, n)
        for t, n in enumerate(visible, start=3)
    ]
    assert brief(said) == ['C1', 'C1', 'C1', 'C1', 'c2', 'c-', 'c2', 'c-']


def test_without_dwell_a_single_frame_decides():
    config = LabelConfig(enter=0.9, exit=0.7, dwell=0.0, unknown_below=0.4)
    frames = [(1, 0.89), (1, 0.91), (1, 0.75), (1, 0.65), (2, 0.95), (1, 0.95)]
    assert brief(play(frames, config)) == ['c1', 'C1', 'C1', 'c1', 'C2', 'C1']


def test_background_is_unknown_and_never_confirmed():
    label_filter = LabelFilter(CONFIG, none=2)
    answers = [label_filter.update(scores(2, 0.9), t * 100_000_000, 14) for t in range(6)]
    assert brief(answers) == ['c-'] * 6
    assert answers[-1].confidence == pytest.approx(0.9)  # of the background
    assert answers[-1].began == 0


def test_a_label_ends_in_the_background_and_may_begin_again():
    label_filter = LabelFilter(CONFIG, none=2)
    frames = [1, 1, 1, 2, 2, 2, 1, 1, 1]
    answers = [
        label_filter.update(scores(k, 0.9), t * 100_000_000, 14) for t, k in enumerate(frames)
    ]
    assert brief(answers) == ['c1', 'c1', 'C1', 'C1', 'C1', 'c-', 'c1', 'c1', 'C1']
    assert answers[-1].began == 600_000_000


def test_a_moment_of_background_does_not_show():
    label_filter = LabelFilter(CONFIG, none=2)
    frames = [1, 1, 1, 2, 1, 2, 1]
    answers = [
        label_filter.update(scores(k, 0.9), t * 100_000_000, 14) for t, k in enumerate(frames)
    ]
    assert brief(answers)[2:] == ['C1'] * 5


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'enter': 1.2}, 'enter must lie in'),
        ({'enter': 0.4, 'exit': 0.5}, 'must not be above enter'),
        ({'dwell': -1}, 'dwell must not be negative'),
        ({'hold': -1}, 'hold must not be negative'),
        ({'min_joints': 15}, 'min_joints'),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        LabelConfig(**wrong)
