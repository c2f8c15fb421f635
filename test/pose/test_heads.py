"""Two branches, six stages."""

import numpy as np
import pytest
import torch

from action_recognition.pose.heads import PIXEL_MEAN, PIXEL_STD, PoseNetwork, normalise


@pytest.mark.parametrize('stages', [1, 3, 6])
def test_every_stage_gives_14_joints_and_13_limbs(stages):
    outputs = PoseNetwork(stages)(torch.zeros(2, 3, 224, 160))
    assert len(outputs) == stages
    for joints, limbs in outputs:
        assert joints.shape == (2, 14, 28, 20)
        assert limbs.shape == (2, 26, 28, 20)


@pytest.mark.parametrize(('stages', 'millions'), [(6, 1.96), (3, 1.49)])
def test_size_of_the_whole_network(stages, millions):
    parameters = sum(p.numel() for p in PoseNetwork(stages).parameters())
    assert round(parameters / 1e6, 2) == millions


def test_stages_from_the_second_use_3x3_separable_convolutions():
    for stage in PoseNetwork().joint_stages[1:]:
        kernels = {m.kernel_size for m in stage.modules() if isinstance(m, torch.nn.Conv2d)}
        assert kernels == {(3, 3), (1, 1)}


def test_fewer_stages_give_what_the_first_stages_of_all_give():
    network = PoseNetwork(4).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        want = network(image)[1]
        network.keep_stages(2)
        got = network(image)
    assert len(got) == 2
    torch.testing.assert_close(got[-1], want)


def test_normalise_turns_bgr_bytes_into_standardised_rgb():
    pixel = np.array([10, 20, 30], np.uint8)  # blue, green, red
    image = torch.from_numpy(np.broadcast_to(pixel, (1, 2, 3, 3)).copy())
    got = normalise(image)
    assert got.shape == (1, 3, 2, 3)
    want = (np.array([30, 20, 10]) - PIXEL_MEAN) / PIXEL_STD
    np.testing.assert_allclose(got[0, :, 1, 2], want, rtol=1e-6)
