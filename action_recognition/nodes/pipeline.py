"""Pipeline: camera, perception and recognizer in one process, images handed over in memory.

The three are the very nodes that also run as processes of their own, with the same names,
parameters, topics and results; only the way between them is shorter. Without a `source` there is
no camera: perception subscribes to `image`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from action_recognition.nodes.camera import CameraNode
from action_recognition.nodes.common import StageNode, run
from action_recognition.nodes.convert import stamp_to_ns
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.recognizer import RecognizerNode


def connect(
    camera: CameraNode | None, perception: PerceptionNode, recognizer: RecognizerNode
) -> None:
    """Hand over in memory what the nodes would otherwise exchange by topics.

    Topics between them are published all the same for whoever listens, `image` only if somebody
    does.
    """
    perception.receivers.append(recognizer.accept)
    recognizer.subscribes = False
    recognizer.receivers.append(perception.caption)
    perception.listens = False
    if camera is None:
        return
    camera.receivers.append(perception.accept)
    camera.awaited += [perception, recognizer]
    perception.subscribes = False
    perception.receivers.append(
        lambda header, _: camera.acknowledge('skeletons', stamp_to_ns(header.stamp))
    )
    recognizer.receivers.append(
        lambda actions: camera.acknowledge('actions', stamp_to_ns(actions.header.stamp))
    )


def build() -> list[StageNode]:
    """The nodes, the last stage first: it listens when the stage before it begins."""
    recognizer, perception, camera = RecognizerNode(), PerceptionNode(), CameraNode()
    if camera.value('source'):
        connect(camera, perception, recognizer)
        return [recognizer, perception, camera]
    camera.destroy_node()
    connect(None, perception, recognizer)
    return [recognizer, perception]


def main(args: Sequence[str] | None = None) -> int:
    """Run the nodes until they are interrupted."""
    return run(build, args)


if __name__ == '__main__':
    sys.exit(main())
