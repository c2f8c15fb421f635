"""What supervises the nodes may rely on: lifecycle services and diagnostics, and nothing else.

As the lifecycle manager of Nav2 does, the tests look at real nodes by `change_state`, `get_state`
and `/diagnostics` only.
"""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState

from action_recognition.nodes.perception import PerceptionNode

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
#: By the state a node is in: what it can be asked for, and where that leads, by
#: https://design.ros2.org/articles/node_lifecycle.html.
WAYS = {
    'unconfigured': {
        CONFIGURE: 'inactive',
        Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: 'finalized',
    },
    'inactive': {
        ACTIVATE: 'active',
        CLEANUP: 'unconfigured',
        Transition.TRANSITION_INACTIVE_SHUTDOWN: 'finalized',
    },
    'active': {DEACTIVATE: 'inactive', Transition.TRANSITION_ACTIVE_SHUTDOWN: 'finalized'},
    'finalized': {},
}
#: Transitions that lead into each state from the beginning.
ROUTES = {
    'unconfigured': (),
    'inactive': (CONFIGURE,),
    'active': (CONFIGURE, ACTIVATE),
    'finalized': (CONFIGURE, Transition.TRANSITION_INACTIVE_SHUTDOWN),
}
NOBODY_KNOWS = 250


class Supervisor:
    """Asks one node, and hears what it says."""

    def __init__(self, graph, name):
        self._graph, self._name = graph, name
        self._change = graph.peer.create_client(ChangeState, f'{name}/change_state')
        self._get = graph.peer.create_client(GetState, f'{name}/get_state')
        self._reports = graph.collect(DiagnosticArray, '/diagnostics', 50)
        graph.until(lambda: self._change.service_is_ready() and self._get.service_is_ready())

    def _ask(self, client, request):
        future = client.call_async(request)
        self._graph.until(future.done)
        return future.result()

    def change(self, transition, label=''):
        """Whether the transition succeeded."""
        wanted = Transition(id=transition, label=label)
        return self._ask(self._change, ChangeState.Request(transition=wanted)).success

    def state(self):
        return self._ask(self._get, GetState.Request()).current_state.label

    def bring_up(self):
        assert self.change(CONFIGURE) and self.change(ACTIVATE)

    def statuses(self):
        return [s for r in self._reports for s in r.status if s.name == self._name]

    def status(self):
        """What the node says from now on first."""
        told = len(self.statuses())
        self._graph.until(lambda: len(self.statuses()) > told)
        return self.statuses()[-1]


def values(status):
    return {entry.key: entry.value for entry in status.values}


@pytest.fixture
def supervise(graph):
    """A node that is left to its supervisor, and the supervisor."""

    def supervise(kind, parameters=None, **options):
        parameters = {'autostart': False} | (parameters or {})
        node = graph.node(kind, active=False, parameters=parameters, **options)
        assert node.autostart()
        return Supervisor(graph, node.get_fully_qualified_name())

    return supervise


@pytest.fixture
def perception(supervise, estimator):
    estimator.close = lambda: None  # one stands for all
    return supervise(PerceptionNode, {'look.mode': 'full'}, estimator_factory=lambda *_: estimator)


@pytest.mark.parametrize('state', WAYS)
def test_a_transition_that_the_state_does_not_allow_fails_and_nothing_else(perception, state):
    for transition in ROUTES[state]:
        assert perception.change(transition)
    for transition in (*range(9), NOBODY_KNOWS):
        if transition not in WAYS[state]:
            assert not perception.change(transition)
            assert perception.state() == state
    labels = {'configure', 'cleanup', 'activate', 'deactivate', 'nonsense'}
    allowed = {'unconfigured': {'configure'}, 'inactive': {'cleanup', 'activate'}}
    for label in labels - allowed.get(state, {'deactivate'} if state == 'active' else set()):
        assert not perception.change(0, label)
    assert perception.state() == state
    for transition, goal in list(WAYS[state].items())[:1]:
        assert perception.change(transition)
        assert perception.state() == goal


def test_transitions_by_label(perception):
    for label, goal in (
        ('configure', 'inactive'),
        ('activate', 'active'),
        ('deactivate', 'inactive'),
        ('cleanup', 'unconfigured'),
        ('shutdown', 'finalized'),
    ):
        assert perception.change(0, label)
        assert perception.state() == goal


def test_diagnostics_name_the_real_state(perception):
    for transition in (None, CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP, CONFIGURE):
        assert transition is None or perception.change(transition)
        assert values(perception.status())['state'] == perception.state()
    assert perception.change(Transition.TRANSITION_INACTIVE_SHUTDOWN)
    assert values(perception.status())['state'] == perception.state() == 'finalized'
