"""One call from an image to `Poses`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypeGuard

import cv2
import numpy as np
import numpy.typing as npt

from action_recognition import weights
from action_recognition.device import resolve_device
from action_recognition.errors import UserError
from action_recognition.pose.backbone import STRIDE
from action_recognition.pose.backends import registry
from action_recognition.pose.by_shape import Shape
from action_recognition.pose.calibration import ScoreCalibration
from action_recognition.pose.decode import DecoderConfig, People, decode
from action_recognition.pose.deployed import Images
from action_recognition.pose.heads import PoseNetwork, StageOutput
from action_recognition.pose.mirror import merge_mirrored, with_mirrored
from action_recognition.pose.runtimes import Runtime, create_runtime
from action_recognition.pose.tensorrt_runtime import engine_path
from action_recognition.skeleton import FloatArray, Poses, within

#: Grey that fills the input where the image does not; training fills with it too.
PADDING = 114
#: The shape of most cameras' images, for which estimators are warmed up.
CAMERA = (640, 480)


class PoseEstimator(Protocol):
    """Anything that finds people in an image; `create_estimator` makes them by name.

    Attributes:
        name: what to show in logs and diagnostics.
        device: where it computes, e.g. 'cpu' or 'cuda:0'.
        runtime: what computes, such as 'openvino bfloat16'.
    """

    name: str
    device: str
    runtime: str

    def estimate(self, image: npt.NDArray[np.uint8], stamp: int = 0) -> Poses:
        """The people in an image (h, w, 3) uint8 BGR taken at `stamp` ns, without identities."""

    def close(self) -> None:
        """Give back the memory of the device; the estimator cannot be used after."""


class CropEstimator(PoseEstimator, Protocol):
    """One that also finds people in crops, which is what `Gaze` needs to follow them.

    It may have `prepare(shape)` besides, to get ready for images of a shape (n, h, w, 3), and
    `require(shape)`, which raises `UserError` if it does not take them.
    """

    def people(self, images: Images) -> list[People]:
        """The people in each of (n, h, w, 3) uint8 BGR images as they are, h and w multiples of 8.

        Joints are in pixels of the image they are in.
        """


def sees_crops(estimator: PoseEstimator) -> TypeGuard[CropEstimator]:
    """Whether an estimator is a `CropEstimator`: ours is, those of others need not be."""
    return hasattr(estimator, 'people')


def prepare(estimator: PoseEstimator, shape: Shape) -> None:
    """Have an estimator get ready for images of this shape (n, h, w, 3), if it can."""
    get_ready = getattr(estimator, 'prepare', None)
    if get_ready:
        get_ready(shape)


def require(estimator: PoseEstimator, shape: Shape) -> None:
    """Raises: UserError, an estimator says that it does not take images (n, h, w, 3) of a shape."""
    ask = getattr(estimator, 'require', None)
    if ask:
        ask(shape)


@dataclass(frozen=True)
class EstimatorConfig:
    """How the network looks at an image.

    Attributes:
        input_size: the image is scaled to about input_size x input_size pixels of area, in its
            own shape; 224 is the paper's. The weights that ship find people of 70 to 220 pixels of
            the input: a person close by wants a smaller size, people far away a larger one.
        stages: how many stages to run, 0 for all that the weights hold.
        decoder: what counts as a joint, a limb, a person.
        runtime: one of `runtimes.RUNTIMES`.
        backend: one of `backends.registry.names()`. Those of others take the thresholds of joints
            and people from the decoder, and nothing else from here.
        flip_test: look at the mirror image as well and take the mean of both answers: surer joints
            for about twice the time.
        threads: of the CPU that run our network, where that is a CPU; 0: as many as PyTorch is set
            to (OMP_NUM_THREADS, or all cores).
        engine: file of TensorRT's engine; '': beside the weights.
    """

    input_size: int = 224
    stages: int = 0
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    runtime: str = 'auto'
    backend: str = registry.OURS
    flip_test: bool = False
    # Not in the repr, by which joints that were found are kept: the same ones are found.
    threads: int = field(default=0, repr=False)
    engine: str = field(default='', repr=False)

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UserError(f'threads must not be negative, not {self.threads}')
        if self.input_size < 4 * STRIDE:
            raise UserError(f'input_size must be at least {4 * STRIDE}, not {self.input_size}')


class LoadedNetwork(NamedTuple):
    """A weights file and the network in it, on the CPU."""

    path: Path
    header: weights.Header
    network: PoseNetwork


def load_network(model: str, stages: int = 0) -> LoadedNetwork:
    """The first stages (0: all) of the network of a published name or weights file.

    Raises:
        UserError: no such weights, weights of something else, or fewer stages than asked for.
    """
    path = weights.find(model)
    header, state = weights.load(path, 'pose')
    try:
        network = PoseNetwork(**header.config)
    except (TypeError, ValueError) as error:
        raise UserError(f'{path} does not describe a pose network ({error})') from error
    weights.restore(network, state, path)
    trained = len(network.joint_stages)
    if not 0 <= stages <= trained:
        raise UserError(f'{path} holds {trained} stages; {stages} were asked for')
    network.keep_stages(stages or trained)
    return LoadedNetwork(path, header, network)


class NetworkEstimator:
    """Our own pose network.

    Args:
        runtime: runs the network.
        name: of its weights.
        calibration: what the height of a peak says.
    """

    def __init__(
        self,
        runtime: Runtime,
        config: EstimatorConfig,
        name: str,
        calibration: ScoreCalibration | None = None,
    ) -> None:
        self.name = name
        self.device = runtime.device
        self.runtime = runtime.name
        self.config = config
        self.calibration = calibration or ScoreCalibration()
        self._runtime: Runtime | None = runtime

    @classmethod
    def from_weights(
        cls, model: str, device: str = 'auto', config: EstimatorConfig | None = None
    ) -> NetworkEstimator:
        """Load a published name or the path of a weights file.

        Raises:
            UserError: no such weights, weights of something else, no such device, or a runtime
                that does not work there.
        """
        config = config or EstimatorConfig()
        path, header, network = load_network(model, config.stages)
        try:
            calibration = ScoreCalibration.from_header(header.calibration)
        except UserError as error:
            raise UserError(f'{path}: {error}') from error
        place = resolve_device(device)
        engine = engine_path(path, config.engine)
        # Where 'auto' chooses, an engine is missed only by who has named one.
        may_be_missed = config.engine or config.runtime != 'auto'
        known = engine if may_be_missed or engine.exists() else None
        runtime = create_runtime(network, place, config.runtime, known, config.threads)
        return cls(runtime, config, header.name, calibration)

    def warm_up(self, size: tuple[int, int] = CAMERA) -> None:
        """Prepare for images of a size (width, height): later the first would wait for that."""
        image = np.zeros((size[1], size[0], 3), np.uint8)
        self.prepare((1, *fit(image, self.config.input_size)[0].shape))
        self.estimate(image)

    def prepare(self, shape: Shape) -> None:
        """Get ready for images of this shape (n, h, w, 3): the first would wait for that."""
        if self._runtime is None:
            raise RuntimeError('the estimator is closed')
        images = np.zeros(shape, np.uint8)
        seen = with_mirrored(images) if self.config.flip_test else images
        self._runtime.prepare(seen.shape)
        self.people(images)
        self.runtime = self._runtime.name  # which may say more once it knows the shape

    def require(self, shape: Shape) -> None:
        """Raises: UserError, the runtime does not take images (n, h, w, 3) of this shape."""
        ask = getattr(self._runtime, 'require', None)
        if ask:
            ask((shape[0] * (2 if self.config.flip_test else 1), *shape[1:]))

    def maps(self, images: Images) -> StageOutput:
        """What the network says of (n, h, w, 3) uint8 BGR images of one size, in multiples of 8.

        Images that are a view, such as every second one or RGB turned to BGR, are copied.

        Returns:
            (n, 14, h/8, w/8) and (n, 26, h/8, w/8) on the device of the runtime, for
            `decode.decode`; they hold until the next call.
        """
        if self._runtime is None:
            raise RuntimeError('the estimator is closed')
        seen = with_mirrored(images) if self.config.flip_test else images
        # Runtimes read memory in its order. That of a view stays when mirror images are joined.
        maps = self._runtime(np.ascontiguousarray(seen))
        return merge_mirrored(maps) if self.config.flip_test else maps

    def people(self, images: Images) -> list[People]:
        """The people in each of (n, h, w, 3) uint8 BGR images as they are, h and w multiples of 8.

        Joints are in pixels of the image they are in.
        """
        found = decode(self.maps(images), self.config.decoder)
        return [People(xy, self.calibration(score)) for xy, score in found]

    def estimate(self, image: npt.NDArray[np.uint8], stamp: int = 0) -> Poses:
        """The people in an image (h, w, 3) uint8 BGR taken at `stamp` ns, without identities.

        Raises:
            ValueError: the image has another shape or type, or no pixels.
        """
        size = image_size(image)
        fitted, scale = fit(image, self.config.input_size)
        ((xy, score),) = self.people(fitted[None])
        # Pixel centres: the centre of the first pixel is (0, 0) before and after scaling.
        people = in_image(People((xy + 0.5) / scale - 0.5, score), size)
        return Poses(*people, stamp=stamp, image_size=size)

    def close(self) -> None:
        """Give back the memory of the device; the estimator cannot be used after."""
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None


def create_estimator(
    model: str = registry.DEFAULT_MODEL, device: str = 'auto', config: EstimatorConfig | None = None
) -> PoseEstimator:
    """The estimator of a backend and model, on a device, warmed up.

    Args:
        model: a published name or weights file; of another backend, what it takes for a model, or
            `registry.DEFAULT_MODEL` for its own default.
        config: names the backend.

    Raises:
        UserError: as `NetworkEstimator.from_weights` and `registry.create`.
    """
    config = config or EstimatorConfig()
    if config.backend != registry.OURS:
        return registry.create(config.backend, model, device, config)
    estimator = NetworkEstimator.from_weights(model, device, config)
    estimator.warm_up()
    return estimator


def image_size(image: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height.

    Raises:
        ValueError: it is no (h, w, 3) uint8 image, or has no pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f'expected an (h, w, 3) uint8 image, not {image.shape} {image.dtype}')
    return image.shape[1], image.shape[0]


def in_image(people: People, size: tuple[int, int]) -> People:
    """What is found within an image (width, height), in its pixels, whatever found it.

    Joints that were guessed beyond the border are not found, nor is a person who has no other.
    """
    seen = within(people.xy, size)
    xy = np.where(seen[..., None], people.xy, np.float32(np.nan))
    score = np.where(seen, people.score, np.float32(0))
    found = score.any(1)
    return People(xy[found], score[found])


def fit(image: npt.NDArray[np.uint8], input_size: int) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Scale an image to about input_size^2 pixels and pad it right and below to whole cells.

    Returns:
        The padded image and the scales (2,) of x and y from image pixels to its pixels. They differ
        a little, for sides are whole pixels.
    """
    height, width = image.shape[:2]
    nominal = input_size / float(np.sqrt(height * width))
    size = max(round(width * nominal), 1), max(round(height * nominal), 1)
    resized = resize(image, size)
    right, below = -size[0] % STRIDE, -size[1] % STRIDE
    padded = cv2.copyMakeBorder(
        resized, 0, below, 0, right, cv2.BORDER_CONSTANT, value=[PADDING] * 3
    )
    return padded, np.array([size[0] / width, size[1] / height], np.float32)


def resize(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Scale an image to a size (width, height), without aliasing where it shrinks."""
    # Halving averages 2x2 pixels, which OpenCV does some ten times as fast as other averages.
    while 2 * size[0] <= image.shape[1] and 2 * size[1] <= image.shape[0]:
        half = image.shape[1] // 2, image.shape[0] // 2
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
