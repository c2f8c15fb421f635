"""Batch Renormalisation against a plain float64 reading of Ioffe 2017, algorithm 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition.recognition.batch_renorm import (
    Affine,
    BatchRenorm,
    fold,
    limits,
    set_progress,
)


class Reference:
    """Algorithm 1, forward only, one row per sample."""

    def __init__(self, features: int, momentum: float, epsilon: float) -> None:
        self.mean, self.std = np.zeros(features), np.ones(features)
        self.momentum, self.epsilon, self.updates = momentum, epsilon, 0

    def train(self, x: np.ndarray, r_max: float, d_max: float) -> np.ndarray:
        mean = x.mean(0)
        std = np.sqrt(self.epsilon + ((x - mean) ** 2).mean(0))
        r = np.clip(std / self.std, 1 / r_max, r_max)
        d = np.clip((mean - self.mean) / self.std, -d_max, d_max)
        self.updates += 1
        momentum = max(self.momentum, 1 / self.updates)
        self.mean += momentum * (mean - self.mean)
        self.std += momentum * (std - self.std)
        return (x - mean) / std * r + d


@pytest.mark.parametrize('masked', [False, True])
def test_training_and_running_statistics_match_the_reference(masked):
    rng = np.random.default_rng(0)
    layer = BatchRenorm(3, momentum=0.1).double()
    reference = Reference(3, 0.1, layer.epsilon)
    for step in range(30):
        set_progress(layer, step / 30)
        x = rng.normal(5, 3, (6, 7, 3)) * [1, 10, 0.1]
        mask = rng.random((6, 7)) < 0.7 if masked else np.ones((6, 7), bool)
        x[~mask] = 1e6  # padding must not leak into any statistic
        expected = reference.train(x[mask], *limits(step / 30))
        out = layer(torch.from_numpy(x), torch.from_numpy(mask) if masked else None)
        np.testing.assert_allclose(out.detach()[torch.from_numpy(mask)], expected, rtol=1e-9)
    np.testing.assert_allclose(layer.running_mean, reference.mean)
    np.testing.assert_allclose(layer.running_std, reference.std)
    x = rng.normal(5, 3, (4, 3))
    expected = (x - reference.mean) / reference.std
    np.testing.assert_allclose(layer.eval()(torch.from_numpy(x)).detach(), expected)


def test_r_and_d_carry_no_gradient():
    layer = BatchRenorm(2).double()
    layer.r_max, layer.d_max = 3.0, 5.0
    layer.running_mean.fill_(0.3)
    layer.running_std.fill_(1.7)
    x = torch.randn(5, 2, dtype=torch.double, requires_grad=True)
    weight = torch.randn(5, 2, dtype=torch.double)
    (layer(x) * weight).sum().backward()
    with torch.no_grad():
        std = (x.var(0, unbiased=False) + layer.epsilon).sqrt()
        r = (std / 1.7).clamp(1 / 3, 3)
    plain = x.detach().clone().requires_grad_()
    std = (plain.var(0, unbiased=False) + layer.epsilon).sqrt()
    (((plain - plain.mean(0)) / std * r) * weight).sum().backward()
    torch.testing.assert_close(x.grad, plain.grad)


def test_limits_start_as_batch_normalisation_and_end_at_ioffes():
    assert limits(0.0) == limits(5 / 130) == (1.0, 0.0)
    assert limits(25 / 130)[1] == 5.0
    assert limits(25 / 130)[0] < 3.0
    assert limits(40 / 130) == limits(1.0) == (3.0, 5.0)


def test_folding_replaces_every_layer_by_an_equal_affine():
    model = torch.nn.Sequential(
        BatchRenorm(4), torch.nn.Sequential(torch.nn.Linear(4, 4), BatchRenorm(4))
    )
    for _ in range(20):
        model(torch.randn(8, 4) * 3 + 1)
    model.eval()
    x = torch.randn(5, 4)
    expected = model(x)
    fold(model)
    assert isinstance(model[0], Affine)
    assert isinstance(model[1][1], Affine)
    torch.testing.assert_close(model(x), expected)
