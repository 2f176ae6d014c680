"""Operators on each element: arithmetic, activations, identities."""

from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op
from flatshot.compiler.operators.registry import (
    FLOAT32,
    NUMBERS,
    EightBits,
    Operator,
    attr,
    attr_text,
    eight_bit_version,
    is_int8,
    register,
    require,
)
from flatshot.errors import GraphError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Array, Node
from flatshot.formats.tflite import Builtin


def same_shape(op: Op) -> Dims:
    """The shape of the first input."""
    return op.inputs[0].dims


def broadcast_shape(op: Op) -> Dims:
    """The shape that all inputs broadcast to."""
    try:
        return np.broadcast_shapes(*(value.dims for value in op.inputs))
    except ValueError:
        shapes = " and ".join(str(list(value.dims)) for value in op.inputs)
        raise GraphError(f"{op.name!r}: shapes {shapes} do not broadcast") from None


def _activation(op: Op) -> int:
    return int(op.attrs.get("activation", tflite.Activation.NONE))


register(
    Operator(
        "identity",
        tf=("Identity", "StopGradient", "CheckNumerics", "PreventGradient", "Snapshot"),
        inputs=(1, 1),
        shape=same_shape,
        kernel=lambda op, x: x,
    )
)
register(
    Operator(
        "add",
        tf=("Add", "AddV2"),
        inputs=(2, 2),
        elements=NUMBERS,
        alike=True,
        shape=broadcast_shape,
        kernel=lambda op, x, y: x + y,
        builtin=Builtin.ADD,
        options=lambda op: tflite.AddOptions(_activation(op)),
        version=eight_bit_version(2),
        eight_bits=EightBits.OWN,
    )
)
register(
    Operator(
        "sub",
        tf=("Sub",),
        inputs=(2, 2),
        elements=NUMBERS,
        alike=True,
        shape=broadcast_shape,
        kernel=lambda op, x, y: x - y,
        builtin=Builtin.SUB,
        options=lambda op: tflite.SubOptions(_activation(op)),
        version=eight_bit_version(2),
        eight_bits=EightBits.OWN,
    )
)


def _mul_version(op: Op) -> int:
    """2 in int8; 3 where the product of the scales is not below the result's."""
    scales = [value.quantization for value in (*op.inputs, op.output)]
    if all(scale is not None for scale in scales):
        first, second, result = (float(scale.scale[0]) for scale in scales if scale is not None)
        if first * second >= result:
            return 3
    return 2 if is_int8(op) else 1


