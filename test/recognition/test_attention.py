"""Attention with random weight sharing, against loops written from the equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition.recognition.attention import RandomSharingAttention, StreamingAttention


@pytest.mark.parametrize('sharing', [0.0, 0.3, 1.0])
def test_inference_weights_are_the_expectation_of_equations_6_and_7(sharing):
    layer = RandomSharingAttention(5, sharing).eval()
    h = torch.randn(2, 5, 3)
    scores = (
        np.einsum('st,btd->bsd', layer.connect.weight.detach(), h)
        + (layer.connect.bias.detach().numpy()[:, None])
    )
    own = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    expected = (1 - sharing) * own + sharing * own.mean(2, keepdims=True)
    np.testing.assert_allclose(layer.weights(h).detach(), expected, rtol=1e-5)
    np.testing.assert_allclose(layer(h).detach(), expected * h.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.weights(h).sum(1).detach(), np.ones((2, 3)), rtol=1e-5)


def test_in_training_a_dimension_has_either_its_own_or_the_mean_weights():
    torch.manual_seed(0)
    layer = RandomSharingAttention(4, 0.25)
    h = torch.randn(500, 4, 8)
    weights = layer.weights(h)
    own = layer.connect(h.transpose(1, 2)).softmax(-1).transpose(1, 2)
    shares = torch.isclose(weights, own.mean(2, keepdim=True)).all(1)
    keeps = torch.isclose(weights, own).all(1)
    assert (shares ^ keeps).all()
    assert abs(shares.float().mean() - 0.25) < 0.03


def reference(layer: StreamingAttention, h: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
    """(2, steps, dimensions), own and shared: a softmax over the past, for each frame anew."""
    weight, bias = (p.detach().double().numpy() for p in layer.logits.parameters())
    rate = np.log1p(np.exp(layer.raw_rate.detach().double().numpy()))
    scores, time = h @ weight.T + bias, elapsed.cumsum()
    out = np.empty((2, len(h), h.shape[1]))
    for t in range(len(h)):
        age = (time[t] - time[: t + 1])[:, None]
        own = np.exp(scores[: t + 1] - age * rate)
        mean = np.exp(scores[: t + 1].mean(1, keepdims=True) - age * rate.mean())
        for k, weights in enumerate((own, mean)):
            out[k, t] = (weights / weights.sum(0) * h[: t + 1]).sum(0)
    return out


def sequences(batch: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(0, 2, (batch, steps, 6)), rng.uniform(0.03, 0.2, (batch, steps))


@pytest.mark.parametrize('sharing', [0.0, 0.3])
def test_streaming_attention_is_a_softmax_over_the_past_that_fades(sharing):
    torch.manual_seed(1)
    layer = StreamingAttention(6, sharing).eval()
    h, elapsed = sequences(3, 40)
    out = layer(torch.from_numpy(h).float(), torch.from_numpy(elapsed).float())
    for k in range(3):
        own, shared = reference(layer, h[k], elapsed[k])
        expected = (1 - sharing) * own + sharing * shared
        np.testing.assert_allclose(out[k].detach(), expected, atol=1e-5)


@torch.no_grad()
def test_in_training_a_sequence_draws_own_or_shared_weights_for_each_dimension():
    torch.manual_seed(1)
    layer = StreamingAttention(6, 0.25)
    h, elapsed = sequences(200, 20)
    out = layer(torch.from_numpy(h).float(), torch.from_numpy(elapsed).float()).numpy()
    shares = []
    for k in range(200):
        own, shared = reference(layer, h[k], elapsed[k])
        is_own, is_shared = (np.isclose(out[k], x, atol=1e-4).all(0) for x in (own, shared))
        assert (is_own ^ is_shared).all()
        shares.append(is_shared.mean())
    assert abs(np.mean(shares) - 0.25) < 0.03


@torch.inference_mode()
@pytest.mark.parametrize('pause', [0.1, 1.0, 30.0])
def test_steps_equal_the_sequence_also_over_long_pauses(pause):
    torch.manual_seed(2)
    layer = StreamingAttention(6).eval()
    h, elapsed = (torch.from_numpy(x).float() for x in sequences(2, 50))
    elapsed[:, 20:23] = pause
    expected, state = layer(h, elapsed), layer.initial(2)
    for t in range(50):
        attended, state = layer.step(h[:, t], elapsed[:, t], state)
        torch.testing.assert_close(attended, expected[:, t], atol=1e-5, rtol=0)


def test_streaming_attention_stays_finite_over_long_streams_and_forgets():
    layer = StreamingAttention(4).eval()
    state = layer.initial(1)
    with torch.inference_mode():
        for _ in range(500):
            attended, state = layer.step(torch.full((1, 4), 50.0), torch.tensor([5.0]), state)
        assert all(torch.isfinite(tensor).all() for tensor in state)
        torch.testing.assert_close(attended, torch.full((1, 4), 50.0))
        for _ in range(100):
            attended, state = layer.step(torch.zeros(1, 4), torch.tensor([5.0]), state)
    assert attended.abs().max() < 1e-6
