"""What a config of the pose training may say."""

import pytest
import torch

from action_recognition.errors import UserError
from action_recognition.training.pose_config import ENTRIES, Phase, PoseConfig
from action_recognition.training.pose_data import AMOUNTS, Augmentation


@pytest.mark.parametrize(
    'text',
    [
        *('[1, 2', '', '[1, 2]', '\0', 'name: x', 'name: x\nphases: []\ncolour: 1'),
        *('name: x\nphases: [{size: 1}]', 'name: x\nphases: 3'),
    ],
)
def test_bad_config_is_one_clear_error(tmp_path, text):
    path = tmp_path / 'bad.yaml'
    path.write_text(text)
    with pytest.raises(UserError, match=r'cannot use training config .*bad\.yaml'):
        PoseConfig.load(path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'phases': ()}, 'at least one phase'),
        ({'phases': (Phase(100, 1, 8),)}, 'multiples of 8, not 100'),
        ({'check_size': 0}, 'check_size must be a whole number from 32 to 1024, not 0'),
        ({'phases': (Phase(64, 1, 8), Phase(64, 9, 8))}, r'phases\[1\]\.stages must be .* 1 to 6'),
        ({'phases': (Phase(64, 1, 0),)}, r'phases\[0\]\.images must be a whole number from 1 on'),
        ({'phases': (Phase('64', 1, 8),)}, r'phases\[0\]\.size must be a whole number'),
        ({'phases': (Phase(64, 1, 8, (0.9, 0.3)),)}, r'phases\[0\]\.size_range must not begin'),
        ({'batch': 0}, 'batch must be a whole number from 1 on, not 0'),
        ({'workers': -1}, 'workers must be a whole number from 0 to 1024, not -1'),
        ({'seed': -1}, 'seed must be a whole number from 0 to'),
        ({'learning_rate': '6e-3'}, "learning_rate must be a number above 0, not the text '6e-3'"),
        ({'weight_decay': -1e-4}, 'weight_decay must be a number from 0 on'),
        ({'warm_up': 1}, 'warm_up must be a number from 0 to below 1, not 1'),
        ({'start_from': None}, 'start_from must be a name or a file, not None'),
        ({'name': 'a/b'}, 'must be a plain file name'),
        ({'licence': 3}, 'licence must be a text, not 3'),
        ({'joint_weights': {'wirst': 2.0, 'knee': 1.0}}, 'names no joint: wirst'),
        ({'joint_weights': {'knee': '2'}}, r'joint_weights\.knee must be a number from 0 on'),
    ],
)
def test_values_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        PoseConfig(**{'name': 'x', 'phases': (Phase(64, 1, 8),), **changes})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'rotation': -1}, r'augmentation\.rotation must be a number from 0 to 180, not -1'),
        ({'degrade': 1.5}, r'augmentation\.degrade must be a number from 0 to 1'),
        ({'size_range': [0.5]}, r'augmentation\.size_range must be two numbers'),
        ({'size_range': [0, 1]}, r'augmentation\.size_range\[0\] must be a number above 0'),
        ({'size_range': [0.9, 0.4]}, r'must not begin \(0\.9\) above its end \(0\.4\)'),
    ],
)
def test_an_augmentation_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        Augmentation(**changes)


def test_joint_weights_may_be_whole_numbers():
    kinds = ('nose', 'neck', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
    settings = PoseConfig('x', (Phase(64, 1, 8),), joint_weights=dict.fromkeys(kinds, 2))
    assert settings.weights(torch.device('cpu')).tolist() == [2.0] * 14
    assert settings.weights(torch.device('cpu')).dtype == torch.float32


def test_every_number_of_a_config_has_a_range():
    """And one that the default lies in: a config of defaults can be made."""
    settings = PoseConfig('x', (Phase(64, 1, 8),))
    numbers = {k for k, v in vars(settings).items() if isinstance(v, (bool, int, float))}
    assert numbers == ENTRIES.keys()
    assert {*vars(settings.augmentation)} == {*AMOUNTS, 'size_range'}
