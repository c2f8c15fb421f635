"""Statistics of old classes stand in for their clips, beside the weights they belong to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.training import teach_head as heads
from action_recognition.training import teach_rehearsal as rehearsals
from action_recognition.training.teach_problem import Base


def test_drawn_features_have_the_statistics_that_were_measured():
    rng = np.random.default_rng(0)
    mix = rng.normal(0, 1, (8, 8))
    x = rng.normal(0, 1, (4000, 8)) @ mix + 5 * np.eye(2, 8)[np.arange(4000) % 2]
    samples = heads.Samples(
        torch.tensor(x, dtype=torch.float32),
        torch.arange(4000) % 2,
        torch.zeros(4000, dtype=torch.long),
        torch.ones(4000),
    )
    found = rehearsals.measure(samples, ('a', 'b'), '')
    drawn = found.draw('b', 20000, rng).numpy()
    np.testing.assert_allclose(drawn.mean(0), x[1::2].mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(x[1::2].T), atol=0.8)


def test_statistics_of_other_weights_are_refused(base_path):
    header, state = weights.load(base_path, 'action')
    weights.save(base_path, {**state, 'classifier.bias': torch.ones(3)}, header)
    with pytest.raises(UserError, match='belongs to other weights'):
        Base.load(str(base_path))
