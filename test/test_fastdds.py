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
