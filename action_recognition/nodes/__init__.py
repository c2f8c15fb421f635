"""ROS 2 lifecycle nodes: camera, perception, recognizer, behavior, and all in one process.

Nothing else in the package imports rclpy. Importing this package where ROS 2 or the messages
are missing raises `UserError` with the remedy instead of a chain of import errors.
"""

from action_recognition.errors import UserError

try:
    import rclpy  # noqa: F401
except ImportError as error:
    raise UserError(
        f'ROS 2 is not installed or not sourced ({error}): source /opt/ros/<distro>/setup.bash, '
        'or install the wheels named in requirements-ros.txt'
    ) from error

try:
    import action_recognition.msg  # noqa: F401
except ImportError as error:
    raise UserError(
        f'the messages of action_recognition are not built ({error}): run `colcon build` and '
        'source install/setup.bash, or run `make` without a robot'
    ) from error
