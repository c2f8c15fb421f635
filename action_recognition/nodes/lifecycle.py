"""The life cycle of a node as three hooks, and an answer to every request to change its state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import (
    LifecycleNode,
    LifecyclePublisher,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from action_recognition.errors import UserError
from action_recognition.nodes.health import Health

#: Answers a request of `change_state`.
Answer = Callable[[ChangeState.Request, ChangeState.Response], ChangeState.Response]


class ManagedNode(LifecycleNode):
    """A lifecycle node by the hooks `configure`, `start` and `stop`.

    A hook raises `UserError` when the user must mend something: the transition then fails with that
    line, in the log and in `/diagnostics`, and can be asked for again.

    Attributes:
        is_active: what the node takes in is worked on.
    """

    def __init__(self, name: str, **node_options: Any) -> None:
        super().__init__(name, **node_options)
        self.health = Health()
        self.is_active = False
        self._owned_publishers: list[LifecyclePublisher] = []
        self._owned_subscriptions: list[Subscription] = []
        # rclpy lets its error out of the executor, and with it ends the process.
        for service in self.services:
            if service.srv_type is ChangeState:
                service.callback = partial(self._on_change_state, service.callback)

    def configure(self) -> None:
        """Check what can be checked without a device, then create the publishers."""

    def start(self) -> None:
        """Load what is needed and begin to take input."""

    def stop(self) -> None:
        """Take no more input and give everything back that `start` took; harmless when idle."""

    @property
    def state(self) -> str:
        """Where in its life cycle the node is, such as 'inactive'."""
        return self._state_machine.current_state[1]

    def advertise(self, kind: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        """A publisher that lives until cleanup and publishes only while the node is active."""
        publisher = self.create_lifecycle_publisher(
            kind, topic, qos, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
        self._owned_publishers.append(publisher)
        return publisher

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check, and create the publishers."""
        if not self._transition(self.configure):
            self._forget()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and subscribe."""
        super().on_activate(state)  # the first result may be there before `start` returns
        if not self._transition(self._begin):
            self._idle()
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        self.is_active = True
        self.get_logger().info('active')
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back the model and the memory of the device."""
        if not self._transition(self._idle):
            return TransitionCallbackReturn.ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back the publishers."""
        self._forget()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back everything."""
        if not self._transition(self._idle):
            return TransitionCallbackReturn.ERROR
        self._forget()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a `stop` that failed the node can be configured anew."""
        self._forget()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """End the threads of the node as well."""
        self._idle()
        super().destroy_node()

    def _on_change_state(
        self, change: Answer, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        """Refuse what the state does not allow; a lifecycle manager may ask for anything."""
        wanted = request.transition
        possible = self._state_machine.available_transitions
        if any(wanted.label == t[1] if wanted.label else wanted.id == t[0] for t in possible):
            return change(request, response)
        self.get_logger().warning(
            f'transition {wanted.label or wanted.id} is refused: the node is {self.state}, from '
            f'where it can {" or ".join(t[1] for t in possible) or "go nowhere"}'
        )
        response.success = False
        return response

    def _transition(self, hook: Callable[[], None]) -> bool:
        # rclpy swallows exceptions of transition callbacks: say here what happened. Threads that
        # the hook starts may fail before it is over.
        self.health.begin()
        try:
            hook()
        except UserError as error:
            text = str(error)
        except Exception as error:
            text = f'{type(error).__name__}: {error} (a fault in this package: please report it)'
        else:
            return True
        self.health.failed(text)
        self.get_logger().error(text)
        return False

    def _begin(self) -> None:
        self.start()

    def _idle(self) -> None:
        self.is_active = False
        for subscription in self._owned_subscriptions:
            self.destroy_subscription(subscription)
        self._owned_subscriptions.clear()
        self.stop()

    def _forget(self) -> None:
        for publisher in self._owned_publishers:
            self.destroy_lifecycle_publisher(publisher)
        self._owned_publishers.clear()
