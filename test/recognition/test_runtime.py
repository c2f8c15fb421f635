"""The runtimes answer as the sequence forward does, whoever comes and goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition.recognition.batch_renorm import fold
from action_recognition.recognition.ensemble import OnlineEnsemble
from action_recognition.recognition.features import ELAPSED, ONLINE_FEATURES
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.recognition.online_weights import OnlineWeights
from action_recognition.recognition.runtime import CpuRuntime
from action_recognition.recognition.torch_runtime import (
    EnsembleRuntime,
    TorchRuntime,
    create_runtime,
    torch_runtime,
)


def on_cpu(model: OnlineRecognizer | OnlineEnsemble) -> CpuRuntime:
    return CpuRuntime(OnlineWeights.of(model))


RUNTIMES = [on_cpu, torch_runtime]
#: The temperatures of the members, none for a single model.
MEMBERS = [(), (0.6, 1.7, 1.0)]
DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


def trained(temperatures=(), **config) -> OnlineRecognizer | OnlineEnsemble:
    """A model whose normalisations and attention are far from the identity."""
    torch.manual_seed(0)
    if temperatures:
        model = OnlineEnsemble(5, temperatures=temperatures, units=12, **config)
    else:
        model = OnlineRecognizer(5, units=12, **config)
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, 'running_mean'):
                module.running_mean.normal_()
                module.running_std.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_()
    return model.eval()


def sequences(people: int, steps: int) -> torch.Tensor:
    x = torch.randn(people, steps, ONLINE_FEATURES)
    x[..., ELAPSED] = torch.empty(people, steps).uniform_(0.03, 0.3)
    return x


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('members', MEMBERS)
@pytest.mark.parametrize('config', [{'layers': 3}, {'sharing': 0.2}])
def test_steps_equal_the_sequence_within_1e5(runtime, config, members):
    model = trained(members, **config)
    x = sequences(3, 60)
    with torch.inference_mode():
        expected = model(x).numpy()
    stream = runtime(model)
    stream.add(3)
    for t in range(60):
        answer = stream.step(x[:, t].numpy(), slice(None))
        np.testing.assert_allclose(answer, expected[:, t], atol=1e-5)


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('members', MEMBERS)
def test_people_join_leave_pause_and_change_order(runtime, members):
    model = trained(members)
    x = sequences(3, 40)
    with torch.inference_mode():
        expected = model(x).numpy()
    stream = runtime(model)
    stream.add(2)  # rows 0, 1
    time = [0, 0, 0]

    def check(people: list[int], rows: list[int]) -> None:
        features = np.stack([x[k, time[k]].numpy() for k in people])
        answer = stream.step(features, np.array(rows))
        for row, k in enumerate(people):
            np.testing.assert_allclose(answer[row], expected[k, time[k]], atol=1e-5)
            time[k] += 1

    for _ in range(5):
        check([0, 1], [0, 1])
    stream.add(1)
    for _ in range(5):
        check([2, 0], [2, 0])  # person 1 is not in these frames
    for _ in range(5):
        check([1, 0, 2], [1, 0, 2])
    stream.keep(np.array([False, True, True]))  # person 0 leaves: rows move up
    for _ in range(5):
        check([1, 2], [0, 1])
    stream.add(1)
    time[0] = 0  # and comes back as somebody new
    for _ in range(5):
        check([1, 2, 0], [0, 1, 2])


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('members', MEMBERS)
def test_the_runtime_fits_the_device_and_takes_folded_models(device, members):
    model = trained(members).to(device)
    x = sequences(2, 10)
    with torch.inference_mode():
        expected = model(x.to(device)).cpu().numpy()
    stream = create_runtime(fold(model))
    on_gpu = EnsembleRuntime if members else TorchRuntime
    assert isinstance(stream, CpuRuntime if device == 'cpu' else on_gpu)
    stream.add(2)
    for t in range(10):
        answer = stream.step(x[:, t].numpy(), slice(None))
        np.testing.assert_allclose(answer, expected[:, t], atol=1e-4)


def test_ten_minutes_at_30_hz_stay_finite_and_forget_the_beginning():
    model = trained()
    one, two = on_cpu(model), on_cpu(model)
    one.add(1)
    two.add(1)
    x = sequences(1, 300)[0].numpy()
    x[:, ELAPSED] = 1 / 30
    other = sequences(1, 300)[0].numpy()
    for t in range(300):
        one.step(other[t : t + 1], slice(None))
    for t in range(18_000):
        features = x[t % 300][None]
        answers = one.step(features, slice(None)), two.step(features, slice(None))
    assert np.isfinite(answers[0]).all()
    np.testing.assert_allclose(*answers, atol=1e-4)
    for array in (one.hidden, one.cell, one.peak, one.total, one.weighted):
        assert np.isfinite(array).all()
        assert np.abs(array).max() < 1e4
