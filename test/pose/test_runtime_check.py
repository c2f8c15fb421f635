"""The check of a runtime against the network, before it is used."""

import pytest
from runtime_recipes import CPU, Off

from action_recognition.errors import UserError
from action_recognition.pose.estimator import load_network
from action_recognition.pose.gaze import LookConfig
from action_recognition.pose.heads import StageOutput
from action_recognition.pose.runtimes import CHECKED, check
from action_recognition.pose.torch_runtime import TorchRuntime
from action_recognition.skeleton import FLIP, Joint


@pytest.mark.parametrize('by', [0.01, float('nan')])
def test_runtime_with_other_answers_is_refused(network, by):
    runtime = Off(network, by=by)
    with pytest.raises(UserError, match=r"'torch float32' is off by .* where 0\.001 is tolerated"):
        check(runtime, network)
    assert runtime.closed


def test_runtime_with_slightly_other_answers_is_taken(network):
    runtime = Off(network, by=1e-6)
    assert check(runtime, network) is runtime


class Half(TorchRuntime):
    """Says that it computes in half precision, and answers whatever `spoil` makes of the maps."""

    def __init__(self, network, precision, spoil):
        super().__init__(network, CPU)
        self.name = f'fast {precision}'
        self._spoil = spoil

    def __call__(self, images):
        maps = StageOutput(*(part.clone() for part in super().__call__(images)))
        return self._spoil(maps) or maps


def blind(maps):
    for part in maps:
        part.zero_()


def without_limbs(maps):
    maps.limbs.zero_()


def without_left_wrists(maps):
    maps.joints[:, Joint.LEFT_WRIST] = 0


def of_the_other_side(maps):
    return StageOutput(maps.joints[:, list(FLIP)], maps.limbs)


@pytest.mark.parametrize(
    'spoil', [blind, without_limbs, without_left_wrists, of_the_other_side, lambda maps: None]
)
@pytest.mark.parametrize('precision', ['float16', 'bfloat16'])
def test_half_precision_is_no_excuse(precision, spoil):
    """With the weights that ship. The last one changes nothing."""
    network = load_network('pose').network
    runtime = Half(network, precision, spoil)
    if spoil.__name__ == '<lambda>':
        assert check(runtime, network) is runtime
    else:
        with pytest.raises(UserError, match=f"'fast {precision}' is off by "):
            check(runtime, network)


@pytest.mark.parametrize('precision', ['float16', 'bfloat16'])
def test_weights_that_see_little_in_a_drawing_are_checked_by_it(network, precision):
    """As those of a user may: their maps here are as weak as one joint that is hardly seen."""
    with pytest.raises(UserError, match='is off by'):
        check(Half(network, precision, blind), network)


class PreparesBadly(TorchRuntime):
    """Its answers are right until it has prepared for a shape."""

    prepared = False

    def prepare(self, shape):
        self.prepared = True

    def __call__(self, images):
        joints, limbs = super().__call__(images)
        return StageOutput(0 * joints if self.prepared else joints, limbs)


def test_what_a_runtime_has_prepared_is_checked_too(network):
    with pytest.raises(UserError, match='is off by'):
        check(PreparesBadly(network, CPU), network)


def test_crops_of_the_default_size_are_what_is_checked():
    size = LookConfig().crop_size
    assert CHECKED[1:] == (size, size, 3)