register(
    Operator(
        "mul",
        tf=("Mul",),
        inputs=(2, 2),
        elements=NUMBERS,
        alike=True,
        shape=broadcast_shape,
        kernel=lambda op, x, y: x * y,
        builtin=Builtin.MUL,
        options=lambda op: tflite.MulOptions(_activation(op)),
        version=_mul_version,
        eight_bits=EightBits.OWN,
    )
)
register(
    Operator(
        "div",
        tf=("RealDiv", "Div"),
        inputs=(2, 2),
        elements=NUMBERS,
        alike=True,
        shape=broadcast_shape,
        kernel=lambda op, x, y: np.divide(x, y).astype(x.dtype),
        builtin=Builtin.DIV,
        options=lambda op: tflite.DivOptions(_activation(op)),
    )
)
register(
    Operator(
        "maximum",
        tf=("Maximum",),
        inputs=(2, 2),
        elements=NUMBERS,
        alike=True,
        shape=broadcast_shape,
        kernel=lambda op, x, y: np.maximum(x, y),
        builtin=Builtin.MAXIMUM,
        options=lambda op: tflite.MaximumMinimumOptions(),
        version=eight_bit_version(2),
        eight_bits=EightBits.OWN,
    )
)
register(
    Operator(
        "minimum",
        tf=("Minimum",),
        inputs=(2, 2),
        elements=NUMBERS,
        alike=True,
        shape=broadcast_shape,
        kernel=lambda op, x, y: np.minimum(x, y),
        builtin=Builtin.MINIMUM,
        options=lambda op: tflite.MaximumMinimumOptions(),
        version=eight_bit_version(2),
        eight_bits=EightBits.OWN,
    )
)
register(
    Operator(
        "relu",
        tf=("Relu",),
        inputs=(1, 1),
        elements=FLOAT32,
        shape=same_shape,
        kernel=lambda op, x: np.maximum(x, 0),
        builtin=Builtin.RELU,
        version=eight_bit_version(2),
        eight_bits=EightBits.OWN,
    )
)
register(
    Operator(
        "relu6",
        tf=("Relu6",),
        inputs=(1, 1),
        elements=FLOAT32,
        shape=same_shape,
        kernel=lambda op, x: np.clip(x, 0, 6),
        builtin=Builtin.RELU6,
        version=eight_bit_version(2),
        eight_bits=EightBits.OWN,
    )
)
register(
    Operator(
        "sigmoid",
        tf=("Sigmoid",),
        inputs=(1, 1),
        elements=FLOAT32,
        shape=same_shape,
        # The form with tanh overflows nowhere.
        kernel=lambda op, x: (0.5 + 0.5 * np.tanh(x.astype(np.float64) / 2)).astype(x.dtype),
        builtin=Builtin.LOGISTIC,
        version=eight_bit_version(2),
        eight_bits=EightBits.UNIT,
    )
)


def _softmax_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    if not dims or dims[-1] < 1:
        raise GraphError(f"{op.name!r}: the softmax of {list(dims)} has nothing to add up")
    return dims


def _softmax(op: Op, x: Array) -> Array:
    wide = x.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    scores: Array = (powers / powers.sum(axis=-1, keepdims=True)).astype(x.dtype)
    return scores


register(
    Operator(
        "softmax",
        tf=("Softmax",),
        inputs=(1, 1),
        elements=FLOAT32,
        shape=_softmax_shape,
        kernel=_softmax,
        builtin=Builtin.SOFTMAX,
        options=lambda op: tflite.SoftmaxOptions(beta=1.0),
        version=eight_bit_version(2),
        eight_bits=EightBits.UNIT,
    )
)


def _channel_attrs(node: Node) -> dict[str, Any]:
    layout = attr_text(node, "data_format", b"NHWC")
    require(node, layout == "NHWC", f"data_format {layout}; only NHWC is supported")
    return {}


def _channel_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    for value in op.inputs[1:]:
        if value.dims != dims[-1:]:
            raise GraphError(f"{op.name!r}: {value.name!r} is {list(value.dims)}, not {dims[-1:]}")
    return dims


register(
    Operator(
        "bias_add",
        tf=("BiasAdd",),
        inputs=(2, 2),
        elements=FLOAT32,
        alike=True,
        attrs=_channel_attrs,
        shape=_channel_shape,
        kernel=lambda op, x, bias: x + bias,
    )
)


def _batch_norm_attrs(node: Node) -> dict[str, Any]:
    _channel_attrs(node)
    require(
        node,
        attr(node, "is_training", bool, False) is False,
        "is_training is true; freeze the graph for inference",
    )
    # Both proto and kernel have this default; see `nn_ops.cc`.
    return {"epsilon": attr(node, "epsilon", float, 1e-4)}


def _batch_norm(op: Op, x: Array, gamma: Array, beta: Array, mean: Array, var: Array) -> Array:
    scale = gamma / np.sqrt(var + np.float32(op.attrs["epsilon"]))
    return x * scale + (beta - mean * scale)


register(
    Operator(
        "batch_norm",
        tf=("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"),
        inputs=(5, 5),
        elements=FLOAT32,
        alike=True,
        attrs=_batch_norm_attrs,
        shape=_channel_shape,
        kernel=_batch_norm,
    )
)
