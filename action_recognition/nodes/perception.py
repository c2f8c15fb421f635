"""Perception: images in, the skeletons of tracked people out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from action_recognition import weights
from action_recognition.device import resolve_device
from action_recognition.limits import MAX_PEOPLE
from action_recognition.msg import ActionLabelArray, SkeletonArray
from action_recognition.nodes.common import TRANSPORTS, StageNode, run
from action_recognition.nodes.convert import captions, poses_to_msg, stamp_to_ns
from action_recognition.nodes.images import BgrImage, Picture, bgr_to_image, to_bgr
from action_recognition.nodes.markers import skeleton_markers
from action_recognition.nodes.qos import image_qos, result_qos
from action_recognition.nodes.settings import Setting
from action_recognition.nodes.worker import Worker
from action_recognition.pose.backends.registry import DEFAULT_MODEL, OURS
from action_recognition.pose.decode import DecoderConfig
from action_recognition.pose.estimator import EstimatorConfig, PoseEstimator, create_estimator
from action_recognition.pose.gaze import MODES, LookConfig
from action_recognition.pose.revival import RevivingEstimator
from action_recognition.pose.runtimes import RUNTIMES
from action_recognition.skeleton import NUM_JOINTS, Poses
from action_recognition.stages.perception import Perception, PerceptionConfig
from action_recognition.tracking.tracker import Tracker, TrackerConfig
from action_recognition.visualization.overlay import Caption, draw_people

ESTIMATOR = EstimatorConfig()
DECODER = DecoderConfig()
LOOK = LookConfig()
TRACKER = TrackerConfig()
#: How often an image may come again without a word: our camera sends 3 times in lockstep.
MOST_REPEATS = 2

EstimatorFactory = Callable[[str, str, EstimatorConfig], PoseEstimator]

#: What the layers below the nodes, which know no ROS, warn by.
PACKAGE_LOG = logging.getLogger('action_recognition')


class Warnings(logging.Handler):
    """Passes the text of warnings on."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn

    def emit(self, record: logging.LogRecord) -> None:
        self._warn(record.getMessage())


