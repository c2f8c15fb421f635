"""A clip or a camera through the whole graph, with events of the example behaviours.

    ros2 launch action_recognition demo.launch.py source:=clip.mp4 rviz:=true publish_tf:=true

A clip plays as fast as this machine follows, without loss, and its end ends the launch. Without
a source the first camera is used, and without a camera a sample clip, downloaded once. To get
a video, a table and a report instead of topics, run `action-recognition demo`.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from action_recognition.cli.sample import SAMPLE_INPUT_SIZE, fetch_sample

PACKAGE = 'action_recognition'
CAMERA = '/dev/video0'
#: Handed on to action_recognition.launch.py as they are.
ARGUMENTS = {
    'composed': 'false',
    'device': '',
    'namespace': '',
    'behaviors': PathJoinSubstitution([FindPackageShare(PACKAGE), 'config', 'behaviors.yaml']),
    'max_size': '640',
    'input_size': '',
    'lockstep': 'actions',
    'exit_at_end': 'true',
    'required': 'true',
    'rviz': 'false',
    'publish_tf': 'false',
    'log_level': 'info',
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, then everything else once the source is known."""
    source = DeclareLaunchArgument(
        'source', default_value='', description='Video, directory, camera (0), URL or bag.'
    )
    declared = [
        DeclareLaunchArgument(
            name, default_value=default, description='See action_recognition.launch.py.'
        )
        for name, default in ARGUMENTS.items()
    ]
    return LaunchDescription([source, *declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The graph on the source asked for, or on what there is."""
    arguments = {
        name: LaunchConfiguration(name).perform(context) for name in ('source', *ARGUMENTS)
    }
    if not arguments['source'] and Path(CAMERA).exists():
        arguments['source'] = CAMERA
    elif not arguments['source']:
        arguments['source'] = str(fetch_sample())
        arguments['input_size'] = arguments['input_size'] or str(SAMPLE_INPUT_SIZE)
    graph = PathJoinSubstitution(
        [FindPackageShare(PACKAGE), 'launch', 'action_recognition.launch.py']
    )
    return [IncludeLaunchDescription(graph, launch_arguments=arguments.items())]
