"""`action-recognition doctor`: what this machine has and lacks, with the fix for each."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from action_recognition import __version__, fastdds, resources, weights
from action_recognition.cli.output import write_json
from action_recognition.errors import UserError

HELP = 'Say what this machine has and lacks, with the fix for each.'

OK, WARN, MISSING = 'ok', 'warn', 'missing'
MEBIBYTE = 1024 * 1024
#: Free shared memory below which our processes run into trouble: each of four takes 17.6 MB, of
#: which the segment of the Fast DDS profile is most, and who listens to them takes some as well.
SHARED_MEMORY = 100 * MEBIBYTE
#: Import name -> name to install by, for what has no check of its own.
PACKAGES = {
    'matplotlib': 'matplotlib',
    'numpy': 'numpy',
    'rosbags': 'rosbags',
    'safetensors': 'safetensors',
    'scipy': 'scipy',
    'threadpoolctl': 'threadpoolctl',
    'tqdm': 'tqdm',
    'yaml': 'PyYAML',
}
#: Any of these is there where a driver of NVIDIA is: the first on PCs, the others on Jetsons.
GPU_DEVICES = ('/dev/nvidia0', '/dev/nvhost-gpu', '/dev/nvgpu')
PIP = 'python3 -m pip install'
#: Modules that run the pose network, besides torch.
FAST_RUNTIMES = ('tensorrt', 'openvino', 'onnxruntime')


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        state: 'ok'; 'warn', something works less well or not at all; 'missing', and without it no
            camera image becomes an action label.
        found: what is there.
        fix: what to do about it, empty when there is nothing to do.
    """

    name: str
    state: str
    found: str
    fix: str = ''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the findings here')


def run(args: argparse.Namespace) -> int:
    findings = []
    for check in CHECKS:
        for finding in check():
            findings.append(finding)
            print(f'{finding.state:8}{finding.name:20}{finding.found}', flush=True)
            if finding.fix:
                print(f'{"":28}fix: {finding.fix}', flush=True)
    usable = all(finding.state != MISSING for finding in findings)
    if args.json:
        rows = [asdict(finding) for finding in findings]
        write_json(args.json, {'usable': usable, 'checks': rows})
    return 0 if usable else 1


def check_python() -> Iterator[Check]:
    """The interpreter, and which copy of this package it runs."""
    found = f'{platform.python_version()} on {platform.machine()}, {sys.executable}'
    yield Check('python', OK, found)
    yield Check('action_recognition', OK, f'{__version__} in {Path(__file__).parents[1]}')


def check_packages() -> Iterator[Check]:
    """The plain Python packages."""
    faults = {name: fault for name in PACKAGES for _, fault in [_import(name)] if fault}
    if faults:
        names = ' '.join(PACKAGES[name] for name in faults)
        yield Check('python packages', MISSING, '; '.join(faults.values()), f'{PIP} {names}')
    else:
        yield Check('python packages', OK, ', '.join(map(_version, PACKAGES.values())))


def check_cut_bags() -> Iterator[Check]:
    """What reads mcap recordings whose recorder was killed."""
    module, fault = _import('mcap.stream_reader')
    if module is None:
        yield Check('cut recordings', WARN, f'not read: {fault}', f'{PIP} mcap')
    else:
        yield Check('cut recordings', OK, f'read with {_version("mcap")}')


