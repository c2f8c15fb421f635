"""A rosbag2 recording through the whole graph, on the time of the recording.

    ros2 launch action_recognition replay.launch.py bag:=walk image:=/camera/image_raw

The bag starts once perception and recognizer are active; its end, or that of a node, ends the
launch. It is played by `action-recognition play`, so `ros2 bag` is not needed, and all nodes run on
its time. It plays on time: images that come faster than they are processed are dropped and counted
in /diagnostics. To process every image, give the bag as `source` of demo.launch.py.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import ExecutableInPackage, FindPackageShare
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

PACKAGE = 'action_recognition'
#: The nodes that must be active before the bag begins.
AWAITED = ('perception', 'recognizer')
#: Seconds for that: loading models on a small, busy computer takes most of a minute.
START_TIMEOUT = '180'
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
    'log_level': 'info',
}
#: Handed on as well. The bag would wait in vain for nodes that do not start or have ended.
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
    return LaunchDescription([bag, rate, *declared, graph, OpaqueFunction(function=play)])


def play(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The player, which waits for the nodes of the graph by their full names."""
    namespace = make_namespace_absolute(
        prefix_namespace(
            context.launch_configurations.get('ros_namespace'),
            LaunchConfiguration('namespace').perform(context),
        )
    )
    awaited = [f'{namespace.rstrip("/")}/{name}' for name in AWAITED]
    # Not by its name alone: `colcon build` puts it beside the nodes, outside PATH.
    program = ExecutableInPackage('action-recognition', PACKAGE)
    options = ['--clock', '--rate', LaunchConfiguration('rate'), '--wait', START_TIMEOUT]
    return [
        ExecuteProcess(
            cmd=[program, 'play', LaunchConfiguration('bag'), *options, '--active', *awaited],
            output='screen',
            on_exit=Shutdown(reason='the bag has ended'),
        )
    ]
