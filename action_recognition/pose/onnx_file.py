"""The deployed network as an ONNX file, written without ONNX's own libraries.

PyTorch's exporters need the packages `onnx` and `onnxscript` and change from release to release.
Our network is seven operators, and an ONNX file is a protocol buffer, so a robot needs neither:
the graph that `torch.fx` reads off the network is written down here, in milliseconds. Numbers of
fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter, getitem, sub
from typing import Any

import torch
from torch import Tensor, fx, nn

from action_recognition import __version__
from action_recognition.pose.backbone import STRIDE
from action_recognition.pose.deployed import Deployed
from action_recognition.pose.heads import LIMB_CHANNELS, StageOutput
from action_recognition.skeleton import JOINT_NAMES, LIMBS, NUM_JOINTS
from action_recognition.weights import Header

#: The oldest set in which all our operators have their present form; TensorRT 8, ONNX Runtime 1.6
#: and OpenVINO 2021 read it.
OPSET = 13
IR_VERSION = 7

INPUT = 'images'
#: Outputs and their channels.
OUTPUTS = {'joints': NUM_JOINTS, 'limbs': LIMB_CHANNELS}

#: TensorProto.DataType
FLOAT, UINT8, HALF = 1, 2, 10


def to_onnx(
    network: Deployed, metadata: Mapping[str, str], size: tuple[int, int] | None = None
) -> bytes:
    """An ONNX model of a network: `images` in, `joints` and `limbs` out.

    Args:
        metadata: what the model says of itself.
        size: (h, w) in pixels to which the model is bound; free without. The number of images
            always is.

    Raises:
        NotImplementedError: the network uses an operator that is not written here.
    """
    graph = _Writer(network)
    image: Sequence[int | str] = size or ('height', 'width')
    cells: Sequence[int | str] = [side // STRIDE for side in size] if size else ('rows', 'columns')
    body = [
        *(_message(1, node) for node in graph.nodes),
        _text(2, 'pose'),
        *(_message(5, tensor) for tensor in graph.tensors),
        _message(11, _value(INPUT, UINT8, ['n', *image, 3])),
        *(_message(12, _value(name, FLOAT, ['n', c, *cells])) for name, c in OUTPUTS.items()),
    ]
    model = [
        _number(1, IR_VERSION),
        _text(2, 'action_recognition'),
        _text(3, __version__),
        _message(7, body),
        _message(8, [_text(1, ''), _number(2, OPSET)]),
        *(_message(14, [_text(1, key), _text(2, value)]) for key, value in metadata.items()),
    ]
    return b''.join(model)


def describe(header: Header) -> dict[str, str]:
    """What an exported model says of itself, for those who have nothing but the file."""
    return {
        'name': header.name,
        'licence': header.licence,
        'joints': json.dumps(JOINT_NAMES),
        'limbs': json.dumps([[JOINT_NAMES[a], JOINT_NAMES[b]] for a, b in LIMBS]),
        'stride': str(STRIDE),
        'input': 'uint8 BGR (n, height, width, 3), sides multiples of the stride',
        'outputs': 'joints: confidence maps; limbs: unit vectors x, y of each limb; cell (row, '
        'column) has its centre at pixel (stride * column + (stride - 1) / 2, the same of row)',
    }


class _Tracer(fx.Tracer):
    """Our own convolutions are operators like PyTorch's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


