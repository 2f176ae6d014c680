"""Activations as the nodes that TensorFlow makes of them."""

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.hyperparams import Activation

_SINGLE = {"RELU": "Relu", "RELU_6": "Relu6", "IDENTITY": "Identity"}
# `x * relu6(x + 3) * 0.16666667`, under the name of the function that makes it.
_HARD = {"HARD_SWISH": "hard_swish", "SWISH_6": "swish6"}
_SIXTH = np.array(1 / 6, np.float32)
_THREE = np.array(3, np.float32)


def activate(builder: GraphBuilder, net: Tensor, scope: str, activation: Activation) -> Tensor:
    """`net` after `activation`, in nodes under `scope`."""
    if activation == "NONE":
        return net
    if activation == "SWISH":
        return _swish(builder, net, scope)
    if activation in _HARD:
        return _hard_swish(builder, net, f"{scope}/{_HARD[activation]}")
    op = _SINGLE[activation]
    return builder.add(op, f"{scope}/{op}", [net], net.shape)


def _hard_swish(builder: GraphBuilder, net: Tensor, scope: str) -> Tensor:
    three = builder.constant(f"{scope}/add/y", _THREE)
    moved = builder.add("AddV2", f"{scope}/add", [net, three], net.shape)
    clipped = builder.add("Relu6", f"{scope}/Relu6", [moved], net.shape)
    product = builder.add("Mul", f"{scope}/mul", [net, clipped], net.shape)
    sixth = builder.constant(f"{scope}/mul_1/y", _SIXTH)
    return builder.add("Mul", f"{scope}/mul_1", [product, sixth], net.shape)


def _swish(builder: GraphBuilder, net: Tensor, scope: str) -> Tensor:
    gate = builder.add("Sigmoid", f"{scope}/Sigmoid", [net], net.shape)
    product = builder.add("Mul", f"{scope}/mul", [net, gate], net.shape)
    # A function with a gradient of its own: it hands result and argument through.
    types: dict[str, Attr] = {"T": [DataType.DT_FLOAT, DataType.DT_FLOAT]}
    return builder.add("IdentityN", f"{scope}/IdentityN", [product, net], net.shape, types)


def hard_sigmoid(builder: GraphBuilder, net: Tensor, scope: str, factor: float) -> Tensor:
    """`relu6(net + 3) * factor`, the gate of MobileNet V3."""
    three = builder.constant(f"{scope}/add/y", _THREE)
    moved = builder.add("AddV2", f"{scope}/add", [net, three], net.shape)
    clipped = builder.add("Relu6", f"{scope}/Relu6", [moved], net.shape)
    scale = builder.constant(f"{scope}/mul/y", np.array(factor, np.float32))
    return builder.add("Mul", f"{scope}/mul", [clipped, scale], net.shape)
