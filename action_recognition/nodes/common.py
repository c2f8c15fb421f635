"""What all nodes share: parameters, diagnostics, input, and the way in and out."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from action_recognition.errors import UserError
from action_recognition.limits import MAX_IMAGE_BYTES, MAX_RESULT_BYTES
from action_recognition.nodes.convert import stamp_to_ns
from action_recognition.nodes.lifecycle import ManagedNode
from action_recognition.nodes.qos import image_qos
from action_recognition.nodes.settings import Setting, declare, undeclared
from action_recognition.nodes.trace import close_trace, open_trace
from action_recognition.nodes.worker import Worker

#: How images may arrive, in the words of image_transport.
TRANSPORTS = ('raw', 'compressed')
#: Whether this rclpy tells about a message more than its content; older ones do not.
TELLS_NUMBERS = hasattr(Subscription, 'CallbackType')

AUTOSTART = Setting(
    'autostart',
    True,
    'Configure and activate the node as soon as it runs; false leaves that to a lifecycle manager.',
)

TRACE = Setting(
    'trace',
    '',
    'File for the times of all stages, which https://ui.perfetto.dev opens; empty: none. Nodes may '
    'share it. A file that is no trace of theirs is left alone.',
    read_only=True,
)


class Sealed(NamedTuple):
    """A message as it came: of an image, to deserialise it costs milliseconds."""

    data: bytes
    kind: type
    topic: str
    limit: int

    def open(self) -> Any:
        """The message.

        Raises:
            UserError: it has more than `limit` bytes, or is damaged.
        """
        size = len(self.data)
        if size > self.limit:
            raise UserError(
                f'a message of {size} bytes on {self.topic}: at most {self.limit} are read'
            )
        try:
            return deserialize_message(self.data, self.kind)
        except Exception as error:  # errors of rmw, and of texts that are not UTF-8
            reason = str(error).partition(', at /')[0].strip()
            raise UserError(f'a damaged message on {self.topic}: {reason[:200]}') from error


class StageNode(ManagedNode):
    """A stage of the pipeline as a lifecycle node.

    configure creates the publishers (`configure`), activate loads the model and subscribes
    (`start`), deactivate gives both back (`stop`), also the memory of a GPU. Work that a bad
    input can break runs inside `attempt`.

    Subclasses give NAME and SETTINGS and override the three hooks.
    """

    NAME: str
    SETTINGS: tuple[Setting, ...] = ()

    def __init__(self, **node_options: Any) -> None:
        super().__init__(self.NAME, **node_options)
        #: What the process says when it ends by itself: 0 unless its work broke off.
        self.exit_code = 0
        self._settings = {setting.name: setting for setting in (AUTOSTART, TRACE, *self.SETTINGS)}
        declare(self, tuple(self._settings.values()))
        for setting in self._settings.values():
            if fault := setting.fault(self.get_parameter(setting.name).value):
                raise UserError(f'{self.NAME}: {fault}')
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 1)
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Take over live parameters that change while the node is active.

        Raises:
            UserError: a value does not fit the other parameters; the change is then refused.
        """

    def value(self, name: str) -> Any:
        """Value of a parameter."""
        value = self.get_parameter(name).value
        return str(value) if self._settings[name].lenient else value

    def subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable[..., None],
        qos: QoSProfile,
        numbered: bool = False,
    ) -> Subscription:
        """A subscription that lives until deactivation.

        A message of more than `MAX_RESULT_BYTES`, or one that cannot be deserialised, counts as
        received and rejected.

        Args:
            numbered: the callback also gets the number of the message among those of its sender,
                None where the middleware does not tell.
        """

        def receive(data: bytes, info: Mapping[str, Any]) -> None:
            message = self._open(Sealed(data, kind, topic, MAX_RESULT_BYTES))
            if message is None:
                self.health.received()
            elif numbered:
                callback(message, info.get('publication_sequence_number'))
            else:
                callback(message)

        take: Any = receive if TELLS_NUMBERS else lambda data: receive(data, {})
        return self._listen(kind, topic, take, qos)

    def subscribe_images(self, topic: str, transport: str, worker: Worker[Any]) -> None:
        """Feed a worker with the images of a topic, raw or compressed (image_transport's names).

        Only those that it takes in hand are deserialised.
        """
        kind = Image
        if transport == 'compressed':
            kind, topic = CompressedImage, self.resolve_topic_name(topic) + '/compressed'

        def receive(data: bytes) -> None:
            self.health.received()
            self.health.count('dropped', worker.offer(Sealed(data, kind, topic, MAX_IMAGE_BYTES)))

        self._listen(kind, topic, receive, image_qos())

    def worker(
        self,
        name: str,
        topic: str,
        work: Callable[[Any], None],
        ended: Callable[[], object] = lambda: None,
    ) -> Worker[Any]:
        """A worker for messages with a header: each is one `attempt`; how long it waited is timed.

        Args:
            name: of the thread.
            topic: from which the messages come.
            ended: as of `Worker`.
        """

        def turn(item: Any, offered: int) -> None:
            begun = time.monotonic_ns()
            message = self._open(item) if isinstance(item, Sealed) else item
            if message is None:
                return
            stamp = stamp_to_ns(message.header.stamp)
            self.health.waited(offered, begun, stamp)
            with self.health.frame(stamp, topic):
                self.attempt(lambda: work(message))

        return Worker(name, turn, ended)

    def end_worker(self, worker: Worker[Any]) -> bool:
        """End a worker; what waited counts as dropped.

        Returns:
            False if it hangs: then the node has failed, and the worker keeps what it works with.
        """
        left = worker.stop()
        if left is None:
            text = (
                f'{self.NAME} is still at work on an image that came before it was to stop; if the '
                'device hangs, only another process can use it'
            )
            self.health.failed(text)
            self.get_logger().error(text)
            return False
        self.health.count('dropped', left)
        return True

    def attempt(self, work: Callable[[], None], counter: str = '') -> bool:
        """Run the work on one input; what goes wrong is counted, logged and survived.

        Args:
            counter: where it is counted; default: 'rejected' for a `UserError`, else 'errors'.
        """
        try:
            work()
        except UserError as error:
            self.health.count(counter or 'rejected')
            self.warn(type(error).__name__, str(error))
        except Exception as error:
            if not self.context.ok():
                return False  # interrupted in the middle of the work
            self.health.count(counter or 'errors')
            self.warn(
                type(error).__name__,
                f'{type(error).__name__}: {error} (a fault in this package: please report it)',
            )
        else:
            return True
        return False

    def warn(self, kind: str, text: str) -> None:
        """Report a problem in `/diagnostics` and, throttled by its kind, in the log."""
        if self.health.problem(kind, text):
            self.get_logger().warning(text)

    def autostart(self) -> bool:
        """Configure and activate if the parameter says so; False when that fails."""
        if self.value(AUTOSTART.name):
            done = TransitionCallbackReturn.SUCCESS
            return self.trigger_configure() == done and self.trigger_activate() == done
        return True

    def _begin(self) -> None:
        if path := self.value(TRACE.name):
            self.health.trace = open_trace(path, self.NAME)
        super()._begin()

    def _idle(self) -> None:
        super()._idle()
        self._end_trace()

    def _end_trace(self) -> None:
        if trace := self.health.trace:
            self.health.trace = None
            close_trace(trace)

    def _listen(self, kind: type, topic: str, take: Any, qos: QoSProfile) -> Subscription:
        # Raw, since deserialising is what costs: megabytes of skeletons stop a node for seconds.
        options = QoSOverridingOptions.with_default_policies()
        subscription = self.create_subscription(
            kind, topic, take, qos, qos_overriding_options=options, raw=True
        )
        self._owned_subscriptions.append(subscription)
        return subscription

    def _open(self, sealed: Sealed) -> Any:
        """The message; None if it is refused, which is counted."""
        messages: list[Any] = []
        with self.health.timed('deserialize'):
            self.attempt(lambda: messages.append(sealed.open()))
        return messages[0] if messages else None

    def _on_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changes: dict[str, Any] = {}
        try:
            for parameter in parameters:
                setting = self._settings.get(parameter.name)
                if setting is None:
                    continue
                if fault := setting.fault(parameter.value):
                    raise UserError(fault)
                if self.is_active and not setting.live:
                    raise UserError(
                        f'parameter {parameter.name} cannot be changed while the node is active: '
                        'deactivate it first'
                    )
                changes[parameter.name] = parameter.value
            if self.is_active and changes:
                self.apply(changes)
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _report(self) -> None:
        if (trace := self.health.trace) and trace.file.is_full:
            self.warn('trace', f'the trace {trace.file.path} is full, or its disk: it ends here')
            self._end_trace()
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [self.health.report(self.get_fully_qualified_name(), self.state)]
        self._diagnostics.publish(message)


