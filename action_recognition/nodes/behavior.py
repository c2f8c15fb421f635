"""Behavior: action labels in, events of a YAML file of rules out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from std_msgs.msg import Header

from action_recognition.behavior_rules import Event, RuleEngine, load_rules, unknown_labels
from action_recognition.errors import UserError
from action_recognition.msg import ActionLabelArray, BehaviorEvent, LabelInfo
from action_recognition.nodes.common import StageNode, run
from action_recognition.nodes.convert import msg_to_estimates, stamp_to_ns
from action_recognition.nodes.qos import latched_qos, result_qos
from action_recognition.nodes.settings import Setting


class BehaviorNode(StageNode):
    """Subscribes `actions` and the latched `labels`, publishes `events`."""

    NAME = 'behavior'
    SETTINGS = (Setting('rules', '', 'YAML file of rules; see config/behaviors.yaml.'),)

    def configure(self) -> None:
        self._events = self.advertise(BehaviorEvent, 'events', result_qos())

    def start(self) -> None:
        path = self.value('rules')
        if not path:
            raise UserError(
                'behavior: parameter rules is empty: give a YAML file such as config/behaviors.yaml'
            )
        self._engine = RuleEngine(load_rules(Path(path).expanduser()))
        self.health.expects_input = True
        self.health.fact('rules', str(len(self._engine.rules)))
        self.subscribe(LabelInfo, 'labels', self._on_labels, latched_qos())
        self.subscribe(ActionLabelArray, 'actions', self._on_actions, result_qos())

    def _on_labels(self, message: LabelInfo) -> None:
        """Rules that can never fire are an error; the others go on."""
        known = [entry.class_name for entry in message.class_map]
        faults = unknown_labels(self._engine.rules, known)
        for fault in faults:
            self.get_logger().error(fault)
        self.health.failed('; '.join(faults))

    def _on_actions(self, message: ActionLabelArray) -> None:
        self.health.received()
        with self.health.frame(stamp_to_ns(message.header.stamp), 'actions'):
            if self.attempt(partial(self._apply_rules, message)):
                self.health.count('processed')

    def _apply_rules(self, message: ActionLabelArray) -> None:
        estimates = msg_to_estimates(message)
        for event in self._engine.update(estimates, stamp_to_ns(message.header.stamp)):
            self.health.count('events')
            self._events.publish(event_to_msg(event, message.header))


def event_to_msg(event: Event, header: Header) -> BehaviorEvent:
    """An event under the header of the image that decided."""
    return BehaviorEvent(
        header=header,
        rule=event.rule.name,
        track_id=event.action.track_id,
        label=event.action.label,
        confidence=event.action.confidence,
        text=event.text,
    )


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(lambda: [BehaviorNode()], args)


if __name__ == '__main__':
    sys.exit(main())
