"""Batch Renormalisation (Ioffe 2017, arXiv 1702.03275): the paper's BReN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Where Ioffe's limits change, as fractions of the run: plain batch normalisation until step
#: 5k, d_max reaches 5 at 25k and r_max reaches 3 at 40k of about 130k steps (section 4).
WARM_UP, D_FULL, R_FULL = 5 / 130, 25 / 130, 40 / 130
R_LIMIT, D_LIMIT = 3.0, 5.0


class BatchRenorm(nn.Module):
    """Normalises the last axis over all others; training and inference see the same transform.

    In training the batch statistics are corrected towards the running ones by
    r = clip(std / running_std) and d = clip((mean - running_mean) / running_std), through which
    no gradient flows; in inference it is a plain affine of the running statistics.

    The running statistics are the mean over all batches until that memory is 1 / momentum long.

    Attributes:
        r_max, d_max: limits of the correction; 1 and 0 make it batch normalisation.
            `set_progress` moves them along the schedule.
    """

    def __init__(self, features: int, momentum: float = 0.01, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.r_max, self.d_max = 1.0, 0.0
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.running_mean: Tensor
        self.running_std: Tensor
        self.register_buffer('running_mean', torch.zeros(features))
        self.register_buffer('running_std', torch.ones(features))
        self.updates: Tensor
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise.

        Args:
            x: (..., features).
            mask: (...) bool, False where a step is padding and must not count.
        """
        if not self.training:
            scale, shift = self.affine()
            return x * scale + shift
        with torch.autocast(x.device.type, enabled=False):
            return self._train(x.float() if x.dtype != torch.double else x, mask)

    def _train(self, x: Tensor, mask: Tensor | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        # Weights of the rows that sum to 1; a product with them is far faster than indexing.
        share = rows.new_ones(len(rows)) if mask is None else mask.reshape(-1).to(rows.dtype)
        share = share / share.sum()
        mean = share @ rows
        std = (share @ (rows - mean).square() + self.epsilon).sqrt()
        with torch.no_grad():
            self.updates += 1
            # A plain mean at first: short runs cannot wait for the memory of 0 and 1 to fade.
            momentum = max(self.momentum, 1 / int(self.updates))
            r = (std / self.running_std).clamp(1 / self.r_max, self.r_max)
            d = ((mean - self.running_mean) / self.running_std).clamp(-self.d_max, self.d_max)
            self.running_mean.lerp_(mean, momentum)
            self.running_std.lerp_(std, momentum)
        scale = r * self.weight / std
        return torch.addcmul(d * self.weight + self.bias - mean * scale, x, scale)

    def affine(self) -> tuple[Tensor, Tensor]:
        """The (features,) scale and shift that inference applies."""
        scale = self.weight / self.running_std
        return scale, self.bias - self.running_mean * scale


class Affine(nn.Module):
    """A folded `BatchRenorm`: one multiply-add."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer('scale', scale.detach().clone())
        self.register_buffer('shift', shift.detach().clone())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scale and shift; `mask` is accepted so that it replaces `BatchRenorm`."""
        return torch.addcmul(self.shift, x, self.scale)

    def affine(self) -> tuple[Tensor, Tensor]:
        """The (features,) scale and shift, as of the `BatchRenorm` it was."""
        return self.scale, self.shift


def limits(progress: float) -> tuple[float, float]:
    """r_max and d_max when a fraction `progress` of the training steps is done."""
    r = (progress - WARM_UP) / (R_FULL - WARM_UP)
    d = (progress - WARM_UP) / (D_FULL - WARM_UP)
    return 1 + (R_LIMIT - 1) * min(max(r, 0.0), 1.0), D_LIMIT * min(max(d, 0.0), 1.0)


def set_progress(model: nn.Module, progress: float) -> None:
    """Move every `BatchRenorm` of a model along the schedule (0 start, 1 end of training)."""
    for module in model.modules():
        if isinstance(module, BatchRenorm):
            module.r_max, module.d_max = limits(progress)


def fold(model: nn.Module) -> nn.Module:
    """Replace every `BatchRenorm` of a model by its `Affine`, in place, for inference only."""
    for name, child in model.named_children():
        if isinstance(child, BatchRenorm):
            setattr(model, name, Affine(*child.affine()))
        else:
            fold(child)
    return model.eval()
