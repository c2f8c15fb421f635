"""The package's own description: what is written twice says the same twice."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import action_recognition
from action_recognition.cli.run import NODES
from action_recognition.weights import read_header

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
WEIGHTS = sorted((ROOT / 'models').glob('*.safetensors'))
CMAKE = (ROOT / 'CMakeLists.txt').read_text()


def requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def test_versions_agree():
    pytest.importorskip('setuptools')
    command = [sys.executable, 'setup.py', '--version']
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    version = action_recognition.__version__
    assert MANIFEST.findtext('version') == version
    assert result.stdout.split()[-1] == version
    assert version in (ROOT / 'CHANGELOG.rst').read_text()


def test_cmake_generates_every_message():
    listed = re.findall(r'"msg/(\w+\.msg)"', CMAKE)
    assert listed == sorted(path.name for path in (ROOT / 'msg').iterdir())


def test_cmake_installs_an_executable_for_every_node():
    assert tuple(re.search(r'foreach\(_node (.*)\)', CMAKE)[1].split()) == NODES


def test_cmake_and_manifest_name_the_same_build_dependencies():
    found = set(re.findall(r'find_package\((\w+)', CMAKE))
    tags = ('buildtool_depend', 'depend', 'test_depend')
    declared = {element.text for tag in tags for element in MANIFEST.findall(tag)}
    assert found == {name for name in declared if not name.startswith('python3-')}


def test_manifest_declares_every_ros_package_that_is_imported():
    declared = {element.text for element in MANIFEST if element.tag in ('depend', 'exec_depend')}
    used = set()
    for path in [*(ROOT / 'action_recognition').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                used.add(str(node.module).split('.')[0])
            elif isinstance(node, ast.Import):
                used |= {alias.name.split('.')[0] for alias in node.names}
    of_ros = re.compile(r'(\w+_(msgs|interfaces)|rclpy|launch|launch_ros|ament_index_python)$')
    assert {name for name in used if of_ros.match(name)} <= declared


def test_manifest_is_what_ros_tools_expect():
    assert MANIFEST.get('format') == '3'
    assert MANIFEST.findtext('name') == 'action_recognition'
    assert all((ROOT / licence.get('file')).is_file() for licence in MANIFEST.findall('license'))
    assert MANIFEST.findtext('export/build_type') == 'ament_cmake'
    assert MANIFEST.findtext('member_of_group') == 'rosidl_interface_packages'


def test_manifest_and_wheel_name_the_licences_of_code_and_weights():
    """The weights that are free are the exceptions in the file of the second."""
    code, trained = MANIFEST.findall('license')
    assert code.text == 'Apache-2.0'
    setup_py = (ROOT / 'setup.py').read_text()
    assert f"license='{code.text} AND {trained.text}'" in setup_py
    assert f"license_files=['{code.get('file')}', '{trained.get('file')}']" in setup_py
    section = (
        (ROOT / trained.get('file')).read_text().partition('## Licence')[2].partition('\n## ')[0]
    )
    assert trained.text in section
    free = {path.stem for path in WEIGHTS if 'research' not in read_header(path).licence}
    assert set(re.findall(r'`(\w+)`', section)) & {path.stem for path in WEIGHTS} == free


def test_requirements_hold_what_the_wheel_asks_for():
    setup_py = (ROOT / 'setup.py').read_text()
    asked = re.search(r'install_requires=\[(.*?)\]', setup_py, re.DOTALL)[1]
    assert set(re.findall(r"'(.+?)'", asked)) <= set(requirements('requirements.txt'))
    assert 'torch==2.13.0' in requirements('requirements.txt')


def test_ros_wheels_are_pinned():
    assert all('==' in line for line in requirements('requirements-ros.txt') if 'ros-' in line)
