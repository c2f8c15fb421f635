"""The shapes of Table 1."""

import pytest
import torch

from action_recognition.pose.backbone import TABLE_1, Backbone, conv_bn

# Paper, Table 1: layer, input size (h, w, channels), stride. L6 is printed with stride 2, but
# the input of L7 is as large as that of L6.
PAPER = [
    ('L0', (224, 224, 3), 2),
    ('L1', (112, 112, 24), 1),
    ('L2', (112, 112, 48), 2),
    ('L3', (56, 56, 96), 1),
    ('L4', (56, 56, 96), 2),
    ('L5', (28, 28, 192), 1),
    ('L6', (28, 28, 192), 1),
    ('L7', (28, 28, 384), 1),
    ('L8', (28, 28, 384), 1),
    ('L9', (28, 28, 384), 1),
    ('L10', (28, 28, 384), 1),
    ('L11', (28, 28, 384), 1),
]


@pytest.fixture(scope='module')
def sizes():
    """Layer name -> (input, output) size of a 224x224 image, both (h, w, channels)."""
    seen = {}
    backbone = Backbone().eval()
    for name, layer in backbone.layers.items():
        layer.register_forward_hook(
            lambda _, inputs, output, name=name: seen.__setitem__(
                name, tuple((*x.shape[2:], x.shape[1]) for x in (inputs[0], output))
            )
        )
    with torch.inference_mode():
        seen['features'] = tuple(backbone(torch.zeros(1, 3, 224, 224)).shape)
    return seen


@pytest.mark.parametrize(('name', 'size', 'stride'), PAPER)
def test_input_of_each_layer_is_that_of_table_1(sizes, name, size, stride):
    assert sizes[name][0] == size
    assert sizes[name][1][0] == size[0] // stride


@pytest.mark.parametrize('size', [(8, 8), (7, 10)])
def test_strided_layer_is_the_same_while_learning_on_a_cpu(size):
    torch.manual_seed(0)
    layer = conv_bn(6, 6, 3, stride=2, groups=6)[0]
    results = []
    for training in (True, False):
        layer.train(training)
        layer.zero_grad()
        image = torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(1))
        image.requires_grad_()
        output = layer(image)
        (output**2).sum().backward()
        results.append((output, image.grad, layer.weight.grad.clone()))
    for learning, applied in zip(*results, strict=True):
        torch.testing.assert_close(learning, applied)


def test_last_output_is_that_of_the_paper(sizes):
    assert sizes['L11'][1] == (28, 28, 384)


def test_features_are_pooled_l3_with_l7_and_l11(sizes):
    assert sizes['features'] == (1, 96 + 384 + 384, 28, 28)


def test_all_but_the_first_layer_are_depthwise_separable():
    backbone = Backbone()
    for layer in TABLE_1[1:]:
        depthwise, pointwise = (
            m for m in backbone.layers[layer.name] if isinstance(m, torch.nn.Conv2d)
        )
        assert depthwise.groups == layer.inputs
        assert depthwise.kernel_size == (3, 3)
        assert pointwise.kernel_size == (1, 1)
