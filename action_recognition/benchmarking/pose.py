"""`benchmark pose`: time and accuracy of our runtimes and of other estimators, side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from action_recognition.benchmarking import speed
from action_recognition.benchmarking.pose_peers import MediaPipe, MoveNet
from action_recognition.benchmarking.pose_roofline import ORINS, bound, chip_of, work
from action_recognition.datasets.people import Person, lspet_people
from action_recognition.device import resolve_device
from action_recognition.errors import UserError
from action_recognition.evaluation.pose import evaluate, spread
from action_recognition.pose.by_shape import Shape
from action_recognition.pose.calibration import ScoreCalibration
from action_recognition.pose.decode import decode
from action_recognition.pose.deployed import Deployed, Images
from action_recognition.pose.estimator import (
    CAMERA,
    PADDING,
    EstimatorConfig,
    LoadedNetwork,
    NetworkEstimator,
    PoseEstimator,
    fit,
    load_network,
)
from action_recognition.pose.figures import STANDING
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.runtimes import PREFERENCE, Runtime, create_runtime
from action_recognition.pose.targets import encode
from action_recognition.pose.tensorrt_runtime import engine_path
from action_recognition.pose.torch_runtime import TorchRuntime

#: Frames that each estimator sees before the clock runs.
WARM_UP = 10
#: Different frames among them.
PICTURES = 50
#: Numbers of people whose cost is compared.
CROWDS = (1, 5)
#: Batch sizes of the figures of a GPU: a camera's, and crops of many people.
BATCHES = (1, 8)

log = logging.getLogger(__name__)

Picture = npt.NDArray[np.uint8]


class View(NamedTuple):
    """A camera's image, and the same as the network's input."""

    frame: Picture
    fitted: Images


def run(
    model: str,
    device: str,
    threads: int,
    input_size: int,
    data: Path | None = None,
    limit: int = 300,
    movenet: Sequence[Path] = (),
    mediapipe: tuple[Path, Path | None] | None = None,
    rounds: int = 10,
) -> dict[str, Any]:
    """Measure our runtimes and the peers that are given, on the same images in the same minutes.

    Args:
        model: name or path of the weights.
        data: the folder that holds `lspet`: people in the images, and PCK.
        limit: images of the validation part that PCK is measured on.
        movenet: ONNX files.
        mediapipe: interpreter and model file for `MediaPipe`.
        rounds: turns of `speed.TURN` frames that each estimator takes.

    Returns:
        `rows`, one for each runtime that works and takes all of the images, and each peer: network
        and whole estimate in ms, PCK; `ratio` is the time over that of ours, the runtime that
        'auto' takes. `stages`: the same by number of stages. `people`: decoding and whole estimate
        by number of people, on made-up maps. `gpu`, and `bounds`: what no program can beat on the
        chips of Jetsons. At the top the times of ours, and as `ratio` how much longer `peer` takes:
        the first one given, or else PyTorch.

    Raises:
        UserError: weights, data or a peer cannot be used.
    """
    torch.set_num_threads(threads)
    place = resolve_device(device)
    loaded = load_network(model)
    config = EstimatorConfig(input_size)
    people = _labelled(data)
    views = _views(people, input_size, WARM_UP + speed.TURN * rounds)
    shapes = [views[0].fitted.shape]
    shapes += [(1, *fit(one.image(), input_size)[0].shape) for one in spread(people, limit)]
    runtimes = _runtimes(loaded, place, dict.fromkeys(shapes))
    ours = {name: _estimator(runtime, loaded, config) for name, runtime in runtimes.items()}
    peers: dict[str, PoseEstimator] = {p.stem: MoveNet.load(p, threads) for p in movenet}
    if mediapipe:
        peers['mediapipe'] = MediaPipe(*mediapipe, threads)

    def pck(estimator: PoseEstimator) -> float | None:
        return evaluate('lspet', data, estimator, limit)['pck_limb12'] if data else None

    everyone: dict[str, PoseEstimator] = {**ours, **peers}
    best = next(iter(ours))
    rows = _contest(everyone, ours, views)
    for name, row in rows.items():
        row['pck'] = pck(everyone[name])
        row['ratio'] = row['ms_median'] / rows[best]['ms_median']
    peer = next(iter(peers), 'torch')
    figures = {
        'model': model,
        'runtime': rows[best]['what'],
        **{key: rows[best][key] for key in ('ms_median', 'ms_p95', 'fps')},
        'peer': peer,
        'ratio': rows[peer]['ratio'],
        'device': str(place),
        'threads': threads,
        'input': list(views[0].fitted.shape[2:0:-1]),
        'rows': list(rows.values()),
        'stages': _stages(model, place, config, views, pck),
        'people': _people(runtimes[best], config, views),
        'gpu': _gpu(loaded, place, views[0].fitted),
        'bounds': _bounds(loaded, views[0].fitted),
    }
    for estimator in everyone.values():
        estimator.close()
    return figures


def _runtimes(
    loaded: LoadedNetwork, device: torch.device, shapes: Collection[Shape]
) -> dict[str, Runtime]:
    """Those that are installed and work, in the order in which 'auto' prefers them.

    Args:
        shapes: (n, h, w, 3) of all the images that each has to take, as an engine may not.

    Raises:
        UserError: PyTorch does not work, which the others are compared with.
    """
    engine = engine_path(loaded.path)
    runtimes: dict[str, Runtime] = {}
    for name in PREFERENCE[device.type]:
        if not find_spec(name) or (name == 'tensorrt' and not engine.exists()):
            continue
        try:
            runtimes[name] = create_runtime(loaded.network, device, name, engine)
            for shape in shapes:
                _estimator(runtimes[name], loaded).require(shape)
        except UserError as error:
            if name == 'torch':
                raise
            log.warning('left out: %s', error)
            if name in runtimes:
                runtimes.pop(name).close()
    return runtimes


def _estimator(
    runtime: Runtime, loaded: LoadedNetwork, config: EstimatorConfig | None = None
) -> NetworkEstimator:
    calibration = ScoreCalibration.from_header(loaded.header.calibration)
    return NetworkEstimator(runtime, config or EstimatorConfig(), loaded.header.name, calibration)


def _labelled(data: Path | None) -> list[Person]:
    """The people that PCK is measured on; without data there is nobody."""
    if data is None:
        return []
    return lspet_people(data / 'lspet' if (data / 'lspet').is_dir() else data, 'validation')


def _views(people: Sequence[Person], input_size: int, count: int) -> list[View]:
    """Frames of a camera, each with one of the people in it, if there are any."""
    if people:
        pictures = [person.image() for person in people[:: len(people) // PICTURES]]
    else:
        rng = np.random.default_rng(0)
        pictures = [rng.integers(0, 256, (24, 18, 3), np.uint8) for _ in range(PICTURES)]
    frames = [compose(picture) for picture in pictures]
    return [
        View(frame, fit(frame, input_size)[0][None])
        for frame in (frames[i % len(frames)] for i in range(count))
    ]


def compose(picture: Picture) -> Picture:
    """A camera's image with a picture in the middle, as high as the image."""
    width, height = CAMERA
    scale = min(height / picture.shape[0], width / picture.shape[1])
    sides = max(int(picture.shape[1] * scale), 1), max(int(picture.shape[0] * scale), 1)
    left, above = (width - sides[0]) // 2, (height - sides[1]) // 2
    frame = np.full((height, width, 3), PADDING, np.uint8)
    frame[above : above + sides[1], left : left + sides[0]] = cv2.resize(picture, sides)
    return frame