def check_ros() -> Iterator[Check]:
    """The ROS distribution, its middleware and our messages."""
    rclpy, fault = _import('rclpy')
    if rclpy is None:
        yield Check(
            'ros 2',
            MISSING,
            fault,
            'source /opt/ros/<distro>/setup.bash; on a machine without ROS: make venv',
        )
        return
    from_wheels = Path(str(rclpy.__file__)).is_relative_to(sys.prefix)
    sourced = os.environ.get('ROS_DISTRO')
    if from_wheels and sourced:
        found = f'wheels in {sys.prefix}, mixed with {sourced} sourced in this shell'
        yield Check('ros 2', WARN, found, 'use a shell in which no ROS is sourced')
    else:
        yield Check('ros 2', OK, f'wheels in {sys.prefix}' if from_wheels else f'{sourced}')
    try:
        used = import_module('rclpy.utilities').get_rmw_implementation_identifier()
        yield Check('middleware', OK, used)
    except Exception as error:
        asked = os.environ.get('RMW_IMPLEMENTATION', 'the default')
        yield Check(
            'middleware',
            MISSING,
            f'{asked} does not load: {_line(error)}',
            'install that RMW implementation, or: unset RMW_IMPLEMENTATION',
        )
    messages, fault = _import('action_recognition.msg')
    if messages is None:
        fix = 'colcon build, then source install/setup.bash; on a machine without ROS: make venv'
        yield Check('messages', MISSING, fault, fix)
    else:
        yield Check('messages', OK, f'built, in {Path(str(messages.__file__)).parent}')


def check_torch(gpu_devices: Sequence[str] = GPU_DEVICES) -> Iterator[Check]:
    """PyTorch and what it computes on."""
    torch, fault = _import('torch')
    if torch is None:
        fix = f'{PIP} torch (on a Jetson: the wheel of NVIDIA that fits its JetPack)'
        yield Check('torch', MISSING, fault, fix)
        return
    yield Check('torch', OK, torch.__version__)
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield Check('device', OK, ', '.join(names))
        return
    found = f'CPU, {torch.get_num_threads()} threads'
    if any(Path(device).exists() for device in gpu_devices):
        yield Check(
            'device',
            WARN,
            f'{found}; there is an NVIDIA GPU, but this torch does not see it',
            'install the torch built for this GPU, then: make clean venv '
            'VENV_FLAGS=--system-site-packages',
        )
    else:
        yield Check('device', OK, f'{found} (no GPU)')


def check_runtimes() -> Iterator[Check]:
    """What can run the pose network faster than PyTorch."""
    found = [name for name in FAST_RUNTIMES if find_spec(name)]
    if found:
        yield Check('pose runtimes', OK, ', '.join([*found, 'torch']))
    else:
        fix = f'{PIP} openvino or onnxruntime (either for Intel, AMD and 64-bit ARM)'
        yield Check('pose runtimes', WARN, 'torch alone, which is slow on a processor', fix)


def check_opencv() -> Iterator[Check]:
    """OpenCV, and whether it decodes video."""
    cv2, fault = _import('cv2')
    if cv2 is None:
        fix = f'sudo apt install python3-opencv, or: {PIP} opencv-python-headless'
        yield Check('opencv', MISSING, fault, fix)
        return
    registry = cv2.videoio_registry
    backends = {registry.getBackendName(backend) for backend in registry.getBackends()}
    if decoders := sorted(backends & {'FFMPEG', 'GSTREAMER'}):
        yield Check('opencv', OK, f'{cv2.__version__}, video by {" and ".join(decoders)}')
    else:
        found = f'{cv2.__version__}, built without FFmpeg and GStreamer: no video files or URLs'
        yield Check('opencv', WARN, found, f'{PIP} opencv-python-headless')


def check_cv_bridge() -> Iterator[Check]:
    """cv_bridge is only asked for encodings our own conversion does not know."""
    module, fault = _import('cv_bridge')
    if module is None and 'No module named' in fault:
        yield Check('cv_bridge', OK, 'not installed; only rare image encodings need it')
        return
    try:
        import numpy as np

        bridge = import_module('cv_bridge').CvBridge()
        image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        there = bridge.cv2_to_imgmsg(image, 'bgr8')
        if not (bridge.imgmsg_to_cv2(there, 'bgr8') == image).all():
            raise ValueError('an image came back changed')
        yield Check('cv_bridge', OK, f'works, in {Path(str(module and module.__file__)).parent}')
    except Exception as error:
        yield Check(
            'cv_bridge',
            WARN,
            f'installed but broken: {_line(error)}',
            'pip uninstall cv-bridge (it is ROS 1 code), or install the NumPy that ROS was built '
            "with: pip install 'numpy<2'",
        )


