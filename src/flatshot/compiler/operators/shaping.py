"""Operators that only rearrange elements: reshape, squeeze, concatenate."""

import math
from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op, Value
from flatshot.compiler.operators.registry import (
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


def constant_ints(op: Op, value: Value, what: str) -> list[int]:
    """The integers in the constant `value`.

    Raises:
        GraphError: it is no constant, or no vector or scalar of integers.
    """
    if value.data is None or value.data.dtype.kind not in "iu" or value.data.ndim > 1:
        raise GraphError(f"{op.name!r}: its {what} {value.name!r} must be constant integers")
    return [int(number) for number in value.data.reshape(-1)]


def _reshape_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    target = constant_ints(op, op.inputs[1], "shape")
    if len(target) > 8:
        raise GraphError(f"{op.name!r}: a shape of rank {len(target)} is not supported")
    known = math.prod(size for size in target if size != -1)
    total = math.prod(dims)
    if target.count(-1) == 1 and known > 0 and total % known == 0:
        target[target.index(-1)] = total // known
    if min(target, default=1) < 0 or math.prod(target) != total:
        raise GraphError(f"{op.name!r}: {list(dims)} cannot be reshaped to {target}")
    return tuple(target)


register(
    Operator(
        "reshape",
        tf=("Reshape",),
        inputs=(2, 2),
        shape=_reshape_shape,
        kernel=lambda op, x, shape: x.reshape(op.output.dims),
        builtin=Builtin.RESHAPE,
        options=lambda op: tflite.ReshapeOptions(np.asarray(op.inputs[1].data, np.int32)),
        eight_bits=EightBits.INPUT,
        indices=(1,),
    )
)


def _squeeze_attrs(node: Node) -> dict[str, Any]:
    axes = attr(node, "squeeze_dims", list, node.attrs.get("axis", []))
    require(node, all(type(axis) is int for axis in axes), f"squeeze_dims {axes}")
    return {"axes": axes}


def _squeeze_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    rank = len(dims)
    axes = op.attrs["axes"] or [axis for axis in range(rank) if dims[axis] == 1]
    if any(not -rank <= axis < rank or dims[axis] != 1 for axis in axes):
        raise GraphError(f"{op.name!r}: {list(dims)} has no side of 1 to squeeze at {axes}")
    gone = {axis % rank for axis in axes}
    return tuple(size for axis, size in enumerate(dims) if axis not in gone)


register(
    Operator(
        "squeeze",
        tf=("Squeeze",),
        inputs=(1, 1),
        attrs=_squeeze_attrs,
        shape=_squeeze_shape,
        kernel=lambda op, x: x.reshape(op.output.dims),
    )
)


def concat_axis(op: Op) -> int:
    """The axis of a concatenation, from 0: its last input in GraphDef, then an attribute."""
    if "axis" in op.attrs:
        return int(op.attrs["axis"])
    axis = constant_ints(op, op.inputs[-1], "axis")
    rank = len(op.inputs[0].dims)
    if len(axis) != 1 or not -rank <= axis[0] < rank:
        raise GraphError(f"{op.name!r}: axis {axis} is not one of {rank} dimensions")
    return axis[0] % rank


def _concat_shape(op: Op) -> Dims:
    axis = concat_axis(op)
    parts = [value.dims for value in (op.inputs if "axis" in op.attrs else op.inputs[:-1])]
    others = {(*dims[:axis], *dims[axis + 1 :]) for dims in parts}
    if len(others) != 1 or len({len(dims) for dims in parts}) != 1:
        raise GraphError(f"{op.name!r}: shapes {[list(dims) for dims in parts]} do not line up")
    if len({value.dtype for value in op.inputs[: len(parts)]}) != 1:
        raise GraphError(f"{op.name!r}: its parts have different element types")
    first = parts[0]
    return (*first[:axis], sum(dims[axis] for dims in parts), *first[axis + 1 :])


def _concat(op: Op, *parts: Array) -> Array:
    inputs = parts if "axis" in op.attrs else parts[:-1]
    return np.concatenate(inputs, concat_axis(op))


register(
    Operator(
        "concat",
        tf=("ConcatV2",),
        inputs=(2, 10_000),
        shape=_concat_shape,
        kernel=_concat,
        builtin=Builtin.CONCATENATION,
        options=lambda op: tflite.ConcatenationOptions(op.attrs["axis"]),
        version=eight_bit_version(2),
        eight_bits=EightBits.OWN,
    )
)
