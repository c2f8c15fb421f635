"""Parameters of a node as a table: declared, described, range-checked and documented from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

#: Parameters that exist only once their topic is advertised or subscribed to.
QOS_OVERRIDES = 'qos_overrides.'

AnyNode = TypeVar('AnyNode', bound=Node)


@dataclass(frozen=True)
class Setting:
    """One parameter.

    Attributes:
        name: of the parameter.
        default: its value, which also fixes its type.
        description: one line with the unit.
        low, high: inclusive range of a number.
        choices: allowed values of a string; empty: any.
        live: may be changed while the node is active. Others are read on activation, so they can
            be changed in every other state; what publishers are made by, on configuration.
        read_only: is as it was when the node started.
        lenient: a number given for a text is taken as its digits: YAML reads camera 0 as one.
    """

    name: str
    default: bool | int | float | str
    description: str
    low: float = 0
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    read_only: bool = False
    lenient: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows, and the range rclpy enforces."""
        fixed = self.live or self.read_only  # rclpy says the second by itself
        constraints = [] if fixed else ['cannot be changed while the node is active']
        if self.choices:
            constraints.insert(0, f'one of: {", ".join(self.choices)}')
        descriptor = ParameterDescriptor(
            description=self.description,
            additional_constraints='; '.join(constraints),
            dynamic_typing=self.lenient,
            read_only=self.read_only,
        )
        if self.high is not None and isinstance(self.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
            ]
        elif self.high is not None:
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
            ]
        return descriptor

    def fault(self, value: Any) -> str:
        """Why the value is refused, or an empty string. rclpy checks type and range before."""
        if self.choices and value not in self.choices:
            return f'parameter {self.name} must be one of {", ".join(self.choices)}, not {value!r}'
        if self.lenient and (isinstance(value, bool) or not isinstance(value, (str, int))):
            return f'parameter {self.name} must be a text, not {value!r}'
        return ''


def declare(node: Node, settings: Sequence[Setting]) -> None:
    """Declare the parameters of a node.

    Raises:
        rclpy.exceptions.ParameterException: a value given at start has another type or lies
            outside the range.
    """
    node.declare_parameters('', [(s.name, s.default, s.descriptor()) for s in settings])


def undeclared(nodes: Sequence[AnyNode]) -> Iterator[tuple[AnyNode, str]]:
    """What was set at the start of a process and no node of it has: rclpy passes it over.

    A name that is set for all nodes of a process need only be that of one of them.

    Args:
        nodes: of one process, with their parameters declared.

    Yields:
        A node for which such a parameter was set, and one line that names it.
    """
    known = {name for node in nodes for name in node.get_parameters_by_prefix('')}
    for node in nodes:
        for name in sorted(node._parameter_overrides):  # what no method of rclpy tells
            if name in known or name.startswith(QOS_OVERRIDES):
                continue
            alike = get_close_matches(name, sorted(known), n=1)
            hint = f' (did you mean {alike[0]}?)' if alike else ''
            yield (
                node,
                f'parameter {name} is set, but {node.get_name()} has none of this name{hint}',
            )
