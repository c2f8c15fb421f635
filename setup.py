"""The pip build; on a robot, colcon builds the same package from CMakeLists.txt.

With the ROS wheels of requirements-ros.txt in the virtual environment, the messages are generated
and compiled by that same CMakeLists.txt. Without them only the Python half is installed, which
is all that everything outside `nodes/` needs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Command, Distribution, find_packages, setup
from setuptools.command.build import build

NAME = 'action_recognition'
ROOT = Path(__file__).resolve().parent
WITH_MESSAGES = Path(sys.prefix, 'share', 'rosidl_default_generators').is_dir()

#: What only CMake makes, below the prefix it installs to; the rest setuptools installs itself.
GENERATED = (
    'lib/*.so',
    f'lib/{NAME}/*',
    f'lib/python*/site-packages/{NAME}/*.so',
    f'lib/python*/site-packages/{NAME}/msg/*.py',
    f'share/{NAME}/package.xml',
    f'share/{NAME}/msg/*',
    'share/ament_index/resource_index/packages/*',
    'share/ament_index/resource_index/rosidl_interfaces/*',
)


def data_files(folder: Path, patterns: tuple[str, ...], prefix: str = '') -> dict[str, list[str]]:
    """Destination below the environment -> files, for what matches below `folder`."""
    files: dict[str, list[str]] = {}
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        if path.is_file() and '__pycache__' not in path.parts:
            destination = Path(prefix, path.relative_to(folder).parent)
            files.setdefault(str(destination), []).append(str(path))
    return files


class BuildMessages(Command):
    """Run CMake and install what it generates."""

    #: Set by setuptools for `pip install --editable`.
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_temp: str | None = None

    def finalize_options(self) -> None:
        self.set_undefined_options('build', ('build_temp', 'build_temp'))

    def run(self) -> None:
        folder = Path(str(self.build_temp), 'cmake').resolve()
        stage = folder / 'stage'
        shutil.rmtree(stage, ignore_errors=True)
        # pip's build isolation hides, by PYTHONPATH, the environment that holds the ROS wheels.
        environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
        environment['AMENT_PREFIX_PATH'] = environment['CMAKE_PREFIX_PATH'] = sys.prefix
        environment['PATH'] = os.pathsep.join([f'{sys.prefix}/bin', environment['PATH']])
        configure = (
            f'-DCMAKE_INSTALL_PREFIX={stage}',
            f'-DCMAKE_PROJECT_INCLUDE={ROOT}/cmake/ros_wheels.cmake',
            f'-DPython3_EXECUTABLE={sys.executable}',
            '-DCMAKE_BUILD_TYPE=Release',
            '-DBUILD_TESTING=OFF',
        )
        for command in (
            ('cmake', '-G', 'Ninja', '-S', ROOT, '-B', folder, *configure),
            ('cmake', '--build', folder, '--target', 'install'),
        ):
            subprocess.check_call(command, env=environment)
        if self.editable_mode:  # launch files, parameters and weights are those of the source tree
            self.distribution.data_files.clear()
        self.distribution.data_files += data_files(stage, GENERATED).items()

    def get_source_files(self) -> list[str]:
        return ['CMakeLists.txt', 'package.xml']

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Build(build):
    sub_commands = [*build.sub_commands, ('build_messages', lambda _: WITH_MESSAGES)]


class MessageDistribution(Distribution):
    """A wheel with messages holds compiled code, so it belongs to one platform and Python."""

    def has_ext_modules(self) -> bool:
        return WITH_MESSAGES

    def has_data(self) -> bool:
        """The name under which an editable build, and no other, asks whether to install data."""
        return self.has_data_files()


setup(
    name=NAME,
    version=re.search(r"__version__ = '(.+)'", (ROOT / NAME / '__init__.py').read_text())[1],
    description='Online human action recognition for robots, as a ROS 2 package',
    # The second are the weights, whose data are for research; package.xml says so too.
    license='Apache-2.0 AND LicenseRef-weights-for-research-only',
    license_files=['LICENSE', 'models/README.md'],
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    # Makes an editable install a plain entry in sys.path, which merges with the generated half.
    package_dir={'': '.'},
    data_files=list(
        data_files(ROOT, ('launch/**/*', 'config/**/*', 'models/**/*'), f'share/{NAME}').items()
    ),
    # A robot brings the torch built for its GPU, and OpenCV from its distribution, which pip does
    # not see: listed here, pip would lay others over them. Elsewhere ask for the extras.
    install_requires=[
        'matplotlib>=3.5',
        'mcap>=1.1',
        'numpy>=1.21',
        'PyYAML>=5.4',
        'rosbags>=0.11',
        'safetensors>=0.4',
        'scipy>=1.8',
        'threadpoolctl>=3.0',
        'tqdm>=4.57',
    ],
    extras_require={
        'torch': ['torch>=2.1'],
        'mediapipe': ['mediapipe>=0.10.14'],
        'onnx': ['onnxruntime>=1.15'],
        'opencv': ['opencv-python-headless>=4.5'],
        'openvino': ['openvino>=2024.0'],
        'peers': ['motmetrics>=1.4', 'scikit-learn>=1.2'],
        'ray': ['ray>=2.9'],
        'rtmlib': ['onnxruntime>=1.15', 'rtmlib>=0.0.16'],
        'train': ['lightning-fabric>=2.2'],
    },
    entry_points={'console_scripts': [f'action-recognition = {NAME}.cli:main']},
    cmdclass={'build': Build, 'build_messages': BuildMessages},
    distclass=MessageDistribution,
)