class PerceptionNode(StageNode):
    """Subscribes `image`, publishes `skeletons`; `annotated` and `markers` where wanted.

    The network runs in a thread of its own on the latest image. Every image is counted once:
    received = processed + repeated + dropped + rejected + errors. What fails after the answer is
    out (drawing, the look for newcomers) counts as late_errors.
    """

    NAME = 'perception'
    SETTINGS = (
        Setting('image_transport', 'raw', 'How images come.', choices=TRANSPORTS),
        Setting(
            'backend',
            ESTIMATOR.backend,
            'What finds people: ours, rtmlib, mediapipe or the name of a plug-in '
            '(docs/backends.md). Others see full images only, and take neither input_size nor '
            'stages nor runtime nor threads nor flip_test.',
        ),
        Setting(
            'model',
            DEFAULT_MODEL,
            'Name of pose weights, or the path of a .safetensors file; of another backend, what '
            "it takes for a model, or 'pose' for its default.",
        ),
        Setting(
            'device', 'auto', "Where to compute: 'auto' (a GPU if there is one), 'cpu', 'cuda'."
        ),
        Setting(
            'input_size',
            ESTIMATOR.input_size,
            'Images are scaled to about this squared in area: larger sees smaller people, slower.',
            64,
            1024,
        ),
        Setting(
            'stages', ESTIMATOR.stages, 'Stages of the network to run; 0: all trained ones.', 0, 6
        ),
        Setting(
            'runtime',
            ESTIMATOR.runtime,
            'What computes the network; auto: the fastest one that is installed and works.',
            choices=RUNTIMES,
        ),
        Setting(
            'threads',
            ESTIMATOR.threads,
            'Threads of the CPU that compute the network, where no GPU does; 0: as many as '
            'OMP_NUM_THREADS says, or one for each core.',
            0,
            1024,
        ),
        Setting(
            'engine',
            ESTIMATOR.engine,
            'File of the TensorRT engine, as action-recognition export tensorrt --out wrote it; '
            'empty: beside the weights.',
        ),
        Setting(
            'flip_test',
            ESTIMATOR.flip_test,
            'Show the network the mirror image as well: surer joints for twice the time.',
        ),
        Setting(
            'decoder.joint_threshold', DECODER.joint_threshold, 'Least score of a joint.', 0, 1
        ),
        Setting('decoder.limb_threshold', DECODER.limb_threshold, 'Least score of a limb.', 0, 1),
        Setting(
            'decoder.min_joints', DECODER.min_joints, 'Least joints of a person.', 1, NUM_JOINTS
        ),
        Setting(
            'decoder.min_score', DECODER.min_score, 'Least mean score of the joints found.', 0, 1
        ),
        Setting(
            'decoder.max_people', DECODER.max_people, 'Most people in an image.', 1, MAX_PEOPLE
        ),
        Setting(
            'look.mode',
            LOOK.mode,
            'What the network sees: the full image, or crops round the people who are known.',
            choices=MODES,
            live=True,
        ),
        Setting(
            'look.full_every',
            LOOK.full_every,
            'With crops, the full image is seen at least in every so many images, for newcomers.',
            1,
            1000,
            live=True,
        ),
        Setting(
            'look.crop_size',
            LOOK.crop_size,
            "Side of a crop in pixels of the network's input, a multiple of 8.",
            32,
            512,
            live=True,
        ),
        Setting(
            'look.margin',
            LOOK.margin,
            "Room round a person in a crop, on every side, in parts of the person's longer side.",
            0,
            2,
            live=True,
        ),
        Setting(
            'look.max_crops',
            LOOK.max_crops,
            'Most crops of an image; with more people the full image is seen every time.',
            1,
            16,
            live=True,
        ),
        Setting(
            'tracker.high_score',
            TRACKER.high_score,
            'Mean score over all joints from which a person may begin a track.',
            0,
            1,
            live=True,
        ),
        Setting(
            'tracker.low_score',
            TRACKER.low_score,
            'Mean score over all joints from which a person may prolong a track.',
            0,
            1,
            live=True,
        ),
        Setting(
            'tracker.match_similarity',
            TRACKER.match_similarity,
            'Least likeness (OKS) of a person to the prediction of a track.',
            0.01,
            1,
            live=True,
        ),
        Setting(
            'tracker.duplicate_similarity',
            TRACKER.duplicate_similarity,
            'Likeness (OKS) above which two poses of one image are the same person.',
            0.01,
            1,
            live=True,
        ),
        Setting(
            'tracker.confirmations',
            TRACKER.confirmations,
            'Images in a row in which a newcomer must be seen to get an id.',
            1,
            100,
            live=True,
        ),
        Setting(
            'tracker.max_lost',
            TRACKER.max_lost,
            'Seconds without sight after which a track ends. Above forget_after of the recognizer, '
            'a label may end and begin anew under the same track_id.',
            0,
            60,
            live=True,
        ),
    )

    def __init__(
        self, *, estimator_factory: EstimatorFactory = create_estimator, **node_options: Any
    ) -> None:
        super().__init__(**node_options)
        self._warnings = Warnings(lambda text: self.warn(text, text))
        #: Receivers of every result in this process, called in the thread of the network.
        self.receivers: list[Callable[[Header, Poses], None]] = []
        #: Whether images come from the topic; the pipeline hands them over in memory instead.
        self.subscribes = True
        #: Whether labels come from the topic; as `subscribes`.
        self.listens = True
        self.health.expects_input = True
        self._estimator_factory = estimator_factory
        # Of the activation; None between two, and once it was given up because the device hangs.
        self._stage: Perception | None = None
        # Ids go on, or whoever listens would take a newcomer of the next activation for somebody of
        # the last.
        self._tracker = Tracker()
        self._worker: Worker[Image | CompressedImage | Picture] | None = None
        self._captions: dict[int, Caption] = {}

    def configure(self) -> None:
        config = self._config({})
        if config.estimator.backend == OURS:  # others know their models and devices themselves
            weights.read_header(weights.find(config.model), 'pose')
            resolve_device(config.device)
        self._skeletons = self.advertise(SkeletonArray, 'skeletons', result_qos())
        self._annotated = self.advertise(Image, 'annotated', image_qos())
        self._markers = self.advertise(MarkerArray, 'markers', result_qos())

    def start(self) -> None:
        PACKAGE_LOG.addHandler(self._warnings)
        config = self._config({})
        estimator = RevivingEstimator(
            lambda device: self._estimator_factory(config.model, device, config.estimator),
            config.device,
            self._on_revival,
        )
        stage = Perception(estimator, config.look, timed=self.health.timed)
        self._tracker = stage.tracker = self._tracker.successor()
        stage.tracker.config = config.tracker
        self._stage = stage
        # Otherwise people would wait for that whenever there are more of them than ever before.
        stage.gaze.warm_up()
        self._header = Header()
        self._captions = {}
        self._describe(estimator)
        self._worker = self.worker(
            'perception', 'image', partial(self._process, stage), partial(self._close, stage)
        )
        if self.listens:
            self.subscribe(ActionLabelArray, 'actions', self.caption, result_qos())
        if self.subscribes:
            self.subscribe_images('image', self.value('image_transport'), self._worker)
        self.get_logger().info(
            f'{estimator.name} runs on {estimator.device} by {estimator.runtime}'
        )

    def stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker:
            self.end_worker(worker)
        elif self._stage:  # what came after the network failed
            self._close(self._stage)
        self._stage = None
        PACKAGE_LOG.removeHandler(self._warnings)

    def apply(self, changes: Mapping[str, Any]) -> None:
        config = self._config(changes)
        if self._stage:
            self._stage.gaze.require(config.look)
            self._stage.tracker.config = config.tracker
            self._stage.gaze.config = config.look

    def accept(self, picture: Picture) -> bool:
        """Take an image from a stage in this process, as if it had come by the topic.

        Returns:
            False if the node is not active and refuses it.
        """
        worker = self._worker
        if not worker:
            return False
        self.health.received()
        self.health.count('dropped', worker.offer(picture))
        return True

    def _describe(self, estimator: PoseEstimator) -> None:
        self.health.fact('model', estimator.name)
        self.health.fact('device', estimator.device)
        self.health.fact('runtime', estimator.runtime)

    def _on_revival(self, estimator: PoseEstimator) -> None:
        self._describe(estimator)
        self.health.count('revivals')
        self.warn('revival', f'the estimator kept failing: a new one runs on {estimator.device}')

    def _config(self, changes: Mapping[str, Any]) -> PerceptionConfig:
        values = {setting.name: self.value(setting.name) for setting in self.SETTINGS}
        return PerceptionConfig.from_parameters({**values, **changes})

    def _close(self, stage: Perception) -> None:
        # A GPU that is lost may not even close.
        self.attempt(stage.gaze.estimator.close, 'late_errors')

    def _process(self, stage: Perception, item: Image | CompressedImage | Picture) -> None:
        stamp = stamp_to_ns(item.header.stamp)
        poses, image, repeats, full, crops = stage.process(stamp, partial(to_bgr, item))
        if stage is not self._stage:
            return  # it hung until the node was stopped: nobody waits for its answer any more
        if image is None:
            # Either the sender missed the answer and sends again, or its driver does not stamp
            # images.
            if repeats > MOST_REPEATS:
                self.warn(
                    'repeated',
                    f'images come with the stamp of the one before ({stamp} ns) and get the same '
                    'answer: the camera driver must stamp its images',
                )
            self.health.count('repeated')
            self._publish(self._header, poses)
            return
        self._header = item.header
        self.health.count('full_images', full)
        self.health.count('crops', crops)
        self._publish(item.header, poses)
        self.health.count('processed')
        self.health.count('people', len(poses))
        # What can wait until the answer is out. Who is not drawn is looked for all the same.
        self.attempt(partial(self._draw, item.header, image, poses), 'late_errors')
        self.attempt(partial(self._look_around, stage), 'late_errors')

    def _look_around(self, stage: Perception) -> None:
        self.health.count('full_images', stage.look_around())

    def _publish(self, header: Header, poses: Poses) -> None:
        # In the pipeline these make the labels, for which more people wait than for skeletons.
        for receive in self.receivers:
            receive(header, poses)
        with self.health.timed('publish'):
            self.health.sent('skeletons')
            # For ten people, building the message takes longer than tracking them.
            if self._skeletons.get_subscription_count():
                self._skeletons.publish(poses_to_msg(poses, header))

    def _draw(self, header: Header, image: BgrImage, poses: Poses) -> None:
        if self._markers.get_subscription_count():
            self._markers.publish(skeleton_markers(poses, header))
        if self._annotated.get_subscription_count():
            with self.health.timed('draw'):
                picture = draw_people(image, poses, self._captions)
                self._annotated.publish(bgr_to_image(picture, header))

    def caption(self, message: ActionLabelArray) -> None:
        """Write these labels over the people of the images to come."""
        self._captions = captions(message)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    return run(lambda: [PerceptionNode()], args)


if __name__ == '__main__':
    sys.exit(main())
