"""The whole network of a base, trained on by what several networks make of a few clips.

What a network learns from a few dozen clips depends much on chance, and the features of a base see
other things than it does. So some networks learn from the clips alone, and one that starts from
the base learns what they and the head on the features of the base answer on average (Hinton et al.
2015, arXiv 1503.02531): one network of the usual size, which errs less than each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.evaluation.action import clip_logits
from action_recognition.recognition.batch_renorm import set_progress
from action_recognition.recognition.models import create_model
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.skeleton import FloatArray
from action_recognition.training import loop
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Batch, Sampler
from action_recognition.training.action_loss import distillation_loss, loss_of
from action_recognition.training.augment import Augmentation
from action_recognition.training.background import Background
from action_recognition.training.teach_head import MOVING, motion

#: Networks that learn from the clips alone, and the steps of each.
TEACHERS, STEPS = 3, 120
#: Steps of the one that learns from them.
STUDENT_STEPS = 240
BATCH = 32
#: Of the average that is kept.
DECAY = 0.98
#: Share of samples in which nobody does anything.
BACKGROUND = 0.1


def fit(
    base: OnlineRecognizer,
    settings: dict[str, Any],
    head: OnlineRecognizer,
    clips: Sequence[SkeletonClip],
    labels: Sequence[str],
    augmentation: Augmentation,
    seed: int,
) -> OnlineRecognizer:
    """A model that starts as a base with a classifier of its own.

    Args:
        settings: of the base, to build its network again.
        head: another model of these labels, taught by the same clips.
        labels: of the model.
    """
    config, sampler = _samples(clips, labels, augmentation)
    teachers: list[nn.Module] = [head]
    for number in range(1, TEACHERS + 1):
        loop.seed_everything(seed, number)
        network = create_model('online', len(labels), **settings)

        def loss(batch: Batch, network: nn.Module = network) -> Tensor:
            return loss_of(network, batch, config)[0]

        teachers.append(_learn(network, loss, sampler, config, STEPS, (seed, number), fresh=True))
    loop.seed_everything(seed)
    student = create_model('online', len(labels), **settings)
    known = {k: v for k, v in base.state_dict().items() if not k.startswith('classifier')}
    student.load_state_dict({**student.state_dict(), **known})
    model = _learn(
        student,
        lambda batch: distillation_loss(student, teachers, batch, config)[0],
        sampler,
        config,
        STUDENT_STEPS,
        (seed, 0),
        fresh=False,
    )
    assert isinstance(model, OnlineRecognizer)
    return model


def _samples(
    clips: Sequence[SkeletonClip], labels: Sequence[str], augmentation: Augmentation
) -> tuple[ActionConfig, Sampler]:
    """How to learn, and what from: the clips, and people who do nothing if that is a label."""
    background = None
    if BACKGROUND_LABEL in labels:
        try:
            background = Background([clip for clip in clips if motion(clip) >= MOVING], ())
        except ValueError:
            background = None
    config = ActionConfig(
        name='taught',
        model='online',
        batch=BATCH,
        mixup=0.4,
        background=BACKGROUND if background else 0.0,
        augmentation=augmentation,
    )
    repeated = [*clips] * math.ceil(BATCH / len(clips))
    return config, Sampler(config, repeated, labels, {}, background)


def _learn(
    network: nn.Module,
    loss_of_batch: Callable[[Batch], Tensor],
    sampler: Sampler,
    config: ActionConfig,
    steps: int,
    seed: tuple[int, ...],
    fresh: bool,
) -> nn.Module:
    """The average of a network over its training.

    Args:
        fresh: its normalisation knows nothing yet. Statistics of a base are good from the start:
            they are used as at the end of a training.
    """
    ema = loop.Ema(network, DECAY)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay)
    network.train()
    done, epoch = 0, 0
    while done < steps:
        rng = loop.seed_everything(*seed, epoch)
        for batch in sampler.batches(rng):
            if done == steps:
                break
            progress = done / steps
            set_progress(network, progress if fresh else 1.0)
            for group in optimiser.param_groups:
                group['lr'] = config.learning_rate * loop.cosine(progress, config.warm_up)
            loss = loss_of_batch(batch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_gradient)
            optimiser.step()
            ema.update(network)
            done += 1
        epoch += 1
    return ema.model


def answers(model: OnlineRecognizer, clips: Sequence[SkeletonClip]) -> list[FloatArray]:
    """(T, labels) logits after each frame of each clip."""
    return [np.asarray(logits) for logits in clip_logits(model, clips)]