class _Writer:
    """Walks along the operators of a network, with names of tensors in place of tensors.

    Attributes:
        nodes: NodeProto of every operator.
        tensors: TensorProto of every constant.
    """

    def __init__(self, network: Deployed) -> None:
        self.nodes: list[list[bytes]] = []
        self.tensors: list[list[bytes]] = []
        self._network = network
        values: dict[fx.Node, Any] = {}
        for node in _Tracer().trace(network).nodes:
            args = fx.node.map_arg(node.args, values.__getitem__)
            values[node] = getattr(self, f'_{node.op}')(node.target, *args)

    def _placeholder(self, target: str) -> str:
        return INPUT

    def _output(self, target: str, outputs: Sequence[str]) -> None:
        for result, name in zip(outputs, OUTPUTS, strict=True):
            self._node('Identity', [result], {}, name)

    def _call_module(self, target: str, x: str) -> str:
        module = self._network.get_submodule(target)
        if isinstance(module, nn.Identity):
            return x
        if isinstance(module, nn.ReLU):
            return self._node('Relu', [x])
        if isinstance(module, nn.Conv2d):
            names = [x, self._constant(module.weight)]
            if module.bias is not None:
                names.append(self._constant(module.bias))
            assert isinstance(module.padding, tuple)
            attributes = {
                'kernel_shape': module.kernel_size,
                'strides': module.stride,
                'pads': module.padding * 2,
                'dilations': module.dilation,
            }
            return self._node('Conv', names, attributes | {'group': module.groups})
        if isinstance(module, nn.MaxPool2d) and (module.padding, module.dilation) == (0, 1):
            assert isinstance(module.kernel_size, int) and isinstance(module.stride, int)
            sides = {'kernel_shape': module.kernel_size, 'strides': module.stride}
            return self._node('MaxPool', [x], {key: [side] * 2 for key, side in sides.items()})
        raise NotImplementedError(f'ONNX: {module}')

    def _call_function(self, target: Any, *args: Any) -> Any:
        if target is torch.cat:
            return self._node('Concat', args[0], {'axis': args[1]})
        if target is sub:
            return self._node('Sub', args)
        if target in (getitem, StageOutput):
            return target(*args)
        raise NotImplementedError(f'ONNX: {target}')

    def _call_method(self, target: str, x: str, *args: int) -> str:
        if target in ('float', 'half'):
            return self._node('Cast', [x], {'to': FLOAT if target == 'float' else HALF})
        if target == 'permute':
            return self._node('Transpose', [x], {'perm': args})
        raise NotImplementedError(f'ONNX: {target}')

    def _get_attr(self, target: str) -> str:
        return self._constant(attrgetter(target)(self._network))

    def _constant(self, tensor: Tensor) -> str:
        name = f'constant_{len(self.tensors)}'
        half = tensor.dtype == torch.float16
        values = tensor.detach().cpu().numpy().astype('<f2' if half else '<f4').tobytes()
        sides = [_number(1, side) for side in tensor.shape]
        kind = _number(2, HALF if half else FLOAT)
        self.tensors.append([*sides, kind, _text(8, name), _bytes(9, values)])
        return name

    def _node(
        self,
        kind: str,
        inputs: Sequence[str],
        attributes: Mapping[str, int | Sequence[int]] | None = None,
        output: str = '',
    ) -> str:
        output = output or f'{kind}_{len(self.nodes)}'
        fields = [_text(1, name) for name in inputs]
        fields += [_text(2, output), _text(3, output), _text(4, kind)]
        fields += [_message(5, _attribute(*item)) for item in (attributes or {}).items()]
        self.nodes.append(fields)
        return output


def _attribute(name: str, value: int | Sequence[int]) -> list[bytes]:
    """AttributeProto: an integer (type 2) or several (type 7)."""
    if isinstance(value, int):
        return [_text(1, name), _number(3, value), _number(20, 2)]
    return [_text(1, name), *(_number(8, int(v)) for v in value), _number(20, 7)]


def _value(name: str, kind: int, shape: Sequence[int | str]) -> list[bytes]:
    """ValueInfoProto of a tensor; a text names a dimension that is free."""
    sides = [
        _message(1, [_number(1, side) if isinstance(side, int) else _text(2, side)])
        for side in shape
    ]
    tensor = _message(1, [_number(1, kind), _message(2, sides)])
    return [_text(1, name), _message(2, [tensor])]


def _number(field: int, value: int) -> bytes:
    """Wire type 0."""
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    """Wire type 2."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _message(field: int, parts: Sequence[bytes]) -> bytes:
    return _bytes(field, b''.join(parts))


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, the top bit set on all but the last."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
