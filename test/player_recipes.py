"""For tests that play bags into a graph: people, a recogniser of them, and one thread for both."""

from __future__ import annotations

import numpy as np
import torch
from bag_recipes import START

from action_recognition.recognition.models import create_model
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import NUM_JOINTS, Poses

LABELS = ('background', 'clap', 'run', 'wave')
STEP = 33_333_333


def recogniser():
    """Untrained, and sure enough for labels to come and go."""
    torch.manual_seed(3)
    network = create_model('online', len(LABELS))
    with torch.no_grad():
        network.classifier.weight *= 300
    return StreamingRecognizer(network.eval(), LABELS)


def crowd(count):
    """Two people who wander; one leaves for longer than a person is remembered."""
    rng = np.random.default_rng(0)
    base = rng.uniform(50, 200, (2, NUM_JOINTS, 2)) + 200 * np.arange(2)[:, None, None]
    frames = []
    for t in range(count):
        base = base + rng.normal(0, 4, base.shape)
        rows = [0] if 20 <= t < 90 else [0, 1]
        frames.append(
            Poses(
                base[rows],
                np.full((len(rows), NUM_JOINTS), 0.9),
                np.array([3, 7])[rows],
                START + t * STEP,
                (640, 480),
            )
        )
    return frames


class Pump:
    """Lets the graph of a test answer while the player waits: both are in one thread."""

    def __init__(self, player, graph):
        spin = player._executor.spin_once

        def both(timeout_sec=None):
            graph.executor.spin_once(timeout_sec=0)
            spin(timeout_sec=0.001)

        player._executor.spin_once = both
