import pytest

from action_recognition import resources
from action_recognition.errors import UserError


def test_source_tree_comes_first_then_ros_prefixes_then_the_environment(monkeypatch, tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{one}:{two}')
    monkeypatch.setattr('sys.prefix', str(tmp_path / 'python'))
    folders = resources.folders()
    assert (folders[0] / 'action_recognition' / 'resources.py').is_file()
    assert folders[1:] == [
        prefix / 'share' / 'action_recognition' for prefix in (one, two, tmp_path / 'python')
    ]


def test_find(monkeypatch, tmp_path):
    folder = tmp_path / 'share' / 'action_recognition' / 'config'
    folder.mkdir(parents=True)
    (folder / 'only_here.yaml').touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    assert resources.find('config/only_here.yaml') == folder / 'only_here.yaml'
    with pytest.raises(UserError, match=r'config/nowhere\.yaml is not installed'):
        resources.find('config/nowhere.yaml')
