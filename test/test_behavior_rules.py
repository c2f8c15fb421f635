"""Behaviour rules: scenarios on a simulated clock, and files that are wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from action_recognition.behavior_rules import Rule, RuleEngine, load_rules, unknown_labels
from action_recognition.errors import UserError
from action_recognition.recognition.labels import ActionEstimate

MS = 1_000_000


def action(label='wave', person=1, confidence=0.9, state='confirmed'):
    return ActionEstimate(person, 0, label, confidence, state, 0, np.empty(0, np.float32))


@dataclass(frozen=True)
class Scenario:
    """Labels by time in ms, and the times at which the rule speaks."""

    name: str
    rule: Rule
    seen: dict[int, list[ActionEstimate]]
    events: list[tuple[int, str]]


GREET = Rule('greet', 'wave', 'hi {person}', min_confidence=0.5, dwell=0.2, cooldown=1.0)
AT_ONCE = Rule('greet', 'wave', 'hi {person}', dwell=0, cooldown=0)

SCENARIOS = [
    Scenario(
        'after the dwell, once',
        GREET,
        {t: [action()] for t in range(0, 1000, 100)},
        [(200, 'hi 1')],
    ),
    Scenario(
        'again after the cooldown',
        GREET,
        {t: [action()] for t in range(0, 2500, 100)},
        [(200, 'hi 1'), (1200, 'hi 1'), (2200, 'hi 1')],
    ),
    Scenario(
        'a break begins the dwell anew',
        GREET,
        {0: [action()], 100: [], 200: [action()], 300: [action('run')], 400: [action()]},
        [],
    ),
    Scenario(
        'the cooldown outlives a break',
        GREET,
        {
            0: [action()],
            200: [action()],
            300: [],
            600: [action()],
            900: [action()],
            1200: [action()],
        },
        [(200, 'hi 1'), (1200, 'hi 1')],
    ),
    Scenario('not sure enough', GREET, {t: [action(confidence=0.49)] for t in (0, 300)}, []),
    Scenario(
        'just sure enough', GREET, {t: [action(confidence=0.5)] for t in (0, 300)}, [(300, 'hi 1')]
    ),
    Scenario(
        'only confirmed labels', GREET, {t: [action(state='candidate')] for t in (0, 300)}, []
    ),
    Scenario('nor ended ones', AT_ONCE, {0: [action(state='ended')]}, []),
    Scenario(
        'who is gone may be somebody else by now',
        GREET,
        {
            0: [action()],
            200: [action()],
            400: [action(state='ended'), action()],
            500: [action()],
            600: [action()],
        },
        [(200, 'hi 1'), (600, 'hi 1')],
    ),
    Scenario(
        'everybody on their own',
        GREET,
        {
            0: [action(person=1)],
            200: [action(person=2), action(person=1)],
            400: [action(person=2), action(person=1)],
        },
        [(200, 'hi 1'), (400, 'hi 2')],
    ),
    Scenario(
        'at once, each time', AT_ONCE, {0: [action()], 40: [action()]}, [(0, 'hi 1'), (40, 'hi 1')]
    ),
    Scenario(
        'a clock jump forgets',
        GREET,
        {5000: [action()], 5200: [action()], 0: [action()], 200: [action()]},
        [(5200, 'hi 1'), (200, 'hi 1')],
    ),
]


@pytest.mark.parametrize('scenario', SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario):
    engine = RuleEngine([scenario.rule])
    events = [
        (ms, event.text)
        for ms, actions in scenario.seen.items()
        for event in engine.update(actions, ms * MS)
    ]
    assert events == scenario.events


def test_rules_speak_in_their_order():
    rules = [Rule('a', 'wave', 'first'), Rule('b', 'run', 'never'), Rule('c', 'wave', 'second')]
    waving = action(person=7)
    events = RuleEngine(rules).update([action('sit'), waving], 0)
    assert events == [(rules[0], waving, 'first'), (rules[2], waving, 'second')]


def test_those_who_left_are_forgotten():
    engine = RuleEngine([GREET])
    for person in range(100):
        engine.update([action(person=person)], person * 2000 * MS)
    assert len(engine._watches) == 1


def test_event_text():
    rule = Rule('r', 'wave', '{label} by {person} ({confidence})')
    assert rule.text(action(confidence=0.876)) == 'wave by 1 (0.88)'


def test_load(tmp_path):
    path = tmp_path / 'rules.yaml'
    path.write_text('rules:\n  greet: {label: wave, event: hi, dwell: 1, cooldown: 2.5}\n')
    assert load_rules(path) == [Rule('greet', 'wave', 'hi', 0.5, 1, 2.5)]


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', "mapping 'rules'"),
        ('rules: []', "mapping 'rules'"),
        ('rules: {}', "mapping 'rules'"),
        ('rules: {a: wave}', "'a' must be a mapping"),
        ('rules: {a: {label: wave}}', "'a' has no event"),
        ('rules: {a: {event: hi}}', "'a' has no label"),
        ('rules: {a: {label: wave, event: hi, cool: 3}}', "unknown field 'cool'"),
        ('rules: {a: {label: 3, event: hi}}', 'label must be a text'),
        ("rules: {a: {label: wave, event: ''}}", 'event must be a text'),
        ('rules: {a: {label: wave, event: hi, dwell: -1}}', 'dwell must be a number from 0 up'),
        ('rules: {a: {label: wave, event: hi, dwell: long}}', 'dwell must be a number'),
        ('rules: {a: {label: wave, event: hi, dwell: true}}', 'dwell must be a number'),
        ('rules: {a: {label: wave, event: hi, cooldown: .nan}}', 'cooldown must be a number'),
        ('rules: {a: {label: wave, event: hi, min_confidence: 2}}', r'in \[0, 1\]'),
        ("rules: {a: {label: wave, event: 'hi {name}'}}", 'may only use'),
        ("rules: {a: {label: wave, event: 'hi {'}}", 'may only use'),
        ('rules: {a: [', 'not YAML'),
    ],
)
def test_bad_files(tmp_path, text, reason):
    path = tmp_path / 'rules.yaml'
    path.write_text(text)
    with pytest.raises(UserError, match=reason) as error:
        load_rules(path)
    assert '\n' not in str(error.value)


def test_missing_and_binary_file(tmp_path):
    with pytest.raises(UserError, match='No such file'):
        load_rules(tmp_path / 'none.yaml')
    (tmp_path / 'rules.yaml').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(UserError, match='not YAML'):
        load_rules(tmp_path / 'rules.yaml')


def test_unknown_labels():
    (line,) = unknown_labels([GREET, Rule('dance', 'tango', 'olé')], ['run', 'wave'])
    assert line == (
        "behaviour rule 'dance' waits for the label 'tango', which the recogniser does not know; "
        'it knows run, wave'
    )
