"""`benchmark recognizer`: the time of a frame, beside recognisers that recompute a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from action_recognition.benchmarking import speed
from action_recognition.benchmarking.ddnet import DdNet
from action_recognition.benchmarking.lstm import WindowLstm
from action_recognition.benchmarking.network_peer import network_step
from action_recognition.benchmarking.peer import Step
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import Poses

#: Peers with random weights, on which their speed does not depend.
PEERS = {'lstm': WindowLstm, 'ddnet': DdNet}


def run(model: str, people: Sequence[int], threads: int, rounds: int = 20) -> dict[str, Any]:
    """Time the recogniser and its peers on made-up people, all joints seen, on the CPU.

    Args:
        model: name or path of the weights of the recogniser.
        people: numbers of people in view, each measured by itself.
        rounds: turns of `speed.TURN` frames that each stream takes.

    Returns:
        Under `rows` for each number of people the times of `update` (features, model, labels),
        `step` (features and model alone) and of each peer; `ratio` is the time over that of
        `update`. At the top the times of `update` for the first number of people, and as `ratio`
        how much longer the quicker one of the peers takes.

    Raises:
        UserError: the weights cannot be used.
    """
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for count in people:
        recognizer = StreamingRecognizer.from_weights(model)
        steps: dict[str, Step] = {'update': recognizer.update, 'step': _step(model)}
        steps |= {name: network_step(net(len(recognizer.labels))) for name, net in PEERS.items()}
        found = {n: speed.summary(t) for n, t in speed.milliseconds(steps, count, rounds).items()}
        ours = found['update']['ms_median']
        rows += [
            {'what': name, 'people': count, **row, 'ratio': row['ms_median'] / ours}
            for name, row in found.items()
        ]
    first = {row['what']: row for row in rows if row['people'] == people[0]}
    peer = min(PEERS, key=lambda name: first[name]['ms_median'])
    return {
        'model': model,
        'people': people[0],
        **{key: first['update'][key] for key in ('ms_median', 'ms_p95', 'fps')},
        'peer': peer,
        'ratio': first[peer]['ratio'],
        'device': 'cpu',
        'threads': threads,
        'rows': rows,
    }


def _step(model: str) -> Step:
    """Features and model of a recogniser of its own, without what it makes of the answers."""
    memory = StreamingRecognizer.from_weights(model)._memory

    @torch.inference_mode()
    def step(poses: Poses) -> Any:
        return memory.update(poses)

    return step
