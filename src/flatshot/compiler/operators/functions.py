"""More operators on each element: powers, activations of newer networks, quantisation's grid."""

from collections.abc import Callable
from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op, Value
from flatshot.compiler.operators.elementwise import broadcast_shape, same_shape
from flatshot.compiler.operators.registry import (
    FLOAT32,
    EightBits,
    Operator,
    attr,
    eight_bit_version,
    register,
    require,
)
from flatshot.errors import GraphError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Array, Node
from flatshot.formats.tflite import Builtin

_Function = Callable[[Array], Array]


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


# One number in, one number out: kind, GraphDef name, meaning, TensorFlow Lite operator.
_FUNCTIONS: tuple[tuple[str, str, _Function, Builtin], ...] = (
    ("rsqrt", "Rsqrt", lambda x: np.float32(1) / np.sqrt(x), Builtin.RSQRT),
    ("sqrt", "Sqrt", np.sqrt, Builtin.SQRT),
    ("square", "Square", np.square, Builtin.SQUARE),
    ("exp", "Exp", np.exp, Builtin.EXP),
    ("neg", "Neg", np.negative, Builtin.NEG),
    ("abs", "Abs", np.abs, Builtin.ABS),
    ("tanh", "Tanh", np.tanh, Builtin.TANH),
    ("elu", "Elu", _elu, Builtin.ELU),
)


def _kernel(function: _Function) -> Callable[[Op, Array], Array]:
    return lambda op, x: function(x)


for _kind, _tf, _function, _builtin in _FUNCTIONS:
    register(
        Operator(
            _kind,
            tf=(_tf,),
            inputs=(1, 1),
            elements=FLOAT32,
            shape=same_shape,
            kernel=_kernel(_function),
            builtin=_builtin,
            version=eight_bit_version(2),
            eight_bits=EightBits.SIGN if _kind == "tanh" else EightBits.NO,
        )
    )

register(
    Operator(
        "hard_swish",
        # GraphDef has no such operator: a pass makes it of x * relu6(x + 3) / 6.
        tf=(),
        inputs=(1, 1),
        elements=FLOAT32,
        shape=same_shape,
        kernel=lambda op, x: x * np.clip(x + np.float32(3), 0, 6) / np.float32(6),
        builtin=Builtin.HARD_SWISH,
        eight_bits=EightBits.OWN,
    )
)
register(
    Operator(
        "squared_difference",
        tf=("SquaredDifference",),
        inputs=(2, 2),
        elements=FLOAT32,
        alike=True,
        shape=broadcast_shape,
        kernel=lambda op, x, y: np.square(x - y),
        builtin=Builtin.SQUARED_DIFFERENCE,
    )
)


def _sum_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    if any(value.dims != dims for value in op.inputs):
        raise GraphError(f"{op.name!r}: its parts have different shapes")
    return dims


register(
    Operator(
        "add_n",
        tf=("AddN",),
        inputs=(1, 10_000),
        elements=FLOAT32,
        alike=True,
        shape=_sum_shape,
        kernel=lambda op, *parts: np.sum(parts, axis=0, dtype=parts[0].dtype),
        builtin=Builtin.ADD_N,
    )
)
register(
    Operator(
        "leaky_relu",
        tf=("LeakyRelu",),
        inputs=(1, 1),
        elements=FLOAT32,
        attrs=lambda node: {"alpha": attr(node, "alpha", float, 0.2)},
        shape=same_shape,
        kernel=lambda op, x: np.where(x > 0, x, x * np.float32(op.attrs["alpha"])),
        builtin=Builtin.LEAKY_RELU,
        options=lambda op: tflite.LeakyReluOptions(op.attrs["alpha"]),
        eight_bits=EightBits.OWN,
    )
)


# --- quantisation's grid ------------------------------------------------------------------------


def _fake_quant_attrs(node: Node) -> dict[str, Any]:
    bits = attr(node, "num_bits", int, 8)
    require(node, 2 <= bits <= 16, f"num_bits {bits}; 2 to 16 are supported")
    attrs = {"num_bits": bits, "narrow_range": attr(node, "narrow_range", bool, False)}
    if node.op == "FakeQuantWithMinMaxArgs":
        attrs |= {"min": attr(node, "min", float, -6.0), "max": attr(node, "max", float, 6.0)}
    return attrs


def fake_quant_limits(op: Op) -> tuple[float, float]:
    """The least and the largest number that quantisation keeps.

    Raises:
        GraphError: they are not constant, or do not enclose 0.
    """
    if len(op.inputs) == 3:
        low, high = (_limit(op, value) for value in op.inputs[1:])
    elif "min" in op.attrs:
        low, high = op.attrs["min"], op.attrs["max"]
    else:
        raise GraphError(f"{op.name!r}: it has no limits")
    if not low <= 0 <= high or not low < high:
        raise GraphError(f"{op.name!r}: the limits {low:g} and {high:g} do not enclose 0")
    return low, high


def _limit(op: Op, value: Value) -> float:
    if value.data is None or value.data.size != 1:
        raise GraphError(f"{op.name!r}: its limit {value.name!r} must be a constant number")
    return float(value.data.reshape(()))


def _fake_quant(op: Op, x: Array, *limits: Array) -> Array:
    """`x` on the grid of its integers. Source: TensorFlow's `fake_quant_ops_functor.h`."""
    least = 1 if op.attrs["narrow_range"] else 0
    most = 2 ** op.attrs["num_bits"] - 1
    low, high = (np.float32(limit) for limit in fake_quant_limits(op))
    scale = (high - low) / np.float32(most - least)
    # The grid is shifted so that 0 lies on it.
    zero = np.clip(np.floor(np.float32(least) - low / scale + np.float32(0.5)), least, most)
    bottom = (np.float32(least) - zero) * scale
    top = (np.float32(most) - zero) * scale
    steps = np.floor((np.clip(x, bottom, top) - bottom) / scale + np.float32(0.5))
    return np.asarray(steps * scale + bottom, x.dtype)


register(
    Operator(
        "fake_quant",
        # The passes read its range or leave it out: TensorFlow Lite's is no use to anyone.
        tf=("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs"),
        inputs=(1, 3),
        elements=FLOAT32,
        alike=True,
        attrs=_fake_quant_attrs,
        shape=same_shape,
        kernel=_fake_quant,
    )
)
