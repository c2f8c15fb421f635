"""The paper's recogniser without attention, and the command that repeats the paper's experiment."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.datasets import union32
from action_recognition.datasets.clips import SkeletonClip, frame_stamps
from action_recognition.errors import UserError
from action_recognition.recognition.models import create_model, load_recognizer
from action_recognition.recognition.paper import PaperRecognizer, ReluLstm
from action_recognition.training.action_config import ActionConfig

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'paper.py'


@pytest.fixture(scope='module')
def paper():
    """The module `benchmarks/paper.py`."""
    spec = importlib.util.spec_from_file_location('benchmarks_paper', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def clip(name: str, label: str, group: str, frames: int = 6) -> SkeletonClip:
    rng = np.random.default_rng(len(name) + union32.LABELS.index(label))
    xy = rng.uniform(0, 100, (frames, 14, 2)).astype(np.float32)
    score = np.ones((frames, 14), np.float32)
    return SkeletonClip(name, label, group, xy, score, frame_stamps(frames, 30.0), (100, 100))


@pytest.fixture
def official(paper):
    """Two films of two JHMDB clips and three Penn clips to learn from, and others for the test."""
    part = []
    for films, penn in (('ab', 3), ('cde', 4)):
        clips = [clip(f'wave/{film}{k}', 'wave', film) for film in films for k in (1, 2)]
        clips += [clip(f'{penn}{k:03d}', 'bowl', f'{penn}{k:03d}') for k in range(penn)]
        part.append(clips)
    return paper.Split(*part)


# --- the model ------------------------------------------------------------------------------


def test_without_attention_the_features_go_straight_to_flatten():
    model = PaperRecognizer(attention=False, units=8).eval()
    seen = {}
    model.recurrent.register_forward_hook(lambda *args: seen.update(features=args[-1]))
    model.dense.register_forward_hook(lambda _, inputs, __: seen.update(dense=inputs[0]))
    assert model(torch.randn(3, 60, 34)).shape == (3, 32)
    torch.testing.assert_close(seen['dense'], seen['features'].reshape(3, 60 * 8))


def test_without_attention_its_layer_over_time_is_all_that_is_missing():
    layer_over_time = 60 * 60 + 60
    assert parameters(PaperRecognizer()) - parameters(PaperRecognizer(attention=False)) == (
        layer_over_time
    )


@torch.inference_mode()
def test_weights_without_attention_load_by_their_header(tmp_path):
    model = create_model('paper', 3, attention=False, units=8).eval()
    config = {'model': 'paper', 'units': 8, 'attention': False, 'temperature': 2.0}
    header = weights.Header(kind='action', name='plain', config=config, labels=('a', 'b', 'c'))
    path = tmp_path / 'plain.safetensors'
    weights.save(path, model.state_dict(), header)
    _, loaded = load_recognizer(str(path))
    x = torch.randn(2, 60, 34)
    torch.testing.assert_close(loaded(x), model(x))

    lacking = {key: value for key, value in config.items() if key != 'attention'}
    header = weights.Header(kind='action', name='plain', config=lacking, labels=('a', 'b', 'c'))
    weights.save(path, model.state_dict(), header)
    with pytest.raises(UserError, match='does not fit the network'):
        load_recognizer(str(path))


def test_gradients_of_the_relu_lstm_are_those_of_finite_differences():
    torch.manual_seed(0)
    layer = ReluLstm(3, 4).double()
    x = torch.randn(2, 5, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))


# --- the experiment -------------------------------------------------------------------------


def names(clips) -> list[str]:
    return [clip.name for clip in clips]


def test_a_random_split_deals_all_clips_anew_and_keeps_the_sizes_of_both_sets(paper, official):
    new = paper.random_split(official, 0)
    everything = [*official.train, *official.test]
    assert sorted(names([*new.train, *new.test])) == sorted(names(everything))
    for before, after in zip(official, new, strict=True):
        assert sorted(map(paper.set_of, before)) == sorted(map(paper.set_of, after))


def test_a_random_split_depends_on_the_seed_and_not_on_the_order_of_clips(paper, official):
    def split(seed: int) -> list[list[str]]:
        return [names(part) for part in paper.random_split(official, seed)]

    first = split(0)
    official.train.reverse()
    official.test.reverse()
    assert split(0) == first
    assert split(1) != first


def test_test_clips_from_films_of_the_training_are_found(paper, official):
    assert not paper.source_in_training(official).any()
    train, test = official
    mixed = paper.Split([*train, test[0]], test[1:])
    found = np.flatnonzero(paper.source_in_training(mixed))
    assert [mixed.test[k].name for k in found] == [test[1].name]  # the other clip of its film


@pytest.mark.parametrize('variant', ['PAPER', 'PLAIN', 'RANDOM'])
def test_a_run_is_scored_once_and_not_trained_again(paper, official, tmp_path, variant):
    config = ActionConfig(
        'tiny', 'paper', settings={'units': 4}, epochs=2, batch=4, validate_every=1
    )
    variant = getattr(paper, variant)
    result = paper.run(variant, 0, config, official, {}, tmp_path)
    assert {len(curve) for curve in result['curves'].values()} == {2}
    assert set(result['test_accuracy']) == {'all', 'jhmdb', 'penn'}
    assert (tmp_path / 'attention.npy').is_file() == variant.settings.get('attention', True)
    if variant.settings.get('attention', True):
        assert 1 < result['attention_steps'] <= 60
        columns = np.load(tmp_path / 'attention.npy').sum(0)
        np.testing.assert_allclose(columns, np.ones(4), rtol=1e-4)
    (tmp_path / 'checkpoint.safetensors').unlink()
    assert paper.run(variant, 0, config, official, {}, tmp_path) == result
    assert not (tmp_path / 'checkpoint.safetensors').exists()


def test_the_table_has_means_and_deviations_over_seeds(paper):
    def result(accuracy: float, curve: list[float]) -> dict:
        figures = {'all': accuracy, 'jhmdb': accuracy, 'penn': accuracy}
        source = {'clips': 7, 'accuracy': accuracy}
        return {
            **dict.fromkeys(('train_accuracy', 'test_accuracy', 'test_loss'), figures),
            **dict.fromkeys(('jhmdb_source_known', 'jhmdb_source_new'), source),
            'curves': {'train_accuracy': curve},
        }

    runs = [result(0.8, [0.4, 0.5, 0.9]), result(0.9, [0.5, 0.7, 0.7])]
    table = paper.table({variant.name: runs for variant in paper.VARIANTS})
    lines = {line.split('|')[1].strip(): line for line in table.splitlines() if '|' in line}
    assert all(lines[v.title].count('0.850 ± 0.071') == 5 for v in paper.VARIANTS)
    assert f'{paper.RANDOM.title}: 0.850 ± 0.071 on 7 JHMDB test clips' in table
    assert table.count('| 1.5 / inf |') == len(paper.VARIANTS)
