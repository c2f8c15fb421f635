"""From action labels to events: rules with a dwell and a cooldown. No ROS in here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from action_recognition.errors import UserError
from action_recognition.limits import read_text
from action_recognition.recognition.labels import ActionEstimate


@dataclass(frozen=True)
class Rule:
    """When to say what.

    Attributes:
        name: of the rule, for messages about it.
        label: the action that must be confirmed.
        event: text of its events; `{person}`, `{label}` and `{confidence}` are filled in.
        min_confidence: least confidence, in [0, 1].
        dwell: seconds for which the person must have done it without a break.
        cooldown: least seconds between two events of this rule about the same person. An action
            that goes on causes the next event when they are over; who is gone has none.

    Raises:
        UserError: a value is out of range or of another type, or the event cannot be filled in.
    """

    name: str
    label: str
    event: str
    min_confidence: float = 0.5
    dwell: float = 0.0
    cooldown: float = 5.0

    def __post_init__(self) -> None:
        for key in ('name', 'label', 'event'):
            value = getattr(self, key)
            if not isinstance(value, str) or not value:
                raise UserError(f'{self._who}: {key} must be a text, not {value!r}')
        for key in ('min_confidence', 'dwell', 'cooldown'):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise UserError(f'{self._who}: {key} must be a number from 0 up, not {value!r}')
        if self.min_confidence > 1:
            raise UserError(f'{self._who}: min_confidence must lie in [0, 1]')
        try:
            self.text(ActionEstimate(1, 0, self.label, 0.5, 'confirmed', 0, None))  # type: ignore[arg-type]
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise UserError(
                f'{self._who}: event {self.event!r} may only use '
                '{person}, {label} and {confidence}'
            ) from error

    @property
    def _who(self) -> str:
        return f'behaviour rule {self.name!r}'

    def text(self, action: ActionEstimate) -> str:
        """The event about this action."""
        return self.event.format(
            person=action.track_id, label=action.label, confidence=f'{action.confidence:.2f}'
        )

    def holds(self, action: ActionEstimate) -> bool:
        """Whether the action is what the rule waits for, leaving time aside."""
        return (
            action.state == 'confirmed'
            and action.label == self.label
            and action.confidence >= self.min_confidence
        )


def load_rules(path: Path) -> list[Rule]:
    """The rules of a YAML file, a mapping `rules` from the name of each rule to its fields.

    Raises:
        UserError: the file is missing, is not YAML, or a rule is not as `Rule` wants it.
    """
    try:
        raw = yaml.safe_load(read_text(path))
    except OSError as error:
        raise UserError(f'cannot read the behaviour rules {path}: {error.strerror}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = ' '.join(str(error).split())
        raise UserError(f'the behaviour rules {path} are not YAML: {reason[:200]}') from error
    if not isinstance(raw, dict) or not isinstance(raw.get('rules'), dict) or not raw['rules']:
        raise UserError(f"{path} must hold a mapping 'rules' from names to behaviour rules")
    return [_rule(str(name), values) for name, values in raw['rules'].items()]


def _rule(name: str, values: Any) -> Rule:
    keys = [field.name for field in fields(Rule) if field.name != 'name']
    if not isinstance(values, dict):
        raise UserError(f'behaviour rule {name!r} must be a mapping with {", ".join(keys)}')
    if unknown := [str(key) for key in values if key not in keys]:
        raise UserError(
            f'behaviour rule {name!r} has the unknown field {unknown[0]!r}; '
            f'there are {", ".join(keys)}'
        )
    if missing := [key for key in ('label', 'event') if key not in values]:
        raise UserError(f'behaviour rule {name!r} has no {missing[0]}')
    return Rule(name, **values)


def unknown_labels(rules: Iterable[Rule], known: Sequence[str]) -> list[str]:
    """A line for each rule whose label the recogniser cannot answer."""
    return [
        f'behaviour rule {rule.name!r} waits for the label {rule.label!r}, which the recogniser '
        f'does not know; it knows {", ".join(known)}'
        for rule in rules
        if rule.label not in known
    ]


class Event(NamedTuple):
    """What a rule says of a person.

    Attributes:
        rule: that speaks.
        action: the label that made it do so.
        text: of the rule about this action.
    """

    rule: Rule
    action: ActionEstimate
    text: str


@dataclass
class _Watch:
    """One rule on one person; times are stamps in ns."""

    since: int | None = None
    fired: int | None = None


class RuleEngine:
    """Applies rules to the labels of successive images; all time is that of the stamps."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._watches: dict[tuple[str, int], _Watch] = {}
        self._stamp: int | None = None

    def update(self, actions: Sequence[ActionEstimate], stamp: int) -> list[Event]:
        """Events that the labels of one image cause, in the order of the rules.

        Args:
            actions: labels of everybody in the image, after those that ended: their ids may be
                those of others by now.
            stamp: of the image, ns. A stamp before the last one resets the engine.
        """
        if self._stamp is not None and stamp < self._stamp:
            self.reset()
        self._stamp = stamp
        gone = {action.track_id for action in actions if action.state == 'ended'}
        self._watches = {key: w for key, w in self._watches.items() if key[1] not in gone}
        events: list[Event] = []
        for rule in self.rules:
            held = {action.track_id: action for action in actions if rule.holds(action)}
            for person, action in held.items():
                watch = self._watches.setdefault((rule.name, person), _Watch())
                if watch.since is None:
                    watch.since = stamp
                rested = watch.fired is None or stamp - watch.fired >= rule.cooldown * 1e9
                if rested and stamp - watch.since >= rule.dwell * 1e9:
                    watch.fired = stamp
                    events.append(Event(rule, action, rule.text(action)))
            self._pause(rule, held.keys(), stamp)
        return events

    def _pause(self, rule: Rule, held: Iterable[int], stamp: int) -> None:
        """End the dwell of those who stopped; forget those whose cooldown is over too."""
        kept = set(held)
        for key, watch in list(self._watches.items()):
            if key[0] != rule.name or key[1] in kept:
                continue
            watch.since = None
            if watch.fired is None or stamp - watch.fired >= rule.cooldown * 1e9:
                del self._watches[key]