def _contest(
    everyone: Mapping[str, PoseEstimator],
    ours: Mapping[str, NetworkEstimator],
    views: Sequence[View],
) -> dict[str, dict[str, Any]]:
    """A row for each estimator; the time of the network alone only for ours."""

    steps = {(name, 'estimate'): _whole(one) for name, one in everyone.items()}
    steps |= {(name, 'network'): _network(one) for name, one in ours.items()}
    times = speed.in_turns(steps, views, WARM_UP)
    rows = {}
    for name, estimator in everyone.items():
        row = {'what': f'{name} ({estimator.runtime})', **speed.summary(times[name, 'estimate'])}
        if name in ours:
            row['what'] = estimator.runtime
            row['network_ms'] = float(np.median(times[name, 'network']))
        rows[name] = row
    return rows


def _whole(estimator: PoseEstimator) -> Callable[[View], Any]:
    return lambda view: estimator.estimate(view.frame)


def _network(estimator: NetworkEstimator) -> Callable[[View], Any]:
    return lambda view: _wait(estimator.maps(view.fitted))


def _stages(
    model: str,
    device: torch.device,
    config: EstimatorConfig,
    views: Sequence[View],
    pck: Callable[[PoseEstimator], float | None],
) -> list[dict[str, Any]]:
    """The network cut after each of its stages, behind the runtime that 'auto' takes."""
    estimators = {}
    for stages in range(1, len(load_network(model).network.joint_stages) + 1):
        loaded = load_network(model, stages)
        runtime = create_runtime(loaded.network, device, 'auto', None)
        estimators[stages] = _estimator(runtime, loaded, config)
    steps = {stages: _network(one) for stages, one in estimators.items()}
    times = speed.in_turns(steps, views, WARM_UP)
    rows = []
    for stages, estimator in estimators.items():
        row = {'stages': stages, 'runtime': estimator.runtime, 'pck': pck(estimator)}
        rows.append(row | speed.summary(times[stages]))
        estimator.close()
    return rows


