"""What the recognisers are trained to make small."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from action_recognition.datasets.streams import UNSCORED
from action_recognition.recognition.features import ELAPSED
from action_recognition.training.action_config import ActionConfig
from action_recognition.training.action_data import Batch


def loss_of(model: nn.Module, batch: Batch, config: ActionConfig) -> tuple[Tensor, Tensor]:
    """Mean loss per sample, and how many samples are right at their last scored frame.

    The online model is asked after every frame. Each sample counts alike; a frame counts more
    once its action has gone on for `settling_time` seconds, and the last frames of the actions
    have `final_share` of the weight together.
    """
    rows, last, target = _ends(batch)
    if config.model == 'paper':
        logits = model(batch.x)
        loss = functional.cross_entropy(logits, target, label_smoothing=config.label_smoothing)
        return loss, (logits.argmax(-1) == target).sum()
    mixed, other, own = _mix(batch, config.mixup)
    logits = model(mixed.x, mixed.mask).float()
    loss = _loss_of_frames(logits, batch, config)
    if own < 1:
        loss = torch.lerp(_loss_of_frames(logits, other, config), loss, own)
    return loss, (logits[rows, last].argmax(-1) == target).sum()


def _ends(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The samples, the last scored frame of each, and its target, (n,) each."""
    rows = torch.arange(len(batch.target), device=batch.target.device)
    scored = batch.target != UNSCORED
    last = scored.shape[1] - 1 - scored.flip(1).int().argmax(1)
    return rows, last, batch.target[rows, last]


def distillation_loss(
    model: nn.Module, teachers: Sequence[nn.Module], batch: Batch, config: ActionConfig
) -> tuple[Tensor, Tensor]:
    """As `loss_of`, against what teachers of the online model answer on average.

    Student and teachers see the same mixed samples (Beyer et al. 2022, arXiv 2106.05237), so that
    mixtures need no targets of their own. Frames count as in `loss_of`, by the sample's own
    actions.
    """
    mixed, _, _ = _mix(batch, config.mixup)
    with torch.no_grad():
        answers = [teacher(mixed.x, mixed.mask).float().softmax(-1) for teacher in teachers]
    target = torch.stack(answers).mean(0)
    logits = model(mixed.x, mixed.mask).float()
    losses = functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(0, 1), reduction='none'
    ).view_as(batch.target)
    rows, last, true = _ends(batch)
    hits = (logits[rows, last].argmax(-1) == true).sum()
    return _mean_over_frames(losses, batch, config), hits


def _mix(batch: Batch, mixup: float) -> tuple[Batch, Batch, float]:
    """Samples with others mixed into them.

    Returns:
        The mixture, the batch whose targets hold for what was mixed in, and the share of their
        own in each sample: at least one half.
    """
    if not mixup:
        return batch, batch, 1.0
    own = float(torch.distributions.Beta(mixup, mixup).sample())
    own = max(own, 1 - own)
    other = batch.select(torch.randperm(len(batch.x)))
    both = batch.mask & other.mask
    x = torch.where(both[..., None], torch.lerp(other.x, batch.x, own), batch.x)
    x[..., ELAPSED] = batch.x[..., ELAPSED]
    target = torch.where(both, other.target, batch.target)
    return batch._replace(x=x), batch._replace(target=target), own


def _loss_of_frames(logits: Tensor, batch: Batch, config: ActionConfig) -> Tensor:
    """Mean loss of a sample.

    Args:
        logits: (samples, steps, classes).
    """
    losses = functional.cross_entropy(
        logits.flatten(0, 1),
        batch.target.flatten(),
        reduction='none',
        ignore_index=UNSCORED,
        label_smoothing=config.label_smoothing,
    ).view_as(batch.target)
    return _mean_over_frames(losses, batch, config)


def _mean_over_frames(losses: Tensor, batch: Batch, config: ActionConfig) -> Tensor:
    """Mean loss of a sample of (samples, steps) losses, of which those to be scored count."""
    scored = batch.target != UNSCORED
    since, ends = _in_segments(batch)
    frame_weights = scored * -torch.expm1(-(since + 0.03) / config.settling_time)
    # Of a mixture, the part that was mixed in may have no scored frame.
    mean = (losses * frame_weights).sum(1) / frame_weights.sum(1).clamp(min=1e-6)
    final = (losses * ends).sum(1) / ends.sum(1).clamp(min=1)
    return torch.lerp(mean, final, config.final_share).mean()


def _in_segments(batch: Batch) -> tuple[Tensor, Tensor]:
    """Seconds since the begin of the action of each frame, and True at the last one of each."""
    changes = batch.target[:, 1:] != batch.target[:, :-1]
    outside = changes.new_ones(len(changes), 1)
    scored = batch.target != UNSCORED
    starts, ends = (scored & torch.cat(x, 1) for x in ([outside, changes], [changes, outside]))
    time = batch.x[..., ELAPSED].cumsum(1)
    began = torch.where(starts, time, 0).cummax(1).values  # time never decreases
    return time - began, ends
