"""The paper's CNN module: 12 light convolution layers (section 3.1, Table 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Layer(NamedTuple):
    """One row of Table 1: a convolution from `inputs` to `outputs` channels."""

    name: str
    inputs: int
    outputs: int
    stride: int


#: Paper, Table 1. L0 is a standard 3x3 convolution, the rest are depthwise separable. The table
#: prints stride 2 for L6 too, but the input size of L7 (28x28) shows that it is 1.
TABLE_1: tuple[Layer, ...] = (
    Layer('L0', 3, 24, 2),
    Layer('L1', 24, 48, 1),
    Layer('L2', 48, 96, 2),
    Layer('L3', 96, 96, 1),
    Layer('L4', 96, 192, 2),
    Layer('L5', 192, 192, 1),
    Layer('L6', 192, 384, 1),
    Layer('L7', 384, 384, 1),
    Layer('L8', 384, 384, 1),
    Layer('L9', 384, 384, 1),
    Layer('L10', 384, 384, 1),
    Layer('L11', 384, 384, 1),
)

#: Pixels of the input per cell of the feature map.
STRIDE = 8

#: Layers whose outputs form the features; L3 passes a 2x2 max-pool first.
FEATURE_LAYERS = ('L3', 'L7', 'L11')


class Conv2d(nn.Conv2d):
    """A convolution that also learns fast on a CPU.

    There the backward pass of a strided depthwise convolution takes some twenty times as long in
    bfloat16 as that of a plain one, so while learning the plain one is thinned out: same result.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.groups > 1 and self.stride != (1, 1) and x.device.type == 'cpu':
            rows, columns = self.stride
            dense = functional.conv2d(
                x, self.weight, None, 1, self.padding, self.dilation, self.groups
            )
            return dense[..., ::rows, ::columns]
        return super().forward(x)


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list:
    """Convolution without bias, batch normalisation, ReLU."""
    return [
        Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A depthwise 3x3 convolution, then a pointwise 1x1 convolution ("Conv dp" of Table 1)."""
    return nn.Sequential(
        *conv_bn(inputs, inputs, 3, stride, groups=inputs), *conv_bn(inputs, outputs, 1)
    )


class Backbone(nn.Module):
    """Image to features at 1/8 of its size.

    Fully convolutional: the paper's input is 224x224, any multiple of 8 will do.
    """

    #: Channels of the features: L3 (pooled), L7 and L11 side by side.
    channels = sum(layer.outputs for layer in TABLE_1 if layer.name in FEATURE_LAYERS)

    def __init__(self) -> None:
        super().__init__()
        first, *rest = TABLE_1
        self.layers = nn.ModuleDict(
            {first.name: nn.Sequential(*conv_bn(first.inputs, first.outputs, 3, first.stride))}
        )
        for layer in rest:
            self.layers[layer.name] = separable(layer.inputs, layer.outputs, layer.stride)
        self.pool = nn.MaxPool2d(2)

    def forward(self, image: Tensor) -> Tensor:
        """(n, 3, h, w) normalised RGB to (n, 864, h/8, w/8) features."""
        outputs = {}
        x = image
        for name, layer in self.layers.items():
            x = layer(x)
            outputs[name] = x
        return torch.cat([self.pool(outputs['L3']), outputs['L7'], outputs['L11']], 1)