class Sees:
    """A runtime that does all its work and then says what it is told to have seen."""

    def __init__(self, runtime: Runtime, maps: StageOutput) -> None:
        self.name, self.device = runtime.name, runtime.device
        self._runtime = runtime
        self.maps = StageOutput(*(part.to(runtime.device) for part in maps))

    def prepare(self, shape: Shape) -> None:
        """As the runtime behind it."""
        self._runtime.prepare(shape)

    def __call__(self, images: Images) -> StageOutput:
        self._runtime(images)
        return self.maps

    def close(self) -> None:
        """The runtime behind it lives on."""


def crowd(people: int, cells: tuple[int, int]) -> StageOutput:
    """Maps (1, ...) of people who stand side by side, as a perfect network would see them.

    Args:
        cells: (h, w) of the maps.
    """
    height, width = 8 * cells[0], 8 * cells[1]
    body = np.array(STANDING, np.float32)
    size = min(0.8 * height / 2.5, width / people)
    places = [((i + 0.5) * width / people, 0.2 * height) for i in range(people)]
    xy = np.stack([body * size + place for place in places]).astype(np.float32)
    labelled = torch.ones(1, people, dtype=torch.bool)
    targets = encode(torch.from_numpy(xy)[None], labelled, cells)
    return StageOutput(targets.joints, targets.limbs)


def _people(
    runtime: Runtime, config: EstimatorConfig, views: Sequence[View]
) -> list[dict[str, Any]]:
    height, width = views[0].fitted.shape[1:3]
    steps: dict[tuple[str, int], Callable[[View], Any]] = {}
    for people in CROWDS:
        sees = Sees(runtime, crowd(people, (height // 8, width // 8)))
        steps['decode', people] = partial(_decode, sees.maps, config)
        steps['estimate', people] = _whole(NetworkEstimator(sees, config, 'crowd'))
    times = speed.in_turns(steps, views, WARM_UP)
    rows = [
        {'what': what, 'people': people, **speed.summary(values)}
        for (what, people), values in times.items()
    ]
    first = {row['what']: row['ms_median'] for row in rows if row['people'] == CROWDS[0]}
    return [row | {'ratio': row['ms_median'] / first[row['what']]} for row in rows]


def _decode(maps: StageOutput, config: EstimatorConfig, view: View) -> Any:
    return decode(maps, config.decoder)


def _gpu(loaded: LoadedNetwork, device: torch.device, fitted: Images) -> list[dict[str, Any]]:
    """PyTorch with and without CUDA graphs: latency, throughput, share of what is possible."""
    if device.type != 'cuda':
        return []
    name = torch.cuda.get_device_name(device)
    chip = chip_of(name)
    rows = []
    for batch in BATCHES:
        images = np.repeat(fitted, batch, 0)
        steps = {
            graphs: _network(_estimator(TorchRuntime(loaded.network, device, graphs), loaded))
            for graphs in (False, True)
        }
        times = speed.in_turns(steps, [View(images[0], images)] * (WARM_UP + 200), WARM_UP)
        layers = work(Deployed(loaded.network), images.shape[:3])
        for graphs, values in times.items():
            row = speed.summary(values)
            row |= {'gpu': name, 'batch': batch, 'graph': graphs, 'fps': batch * row['fps']}
            row['tflops'] = sum(layer.flops for layer in layers) / row['ms_median'] / 1e9
            row['share'] = bound(layers, chip) / row['ms_median'] if chip else None
            rows.append(row)
    return rows


def _bounds(loaded: LoadedNetwork, fitted: Images) -> list[dict[str, Any]]:
    """Estimates for chips that are not here: their least time for one image."""
    layers = work(Deployed(loaded.network), fitted.shape[:3])
    gflop = sum(layer.flops for layer in layers) / 1e9
    return [{'chip': chip.name, 'gflop': gflop, 'bound_ms': bound(layers, chip)} for chip in ORINS]


def _wait(maps: StageOutput) -> StageOutput:
    """The maps, once they are there."""
    if maps.joints.is_cuda:
        torch.cuda.synchronize(maps.joints.device)
    return maps