def check_weights() -> Iterator[Check]:
    """Every weights file with its SHA-256, and whether there is one of each kind."""
    kinds = set()
    for name in weights.available():
        path = weights.find(name)
        try:
            header = weights.read_header(path)
        except (UserError, ImportError) as error:
            fix = f'get it again: git checkout -- models/{path.name}, then install the package'
            yield Check(f'weights {name}', WARN, _line(error), fix)
            continue
        kinds.add(header.kind)
        classes = f', {len(header.labels)} classes' if header.labels else ''
        sha256 = weights.digest(path)
        yield Check(f'weights {name}', OK, f'{header.kind}{classes}, sha256 {sha256}')
    for kind in sorted(set(weights.KINDS) - kinds):
        fix = f'install the package again, or: action-recognition train {kind}'
        yield Check(f'weights ({kind})', MISSING, 'none installed', fix)


def check_transport() -> Iterator[Check]:
    """Whether images get through Fast DDS, and the shared memory they go through."""
    if not fastdds.is_used(os.environ):
        yield Check('fast dds', OK, f'not used: {os.environ["RMW_IMPLEMENTATION"]}')
        return
    profile = resources.find(fastdds.PROFILE)
    set_by_user = [name for name in fastdds.TRANSPORT_VARIABLES if os.environ.get(name)]
    export = f'export {fastdds.PROFILE_VARIABLES[0]}={profile}'
    if not set_by_user:
        yield Check(
            'fast dds',
            WARN,
            '`run` and the launch files set a 16 MB shared-memory segment; other image publishers '
            'keep 512 KB and lose large images',
            export,
        )
    for name in set_by_user:
        value = os.environ[name]
        if name not in fastdds.PROFILE_VARIABLES:
            yield Check('fast dds', OK, f'{name}={value}')
        elif (size := _segment_size(Path(value))) is None:
            found = f'{name}={value} cannot be read or gives no shared-memory segment'
            yield Check('fast dds', WARN, found, export)
        elif size < 4 * MEBIBYTE:
            found = f'{value}: a segment of {size} bytes loses large images'
            yield Check('fast dds', WARN, found, export)
        else:
            yield Check('fast dds', OK, f'{size // MEBIBYTE} MB segment by {value}')
    if Path('/dev/shm').is_dir() and (free := shutil.disk_usage('/dev/shm').free) < SHARED_MEMORY:
        fix = 'fastdds shm clean; in a container: --ipc=host or --shm-size=512m'
        yield Check('shared memory', WARN, f'{free // MEBIBYTE} MB free in /dev/shm', fix)


def check_cameras(folder: Path = Path('/dev')) -> Iterator[Check]:
    """Video devices, and whether this user may open them."""
    devices = sorted(folder.glob('video[0-9]*'))
    if not devices:
        fix = 'plug one in, or use --source FILE, a URL, or the topic of a camera driver'
        yield Check('cameras', WARN, f'no {folder}/video*', fix)
        return
    barred = [str(device) for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if barred:
        fix = 'sudo usermod -aG video $USER, then log in again'
        yield Check('cameras', WARN, f'no permission for {", ".join(barred)}', fix)
    else:
        yield Check('cameras', OK, ', '.join(map(str, devices)))


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    check_python,
    check_packages,
    check_cut_bags,
    check_ros,
    check_torch,
    check_runtimes,
    check_opencv,
    check_cv_bridge,
    check_weights,
    check_transport,
    check_cameras,
)


def _import(name: str) -> tuple[ModuleType | None, str]:
    """The module and no fault, or None and the fault: a broken install can raise anything."""
    try:
        return import_module(name), ''
    except Exception as error:
        return None, _line(error)


def _line(error: Exception) -> str:
    return ' '.join(f'{error}'.split()) or type(error).__name__


def _version(distribution: str) -> str:
    try:
        return f'{distribution} {metadata.version(distribution)}'
    except metadata.PackageNotFoundError:
        return distribution


def _segment_size(profile: Path) -> int | None:
    try:
        sizes = re.findall(r'<segment_size>\s*(\d+)\s*</segment_size>', profile.read_text())
    except (OSError, UnicodeDecodeError):
        return None
    return max(map(int, sizes), default=None)
