"""The command that takes parts out of the streaming recogniser, `benchmarks/ablations.py`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from action_recognition.recognition.features import BLOCKS, ONLINE_FEATURES
from action_recognition.training.action_config import ActionConfig

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'ablations.py'
CONFIG = ActionConfig(
    'tiny', 'online', settings={'units': 8}, set='jhmdb14', epochs=2, batch=8, strings=0.3
)


@pytest.fixture(scope='module')
def ablations():
    """The module `benchmarks/ablations.py`."""
    spec = importlib.util.spec_from_file_location('benchmarks_ablations', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def model_of(ablations):
    """`model_of(name)`: a fresh small model of a variant."""

    def make(name: str):
        variant = next(v for v in ablations.VARIANTS if v.name == name)
        return variant.model(variant.training(CONFIG), 3)

    return make


@torch.inference_mode()
def test_every_variant_answers_in_a_stream_as_over_a_sequence(ablations, model_of):
    x = torch.randn(2, 5, ONLINE_FEATURES)
    x[..., 0] = 0.1
    for variant in ablations.VARIANTS:
        model = model_of(variant.name).eval()
        state, answers = model.initial(2), []
        for t in range(5):
            logits, state = model.step(x[:, t], state)
            answers.append(logits)
        torch.testing.assert_close(torch.stack(answers, 1), model(x), msg=variant.name)


@torch.inference_mode()
def test_a_model_does_not_see_the_blocks_it_goes_without(model_of):
    model = model_of('no_velocities').eval()
    x = torch.randn(1, 4, ONLINE_FEATURES)
    start = sum(width for name, width in BLOCKS.items() if name in ('elapsed', 'position', 'root'))
    other = x.clone()
    other[..., start : start + BLOCKS['velocity']] += 1
    torch.testing.assert_close(model(other), model(x))
    other[..., start - 1] += 1
    assert not torch.allclose(model(other), model(x))
    assert len(model_of('positions_only').columns) == sum(
        BLOCKS[name] for name in ('elapsed', 'position', 'score')
    )


def test_variants_keep_the_rest_of_the_config(ablations):
    for variant in ablations.VARIANTS:
        config = variant.training(CONFIG)
        assert (config.epochs, config.batch, config.set) == (2, 8, 'jhmdb14')
        assert variant.renorm == (variant.name != 'batch_norm')
        assert config.strings == (0.0 if variant.name == 'no_strings' else 0.3)


@pytest.mark.parametrize('name', ['recipe', 'no_attention', 'no_norm'])
def test_a_run_is_scored_once_and_not_trained_again(
    ablations, make_clips, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(ablations, 'STREAMS', 2)
    monkeypatch.setattr(ablations, 'SECONDS', 2)
    variant = next(v for v in ablations.VARIANTS if v.name == name)
    path = tmp_path / 'runs' / 'run.json'
    clips = make_clips(24, 0)
    result = ablations.run(variant, 0, CONFIG, clips, ('left', 'right'), path)
    assert set(result['figures']) == set(ablations.COLUMNS)
    assert result['clips'] == {'fitting': 18, 'validation': 6}
    assert json.loads(path.read_text()) == result
    monkeypatch.delattr(ablations, 'train')
    assert ablations.run(variant, 0, CONFIG, clips, ('left', 'right'), path) == result


def test_differences_are_taken_within_the_seeds_that_both_have(ablations):
    def runs(*values: float) -> list[dict]:
        return [
            {'seed': seed, 'parameters': 7, 'figures': dict.fromkeys(ablations.COLUMNS, value)}
            for seed, value in enumerate(values)
        ]

    text = ablations.tables({'recipe': runs(0.5, 0.7), 'units_64': runs(0.6, 0.6, 0.9)})
    figures, differences = text.split('\n\n')
    assert '| recipe | 2 | 7 | 0.600 ± 0.141 |' in figures
    assert '| LSTM: 64 units | 3 | 7 | 0.700 ± 0.173 |' in figures
    assert '| LSTM: 64 units | +0.0 ± 14.1 |' in differences
    assert '| recipe |' not in differences
    assert np.all([line.count('|') == 12 for line in figures.splitlines()])


def test_variants_are_chosen_by_name_with_the_recipe(ablations):
    assert [v.name for v in ablations.chosen('units_64,layers_2')] == [
        'recipe',
        'layers_2',
        'units_64',
    ]
    with pytest.raises(argparse.ArgumentTypeError, match='nobody; known: recipe, '):
        ablations.chosen('nobody')
