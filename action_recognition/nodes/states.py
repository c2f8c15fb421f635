"""Asks the nodes of a running graph, ours or others, whether they are active."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.node import Node

SERVICE, KIND = 'get_state', 'lifecycle_msgs/srv/GetState'
ACTIVE = 'active'
#: Of a node that is there and says nothing: one that loads a model answers after that.
SILENT = 'busy'
#: Of a node that is not there, or has no life cycle.
ABSENT = 'absent'
#: Seconds for an answer.
TIMEOUT = 1.0


class States:
    """The states of lifecycle nodes, by their full names.

    Args:
        node: the one that asks; it is left out everywhere.
        spin: called with a number of seconds, to let `node` work for no longer than that.
    """

    def __init__(self, node: Node, spin: Callable[[float], None]) -> None:
        self._node, self._spin = node, spin
        self._clients: dict[str, Client] = {}

    def publishers(self, topics: Iterable[str]) -> set[str]:
        """The other nodes that publish on one of these topics."""
        infos = [
            info
            for topic in topics
            for info in self._node.get_publishers_info_by_topic(
                self._node.resolve_topic_name(topic)
            )
        ]
        return {_full(info.node_name, info.node_namespace) for info in infos} - {self._me}

    def idle(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """The state of each of these nodes (None: of all there are) that is not active.

        Nodes without a life cycle are always active.
        """
        managed = self._managed()
        asked = managed - {self._me} if names is None else managed & {*names}
        states = {name: self._state(name) for name in sorted(asked)}
        return {name: state for name, state in states.items() if state != ACTIVE}

    def inactive(self, names: Iterable[str]) -> dict[str, str]:
        """The state of each of these nodes that is not active: `ABSENT` where none is there."""
        wanted = {*names}
        return {**dict.fromkeys(sorted(wanted - self._managed()), ABSENT), **self.idle(wanted)}

    def _managed(self) -> set[str]:
        """The names of all nodes that have a life cycle."""
        return {
            service.rpartition('/')[0]
            for service, kinds in self._node.get_service_names_and_types()
            if service.endswith(f'/{SERVICE}') and KIND in kinds
        }

    @property
    def _me(self) -> str:
        return self._node.get_fully_qualified_name()

    def _state(self, name: str) -> str:
        client = self._clients.get(name)
        if client is None:
            client = self._node.create_client(GetState, f'{name}/{SERVICE}')
            self._clients[name] = client
        end = time.monotonic() + TIMEOUT
        while not client.service_is_ready():
            if time.monotonic() > end:
                return SILENT
            self._spin(0.01)
        future = client.call_async(GetState.Request())
        while not future.done():
            if time.monotonic() > end:
                client.remove_pending_request(future)
                return SILENT
            self._spin(0.01)
        answer = future.result()
        return answer.current_state.label if answer else SILENT


def _full(name: str, namespace: str) -> str:
    return f'{namespace.rstrip("/")}/{name}'
