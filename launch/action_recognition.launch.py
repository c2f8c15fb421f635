"""Camera images to action labels, as three processes or in one.

    ros2 launch action_recognition action_recognition.launch.py source:=0
    ros2 launch action_recognition action_recognition.launch.py image:=/camera/image_raw

Arguments left empty leave the parameter to `params_file`, except `source` and `behaviors`: whether
there is a camera and a behavior node is for the arguments alone to say.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from action_recognition import fastdds

PACKAGE = 'action_recognition'
#: The `source` that stands for the images of a topic.
TOPIC = 'topic'
#: Seconds before a node that has ended is started again.
RESPAWN_DELAY = 2.0


def share(*path: str) -> PathJoinSubstitution:
    """A file this package has installed."""
    return PathJoinSubstitution([FindPackageShare(PACKAGE), *path])


ARGUMENTS = (
    DeclareLaunchArgument(
        'source',
        default_value='',
        description='What the camera node plays: image, directory, video, bag, camera (0, '
        '/dev/video0), URL, or `topic` to scale and thin the images of the topic `image`. Empty: '
        'no camera node, perception takes the images of the topic `image`. Not for params_file to '
        'say.',
    ),
    DeclareLaunchArgument(
        'image',
        default_value='',
        description='Topic of the images of a camera driver: without `source`, or with '
        'source:=topic.',
    ),
    DeclareLaunchArgument(
        'image_transport', default_value='', description='How they come: raw or compressed.'
    ),
    DeclareLaunchArgument(
        'composed',
        default_value='false',
        choices=['true', 'false'],
        description='All stages in one process, images handed over in memory.',
    ),
    DeclareLaunchArgument(
        'device',
        default_value='',
        description='Where the pose network runs: auto, cpu or cuda. The recogniser is fastest on '
        'the CPU: its own device is for params_file.',
    ),
    DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of all nodes and topics.'
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=share('config', 'action_recognition.yaml'),
        description='YAML file of parameters of all nodes.',
    ),
    DeclareLaunchArgument(
        'behaviors',
        default_value='',
        description='YAML file of behaviour rules. Empty: no behavior node. Not for params_file to '
        'say.',
    ),
    DeclareLaunchArgument(
        'lockstep',
        default_value='',
        description='The topic (skeletons or actions) that must answer a frame of `source` before '
        'the next one is sent: nothing is lost, however slow the machine.',
    ),
    DeclareLaunchArgument(
        'max_size', default_value='', description='Longer side of the images of `source`, pixels.'
    ),
    DeclareLaunchArgument(
        'input_size',
        default_value='',
        description="Perception's: larger sees smaller people, slower. Pixels.",
    ),
    DeclareLaunchArgument(
        'exit_at_end',
        default_value='',
        choices=['', 'true', 'false'],
        description='Shut everything down when `source` ends.',
    ),
    DeclareLaunchArgument(
        'required',
        default_value='false',
        choices=['true', 'false'],
        description='Shut everything down when a node ends, for whatever reason.',
    ),
    DeclareLaunchArgument(
        'respawn',
        default_value='false',
        choices=['true', 'false'],
        description=f'Start a node that ends again after {RESPAWN_DELAY:g} s, unless its end is '
        'that of everything.',
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value='',
        choices=['', 'true', 'false'],
        description='Activate the nodes; false leaves them to a lifecycle manager.',
    ),
    DeclareLaunchArgument(
        'use_sim_time', default_value='', choices=['', 'true', 'false'], description='Use /clock.'
    ),
    DeclareLaunchArgument(
        'rviz', default_value='false', choices=['true', 'false'], description='Start RViz.'
    ),
    DeclareLaunchArgument('log_level', default_value='info', description='Of all nodes.'),
)


def generate_launch_description() -> LaunchDescription:
    """The arguments, and the nodes."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_nodes)])


def start_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The nodes that these arguments ask for."""
    source, behaviors = (argument(context, name) for name in ('source', 'behaviors'))
    refuse_ignored(context)
    image = argument(context, 'image')
    remappings = [('image_in' if source else 'image', image)] if image else []
    files = [argument(context, 'params_file'), parameter_file(overrides(context))]
    if is_set(context, 'composed'):
        nodes = [node(context, 'pipeline', files, remappings, plays=True)]
    else:
        to_perception, to_camera = ([], remappings) if source else (remappings, [])
        nodes = [
            node(context, 'recognizer', files),
            node(context, 'perception', files, to_perception),
        ]
        if source:
            nodes.append(node(context, 'camera', files, to_camera, plays=True))
    if behaviors:
        nodes.append(node(context, 'behavior', files))
    if is_set(context, 'rviz'):
        nodes += rviz(context, own_camera=bool(source))
    return nodes


def refuse_ignored(context: LaunchContext) -> None:
    """Refuse what the nodes of these arguments would pass over without a word.

    Raises:
        ValueError: something is given in vain.
    """
    source, image = argument(context, 'source'), argument(context, 'image')
    if image and source not in ('', TOPIC):
        raise ValueError(
            f'image:={image} is the topic of a camera driver, but source:={source} is what is '
            f'played: leave one of them out, or give source:={TOPIC} to scale and thin the topic'
        )
    for name, parameter, node in (
        ('source', 'source', 'camera'),
        ('behaviors', 'rules', 'behavior'),
    ):
        in_file = None if argument(context, name) else parameter_in_file(context, node, parameter)
        if in_file not in (None, ''):
            raise ValueError(
                f'{argument(context, "params_file")} gives {node} the {parameter} {in_file}, but '
                f'whether there is such a node is an argument: give {name}:={in_file}, or take the '
                'parameter out of the file'
            )


def parameter_in_file(context: LaunchContext, node: str, parameter: str) -> Any:
    """The value of a parameter in `params_file`, in whatever namespace; None: it is not there."""
    path = Path(argument(context, 'params_file'))
    values = [
        values[parameter]
        for values in sections(yaml.safe_load(path.read_text()), node)
        if parameter in values
    ]
    return values[-1] if values else None


def sections(tree: Any, node: str, name: str = '') -> Iterator[Mapping[str, Any]]:
    """The parameters of a node in a tree of namespaces, nodes and wildcards, below `name`."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if key != 'ros__parameters':
            yield from sections(value, node, str(key))
        elif isinstance(value, dict) and name.rpartition('/')[2] in (node, '*', '**'):
            yield value


