"""A rosbag2 recording through the whole graph, on the time of the recording.

    ros2 launch action_recognition replay.launch.py bag:=walk image:=/camera/image_raw

The bag starts once perception and recognizer are ready; its end, or that of a node, ends the
launch. It is played by `action-recognition play`, so `ros2 bag` is not needed, and all nodes run on
its time. It plays on time: images that come faster than they are processed are dropped and counted
in /diagnostics. To process every image, give the bag as `source` of demo.launch.py.
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessIO
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import ExecutableInPackage, FindPackageShare

PACKAGE = 'action_recognition'
#: What these nodes log, in any namespace, when they have loaded their models and subscribed.
READY = (b'perception]: active', b'recognizer]: active')
#: Handed on to action_recognition.launch.py as they are.
ARGUMENTS = {
    'image': '',
    'image_transport': '',
    'composed': 'false',
    'device': '',
    'namespace': '',
    'params_file': PathJoinSubstitution(
        [FindPackageShare(PACKAGE), 'config', 'action_recognition.yaml']
    ),
    'behaviors': '',
    'rviz': 'false',
}
#: Handed on as well. The bag would wait for ever for nodes that do not start or have ended.
FIXED = {'use_sim_time': 'true', 'autostart': 'true', 'required': 'true'}


def generate_launch_description() -> LaunchDescription:
    """The graph on simulated time, then the bag."""
    bag = DeclareLaunchArgument('bag', description='Directory of the recording.')
    rate = DeclareLaunchArgument('rate', default_value='1.0', description='Speed of replay.')
    declared = [
        DeclareLaunchArgument(
            name, default_value=default, description='See action_recognition.launch.py.'
        )
        for name, default in ARGUMENTS.items()
    ]
    graph = IncludeLaunchDescription(
        PathJoinSubstitution([FindPackageShare(PACKAGE), 'launch', 'action_recognition.launch.py']),
        launch_arguments=[
            *FIXED.items(),
            *((name, LaunchConfiguration(name)) for name in ARGUMENTS),
        ],
    )
    play = ExecuteProcess(
        cmd=[
            # Not by its name alone: `colcon build` puts it beside the nodes, outside PATH.
            *(
                ExecutableInPackage('action-recognition', PACKAGE),
                'play',
                LaunchConfiguration('bag'),
            ),
            *('--clock', '--rate', LaunchConfiguration('rate')),
        ],
        output='screen',
        on_exit=Shutdown(reason='the bag has ended'),
    )
    awaited = set(READY)

    def play_when_ready(event: ProcessIO) -> ExecuteProcess | None:
        came = {line for line in awaited if line in event.text}
        awaited.difference_update(came)
        return play if came and not awaited else None

    ready = OnProcessIO(on_stdout=play_when_ready, on_stderr=play_when_ready)
    return LaunchDescription([bag, rate, *declared, RegisterEventHandler(ready), graph])