def run(build: Callable[[], Sequence[StageNode]], args: Sequence[str] | None = None) -> int:
    """Run nodes in this process until they are interrupted; the exit code.

    Args:
        build: makes the nodes once rclpy is initialised, in the order in which they start.
        args: ROS arguments; default: the command line.
    """
    # Ctrl-C under `ros2 launch` arrives twice, from the terminal and from launch: the second must
    # not cut the teardown short, or threads that were not told to stop keep the process alive.
    nodes: Sequence[StageNode] = ()
    try:
        _init(args)
        try:
            nodes = build()
            for node, text in undeclared(nodes):
                node.warn('parameters', text)
            if not all(node.autostart() for node in nodes):
                return 1
            executor = SingleThreadedExecutor()
            for node in nodes:
                executor.add_node(node)
            try:
                executor.spin()
            except RuntimeError:  # rclpy's, where the interrupt comes while it prepares to wait
                if rclpy.ok():
                    raise
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for node in nodes:
                node.destroy_node()
    except (UserError, ParameterException) as error:
        wants_real = "expecting type 'DOUBLE'" in str(error)
        hint = ' (with a decimal point, such as 20.0)' if wants_real else ''
        print(f'error: {error}{hint}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return max((node.exit_code for node in nodes), default=0)


def _init(args: Sequence[str] | None) -> None:
    try:
        rclpy.init(args=None if args is None else list(args))
    except RuntimeError as error:  # rclpy's own errors, whose classes are private, derive from it
        raise UserError(str(error).split(', at /')[0].strip()) from error
