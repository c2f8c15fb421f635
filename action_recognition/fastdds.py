"""The Fast DDS profile that lets images pass between processes.

By default a shared-memory segment holds 512 KB: with best-effort QoS most 640x480 images are lost
on the way. The profile also lets nodes that are started again be found sooner
(`config/fastdds_shm.xml` has the details).
"""

from __future__ import annotations

from collections.abc import Mapping

from action_recognition import resources

PROFILE = 'config/fastdds_shm.xml'
#: The first up to ROS 2 Jazzy, the second from Kilted on.
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
#: Whoever sets one of these has made a choice of their own.
TRANSPORT_VARIABLES = (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')


def is_used(environment: Mapping[str, str]) -> bool:
    """Whether the RMW implementation chosen, or chosen by default, is Fast DDS."""
    return environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp').startswith('rmw_fastrtps')


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment of a process that publishes images.

    Nothing where the user has chosen transports, or an RMW implementation other than Fast DDS.
    """
    if not is_used(environment) or any(name in environment for name in TRANSPORT_VARIABLES):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(resources.find(PROFILE)))
