"""Several recognisers that answer together."""

from __future__ import annotations

import pytest
import torch

from action_recognition.errors import UserError
from action_recognition.recognition.ensemble import OnlineEnsemble
from action_recognition.recognition.features import ELAPSED, ONLINE_FEATURES
from action_recognition.recognition.models import check_settings, create_model

SETTINGS = {'units': 12, 'dense': 10}
TEMPERATURES = [0.5, 3.0]


def test_the_answer_is_the_mean_of_the_probabilities_of_the_members():
    torch.manual_seed(0)
    model = create_model('ensemble', 4, temperatures=TEMPERATURES, **SETTINGS).eval()
    assert isinstance(model, OnlineEnsemble)
    assert model.temperatures == tuple(TEMPERATURES)
    assert model.inputs == ONLINE_FEATURES
    x = torch.randn(3, 7, ONLINE_FEATURES)
    x[..., ELAPSED] = 0.1
    with torch.inference_mode():
        one, two = (member(x) for member in model.members)
        expected = ((one / 0.5).softmax(-1) + (two / 3.0).softmax(-1)) / 2
        torch.testing.assert_close(model(x).softmax(-1), expected)
    assert not torch.equal(one, two)  # they begin at different random weights


@pytest.mark.parametrize(
    'temperatures', [[], [1.0], [1.0] * 17, [1.0, 0.0], [1.0, 'warm'], 'warm', None, [1.0, None]]
)
def test_wrong_temperatures_are_refused_in_one_line(temperatures):
    with pytest.raises(UserError, match='temperatures must be 2 to 16 numbers above 0') as error:
        create_model('ensemble', 4, temperatures=temperatures, **SETTINGS)
    assert '\n' not in str(error.value)


def test_other_settings_are_those_of_the_members():
    with pytest.raises(UserError, match='units'):
        create_model('ensemble', 4, temperatures=TEMPERATURES, units=0)
    with pytest.raises(UserError, match='colour'):
        create_model('ensemble', 4, temperatures=TEMPERATURES, colour=1)
    with pytest.raises(UserError, match='temperatures'):
        check_settings('ensemble', {})
