from xml.etree import ElementTree

import pytest

from action_recognition import fastdds, resources

PROFILE = str(resources.find(fastdds.PROFILE))
BOTH = dict.fromkeys(fastdds.PROFILE_VARIABLES, PROFILE)


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [
        ({}, BOTH),
        ({'RMW_IMPLEMENTATION': 'rmw_fastrtps_dynamic_cpp'}, BOTH),
        ({'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, {}),
        ({'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {}),
        ({'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {}),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'}, {}),
    ],
)
def test_the_profile_is_set_unless_the_user_chose(environment, expected):
    assert fastdds.variables(environment) == expected


def test_a_full_hd_image_fits_into_the_segment():
    namespace = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'
    profile = ElementTree.parse(PROFILE).getroot()
    size = int(profile.find(f'.//{namespace}segment_size').text)
    assert size > 2 * 1920 * 1080 * 3


def test_a_node_that_starts_again_is_found_within_a_fraction_of_a_second():
    """Two that have missed each other meet when either announces itself the next time."""
    namespace = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'
    period = ElementTree.parse(PROFILE).getroot().find(f'.//{namespace}leaseAnnouncement')
    seconds, nanoseconds = (
        int(period.find(f'{namespace}{part}').text) for part in ('sec', 'nanosec')
    )
    assert 0.1 <= seconds + nanoseconds * 1e-9 <= 0.3
