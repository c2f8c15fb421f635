"""The whole network of a base, trained on at a lower rate than its new classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from action_recognition.classes import BACKGROUND_LABEL
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.evaluation.action import clip_logits
from action_recognition.recognition.batch_renorm import set_progress
from action_recognition.recognition.models import create_model
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.skeleton import FloatArray
from action_recognition.training import loop
from action_recognition.training.action import ActionConfig, Sampler, loss_of
from action_recognition.training.augment import Augmentation
from action_recognition.training.background import Background
from action_recognition.training.teach_head import MOVING, motion

STEPS, BATCH = 120, 32
#: Of the rate of the classifier, for what the base has learnt.
SLOWER = 0.3
#: Of the average that is kept.
DECAY = 0.98
#: Share of samples in which nobody does anything.
BACKGROUND = 0.1


def fit(
    base: OnlineRecognizer,
    settings: dict[str, Any],
    clips: Sequence[SkeletonClip],
    labels: Sequence[str],
    augmentation: Augmentation,
    seed: int,
) -> OnlineRecognizer:
    """A model that starts as a base with a classifier of its own.

    Args:
        settings: of the base, to build its network again.
        labels: of the model.
    """
    loop.seed_everything(seed)
    network = create_model('online', len(labels), **settings)
    assert isinstance(network, OnlineRecognizer)
    known = {k: v for k, v in base.state_dict().items() if not k.startswith('classifier')}
    network.load_state_dict({**network.state_dict(), **known})
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
    sampler = Sampler(config, repeated, labels, {}, background)
    ema = loop.Ema(network, DECAY)
    new = [*network.classifier.parameters()]
    old = [p for name, p in network.named_parameters() if not name.startswith('classifier')]
    optimiser = torch.optim.AdamW(
        [{'params': new, 'share': 1.0}, {'params': old, 'share': SLOWER}],
        weight_decay=config.weight_decay,
    )
    # Statistics of the base are good from the start: normalise by them as at the end of a training.
    set_progress(network, 1.0)
    network.train()
    done, epoch = 0, 0
    while done < STEPS:
        rng = loop.seed_everything(seed, epoch)
        for batch in sampler.batches(rng):
            if done == STEPS:
                break
            rate = config.learning_rate * loop.cosine(done / STEPS, config.warm_up)
            for group in optimiser.param_groups:
                group['lr'] = rate * group['share']
            loss, _ = loss_of(network, batch, config)
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