def overrides(context: LaunchContext) -> dict[str, dict[str, Any]]:
    """The parameters of each node that arguments give: to that node alone, also in `pipeline`."""
    source = argument(context, 'source')
    # Of whom the driver's images come to.
    receiver = ('camera', 'transport') if source == TOPIC else ('perception', 'image_transport')
    nodes: dict[str, dict[str, Any]] = {
        'camera': {
            'source': source,
            'lockstep': argument(context, 'lockstep'),
            'max_size': pixels(context, 'max_size'),
            'exit_at_end': flag(context, 'exit_at_end'),
        },
        'perception': {
            'device': argument(context, 'device'),
            'input_size': pixels(context, 'input_size'),
        },
        'recognizer': {},
        'behavior': {'rules': argument(context, 'behaviors')},
    }
    nodes[receiver[0]][receiver[1]] = argument(context, 'image_transport')
    for values in nodes.values():
        values.update({name: flag(context, name) for name in ('autostart', 'use_sim_time')})
    given = {
        name: {key: value for key, value in values.items() if value != ''}
        for name, values in nodes.items()
    }
    # Also where it is not given: a `pipeline` would take up that of the parameter file.
    given['camera']['source'] = source
    return given


def parameter_file(nodes: Mapping[str, Mapping[str, Any]]) -> str:
    """A file of these parameters of each node, in whatever namespace: its path."""
    sections = {
        f'/**/{name}': {'ros__parameters': dict(values)} for name, values in nodes.items() if values
    }
    # Kept, as those of launch_ros are: a node that is started again reads it again.
    with NamedTemporaryFile('w', prefix='launch_params_', suffix='.yaml', delete=False) as file:
        yaml.safe_dump(sections, file)
    return file.name


def node(
    context: LaunchContext,
    executable: str,
    files: Sequence[str],
    remappings: Sequence[tuple[str, str]] = (),
    plays: bool = False,
) -> Node:
    """A node of this package. It names itself: `pipeline` holds several.

    Args:
        files: of parameters; the last one wins.
        plays: it is what plays `source`.
    """
    if is_set(context, 'required') or (plays and is_set(context, 'exit_at_end')):
        end = {'on_exit': Shutdown(reason=f'{executable} has ended')}
    else:
        end = {'respawn': is_set(context, 'respawn'), 'respawn_delay': RESPAWN_DELAY}
    return Node(
        package=PACKAGE,
        executable=executable,
        remappings=remappings,
        namespace=argument(context, 'namespace'),
        parameters=files,
        ros_arguments=['--log-level', argument(context, 'log_level')],
        # Not by SetEnvironmentVariable, which would reach whatever else a robot launches.
        additional_env=fastdds.variables(context.environment),
        output='screen',
        **end,
    )


def rviz(context: LaunchContext, own_camera: bool) -> list[Node]:
    """RViz, and for a camera of ours the way from its body (x forward) to its optical frame."""
    namespace = argument(context, 'namespace')
    use_sim_time = {'use_sim_time': is_set(context, 'use_sim_time')}
    view = Node(
        package='rviz2',
        executable='rviz2',
        namespace=namespace,
        arguments=['-d', share('config', 'action_recognition.rviz')],
        parameters=[use_sim_time],
    )
    frames = Node(
        package='tf2_ros',
        executable='static_transform_publisher',
        arguments=[
            *('--roll', '-1.5708', '--yaw', '-1.5708'),
            *('--frame-id', 'camera_link', '--child-frame-id', 'camera_optical_frame'),
        ],
        parameters=[use_sim_time],
    )
    return [view, frames] if own_camera else [view]


def argument(context: LaunchContext, name: str) -> str:
    """The value of a launch argument."""
    return LaunchConfiguration(name).perform(context)


def pixels(context: LaunchContext, name: str) -> int | str:
    """The value of a launch argument that is a whole number, or '' where it is not given."""
    text = argument(context, name)
    if text and not text.isdecimal():
        raise ValueError(f'{name} must be a whole number of pixels, not {text!r}')
    return int(text) if text else ''


def flag(context: LaunchContext, name: str) -> bool | str:
    """The value of a launch argument that is true or false, or '' where it is not given."""
    return is_set(context, name) if argument(context, name) else ''


def is_set(context: LaunchContext, name: str) -> bool:
    """The value of a launch argument that is true or false."""
    return argument(context, name) == 'true'
