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
#: The camera node's `frame_id` where the parameter file gives none.
FRAME_ID = 'camera_optical_frame'
#: Ends of the names of the frames of images and of the body of the camera (REP-103, x forward).
OPTICAL, BODY = '_optical_frame', '_link'
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
        'no camera node, perception takes the images of the topic `image`. It cannot be set in '
        'params_file.',
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
        description='YAML file of behaviour rules. Empty: no behavior node. It cannot be set in '
        'params_file.',
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
    DeclareLaunchArgument(
        'publish_tf',
        default_value='false',
        choices=['true', 'false'],
        description='Publish the transform from the body of the camera, X_link (x forward), to the '
        'frame of its images, X_optical_frame, which is the parameter frame_id of the camera node: '
        'for a `source` that no URDF describes and that has no frame of its own, as a bag has.',
    ),
    DeclareLaunchArgument(
        'enclaves',
        default_value='false',
        choices=['true', 'false'],
        description='Start every node in its SROS 2 enclave, one of config/sros2/policy.xml.',
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
    return nodes + looks(context)


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
    enclave = ['--enclave', f'/{PACKAGE}/{executable}'] if is_set(context, 'enclaves') else []
    return Node(
        package=PACKAGE,
        executable=executable,
        remappings=remappings,
        namespace=argument(context, 'namespace'),
        parameters=files,
        ros_arguments=['--log-level', argument(context, 'log_level'), *enclave],
        # Not by SetEnvironmentVariable, which would reach whatever else a robot launches.
        additional_env=fastdds.variables(context.environment),
        output='screen',
        **end,
    )


def looks(context: LaunchContext) -> list[Node]:
    """RViz and the transform of our camera, where they are asked for."""
    source = argument(context, 'source')
    plays, publishes = source not in ('', TOPIC), is_set(context, 'publish_tf')
    if publishes and not plays:
        raise ValueError(
            'publish_tf:=true is for the images of a source: those of a topic keep the frame of '
            'their driver, which publishes its own transform'
        )
    frame = str(parameter_in_file(context, 'camera', 'frame_id') or FRAME_ID)
    if publishes and not frame.endswith(OPTICAL):
        raise ValueError(f'publish_tf:=true needs a frame_id that ends in {OPTICAL}, not {frame}')
    body = frame.removesuffix(OPTICAL) + BODY
    use_sim_time = {'use_sim_time': is_set(context, 'use_sim_time')}
    nodes = []
    if is_set(context, 'rviz'):
        # Only a frame that TF or the images have can be the fixed one.
        fixed = ['-f', body if publishes else frame] if plays else []
        nodes.append(
            Node(
                package='rviz2',
                executable='rviz2',
                namespace=argument(context, 'namespace'),
                arguments=['-d', share('config', 'action_recognition.rviz'), *fixed],
                parameters=[use_sim_time],
            )
        )
    if publishes:
        nodes.append(
            Node(
                package='tf2_ros',
                executable='static_transform_publisher',
                arguments=[
                    *('--roll', '-1.5708', '--yaw', '-1.5708'),
                    *('--frame-id', body, '--child-frame-id', frame),
                ],
                parameters=[use_sim_time],
            )
        )
    return nodes


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
