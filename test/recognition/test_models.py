"""Shapes of the paper's Table 2, the ReLU LSTM, and the streaming model's step."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.recognition.batch_renorm import BatchRenorm, fold
from action_recognition.recognition.features import ELAPSED, ONLINE_FEATURES
from action_recognition.recognition.models import (
    MODELS,
    OnlineRecognizer,
    PaperRecognizer,
    check_settings,
    create_model,
    load_recognizer,
)
from action_recognition.recognition.online import OnlineState
from action_recognition.recognition.paper import ReluLstm


def trained_online(**config) -> OnlineRecognizer:
    """An online model whose Batch Renormalisation has seen something."""
    torch.manual_seed(0)
    model = OnlineRecognizer(7, units=16, **config)
    for _ in range(5):
        model(sequences(4, 12))
    return model.eval()


def sequences(people: int, steps: int) -> torch.Tensor:
    x = torch.randn(people, steps, ONLINE_FEATURES)
    x[..., ELAPSED] = torch.empty(people, steps).uniform_(0.03, 0.1)
    return x


def test_paper_model_has_the_shapes_of_table_2():
    model = PaperRecognizer()
    outputs = {}

    def record(name):
        def hook(_module, _inputs, output):
            outputs[name] = tuple(output.shape)

        return hook

    for k, layer in enumerate(model.recurrent):
        assert [type(part).__name__ for part in layer] == ['ReluLstm', 'BatchRenorm', 'Dropout']
        layer.register_forward_hook(record(f'lstm{k}'))
    model.flatten.register_forward_hook(record('attention+flatten'))
    model.dense[3].register_forward_hook(record('dense128'))
    model.dense[7].register_forward_hook(record('dense64'))
    assert isinstance(model.input_norm, BatchRenorm)
    model.input_norm.register_forward_hook(record('input'))
    logits = model(torch.randn(5, 60, 34))
    assert outputs == {
        'input': (5, 60, 34),
        'lstm0': (5, 60, 128),
        'lstm1': (5, 60, 128),
        'lstm2': (5, 60, 128),
        'attention+flatten': (5, 60 * 128),
        'dense128': (5, 128),
        'dense64': (5, 64),
    }
    assert logits.shape == (5, 32)


def test_relu_lstm_matches_a_float64_loop_of_keras_equations():
    torch.manual_seed(0)
    layer = ReluLstm(3, 4).double()
    x = torch.randn(2, 9, 3, dtype=torch.double)
    kernel, bias = layer.kernel.weight.detach().numpy().T, layer.kernel.bias.detach().numpy()
    recurrent = layer.recurrent.weight.detach().numpy().T
    h = c = np.zeros((2, 4))
    for t in range(9):
        i, f, g, o = np.split(x[:, t].numpy() @ kernel + h @ recurrent + bias, 4, 1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.maximum(g, 0)
        h = o * np.maximum(c, 0)
        np.testing.assert_allclose(layer(x)[:, t].detach(), h, rtol=1e-10)
    assert (bias[4:8] == 1).all()


@pytest.mark.parametrize('layers', [1, 3])
def test_step_frame_by_frame_equals_the_sequence(layers):
    model = trained_online(layers=layers)
    x = sequences(3, 40)
    with torch.inference_mode():
        expected = model(x)
        state = model.initial(3)
        for t in range(40):
            logits, state = model.step(x[:, t], state)
            torch.testing.assert_close(logits, expected[:, t], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_step_equals_the_sequence_while_people_join_and_leave():
    model = trained_online()
    x = sequences(3, 30)
    spans = {0: (0, 30), 1: (5, 20), 2: (12, 30)}
    expected = {k: model(x[k : k + 1, a:b])[0] for k, (a, b) in spans.items()}
    present: list[int] = []
    state = model.initial(0)
    for t in range(30):
        keep = [row for row, k in enumerate(present) if t < spans[k][1]]
        state = state.select(torch.tensor(keep, dtype=torch.long))
        present = [present[row] for row in keep]
        joining = [k for k, (a, _) in spans.items() if a == t]
        state = OnlineState.concatenate([state, model.initial(len(joining))])
        present += joining
        logits, state = model.step(x[present, t], state)
        for row, k in enumerate(present):
            torch.testing.assert_close(logits[row], expected[k][t - spans[k][0]], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_padding_at_the_end_does_not_change_earlier_answers():
    model = trained_online()
    x = sequences(2, 20)
    longer = torch.cat([x, sequences(2, 5)], 1)
    torch.testing.assert_close(model(longer)[:, :20], model(x), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_folding_does_not_change_either_model():
    model = trained_online()
    x = sequences(2, 10)
    expected = model(x)
    torch.testing.assert_close(fold(model)(x), expected, atol=1e-4, rtol=1e-4)
    paper = PaperRecognizer(5, units=8)
    clips = torch.randn(4, 60, 34)
    paper(clips)
    expected = paper.eval()(clips)
    torch.testing.assert_close(fold(paper)(clips), expected, atol=1e-4, rtol=1e-4)


def test_unknown_models_and_settings_are_refused():
    with pytest.raises(UserError, match=r'unknown recogniser .transformer.*paper, online'):
        create_model('transformer', 3)
    with pytest.raises(UserError, match=r'unknown recogniser \[.online'):
        create_model(['online'], 3)
    with pytest.raises(UserError, match=r'unknown recogniser .transformer'):
        check_settings('transformer', {})


@pytest.mark.parametrize('name', ['online', 'paper'])
@pytest.mark.parametrize(
    'settings',
    [{'heads': 4}, {'units': -3}, {'units': 'x'}, {'units': 0.5}, {'inputs': -1}],
    ids=str,
)
def test_settings_of_no_network_are_refused_in_one_line(name, settings):
    for refuse in (
        lambda: create_model(name, 3, **settings),
        lambda: check_settings(name, settings),
    ):
        with pytest.raises(UserError, match='wrong settings') as caught:
            refuse()
        assert '\n' not in str(caught.value)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('online', {'layers': -1}, 'layers must be a whole number from 1 to 16, not -1'),
        ('online', {'layers': 0}, 'layers must be a whole number from 1 to 16, not 0'),
        ('online', {'layers': 'two'}, "from 1 to 16, not the text 'two'"),
        ('online', {'layers': 1.0}, 'layers must be a whole number'),
        ('online', {'units': 10**6}, 'units must be a whole number from 1 to 4096'),
        ('online', {'dense': 0}, 'dense must be a whole number from 1 to 4096, not 0'),
        ('online', {'dropout': 1.0}, 'dropout must be a number from 0 to below 1, not 1.0'),
        ('online', {'sharing': 'x'}, 'sharing must be a number from 0 to 1'),
        ('paper', {'dropout': 'x'}, 'dropout must be a number from 0 to below 1'),
        ('paper', {'sharing': 1.5}, 'sharing must be a number from 0 to 1, not 1.5'),
        ('paper', {'steps': 0}, 'steps must be a whole number from 1'),
        ('paper', {'attention': 'no'}, 'attention must be true or false'),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_range(name, settings, message):
    for refuse in (
        lambda: create_model(name, 3, **settings),
        lambda: check_settings(name, settings),
    ):
        with pytest.raises(UserError, match=f'wrong settings for recogniser .{name}.: .*{message}'):
            refuse()


@pytest.mark.parametrize('name', ['online', 'paper'])
def test_every_number_among_the_settings_has_a_range(name):
    """And one that the default lies in; the temperature is checked for both models together."""
    settings = inspect.signature(MODELS[name]).parameters.values()
    defaults = {p.name: p.default for p in settings if p.kind is p.KEYWORD_ONLY}
    assert defaults.keys() - MODELS[name].RANGES.keys() == {'temperature'}
    check_settings(name, defaults)


def save(path, model, **header) -> None:
    fields = {
        'kind': 'action',
        'name': 'test',
        'config': {'model': 'online', 'units': 16, 'temperature': 1.5},
        'labels': tuple('abcdefg'),
    }
    weights.save(path, model.state_dict(), weights.Header(**{**fields, **header}))


@torch.inference_mode()
def test_saved_weights_give_the_same_answers(tmp_path):
    model = trained_online()
    save(tmp_path / 'w.safetensors', model)
    header, loaded = load_recognizer(str(tmp_path / 'w.safetensors'))
    x = sequences(2, 15)
    torch.testing.assert_close(loaded(x), model(x))
    assert header.labels == tuple('abcdefg')
    assert loaded.temperature == 1.5


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        ({'labels': ('a', 'b')}, 'names 2 labels but has 7 outputs'),
        ({'config': {'model': 'online', 'units': 32}}, 'does not fit the network'),
        ({'config': {'model': 'magic'}}, 'unknown recogniser'),
        ({'config': {'model': 'online', 'units': 16, 'inputs': 3}}, 'trained on 3 features'),
        ({'config': {'model': 'online', 'units': -3}}, 'wrong settings'),
        *(
            ({'config': {'model': 'online', 'units': 16, 'temperature': value}}, 'temperature must')
            for value in (0, -1, 'x', None, float('nan'), float('inf'), 1e-320, 10**400)
        ),
        ({'kind': 'pose'}, 'holds pose weights'),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path, header, message):
    save(tmp_path / 'w.safetensors', trained_online(), **header)
    with pytest.raises(UserError, match=message) as caught:
        load_recognizer(str(tmp_path / 'w.safetensors'))
    assert '\n' not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_an_absent_gpu_is_refused(tmp_path):
    save(tmp_path / 'w.safetensors', trained_online())
    with pytest.raises(UserError, match='0 GPUs'):
        load_recognizer(str(tmp_path / 'w.safetensors'), device='cuda')
