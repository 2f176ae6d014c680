"""Operators that take the largest or the mean of a window, or the mean along whole axes."""

from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op
from flatshot.compiler.operators.convolution import output_side, padding_around, window
from flatshot.compiler.operators.registry import (
    FLOAT32,
    EightBits,
    Operator,
    attr,
    attr_text,
    eight_bit_version,
    register,
    require,
)
from flatshot.compiler.operators.shaping import constant_ints
from flatshot.errors import GraphError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Array, Node
from flatshot.formats.tflite import Builtin, Padding


def _pool_attrs(node: Node) -> dict[str, Any]:
    layout = attr_text(node, "data_format", b"NHWC")
    require(node, layout == "NHWC", f"data_format {layout}; only NHWC is supported")
    padding = attr_text(node, "padding")
    require(node, padding in ("SAME", "VALID"), f"padding {padding!r}; known: SAME, VALID")
    return {
        "padding": Padding[padding],
        "strides": window(node, "strides"),
        "window": window(node, "ksize"),
    }


def _pool_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    if len(dims) != 4:
        raise GraphError(f"{op.name!r}: an image of rank {len(dims)}, not 4")
    steps = zip(op.attrs["window"], op.attrs["strides"], strict=True)
    sides = [
        output_side(op, dims[1 + axis], extent, stride)
        for axis, (extent, stride) in enumerate(steps)
    ]
    return (dims[0], *sides, dims[3])


def _windows(op: Op, x: Array, filling: float) -> Array:
    """What lies under each output: (batch, height, width, kh, kw, channels)."""
    pads = [(0, 0)]
    places = []
    steps = zip(op.attrs["window"], op.attrs["strides"], strict=True)
    for axis, (extent, stride) in enumerate(steps):
        side = x.shape[1 + axis]
        size = output_side(op, side, extent, stride)
        pads.append(padding_around(op, side, size, extent, stride))
        places.append((np.arange(size) * stride)[:, None] + np.arange(extent))
    padded = np.pad(x, [*pads, (0, 0)], constant_values=filling)
    rows, columns = places
    return padded[:, rows[:, None, :, None], columns[None, :, None, :]]


def _max_pool(op: Op, x: Array) -> Array:
    largest: Array = _windows(op, x, -np.inf).max(axis=(3, 4))
    return largest


def _average_pool(op: Op, x: Array) -> Array:
    """The mean of the window's pixels that lie in the image: padding does not count."""
    counts = _windows(op, np.ones_like(x), 0).sum(axis=(3, 4))
    sums: Array = _windows(op, x, 0).sum(axis=(3, 4))
    return np.asarray(sums / counts, x.dtype)


def _pool_options(op: Op) -> tflite.Pool2DOptions:
    return tflite.Pool2DOptions(
        padding=int(op.attrs["padding"]),
        stride_w=op.attrs["strides"][1],
        stride_h=op.attrs["strides"][0],
        filter_w=op.attrs["window"][1],
        filter_h=op.attrs["window"][0],
        activation=int(op.attrs.get("activation", 0)),
    )


register(
    Operator(
        "max_pool",
        tf=("MaxPool",),
        inputs=(1, 1),
        elements=FLOAT32,
        attrs=_pool_attrs,
        shape=_pool_shape,
        kernel=_max_pool,
        builtin=Builtin.MAX_POOL_2D,
        options=_pool_options,
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
    )
)
register(
    Operator(
        "average_pool",
        tf=("AvgPool",),
        inputs=(1, 1),
        elements=FLOAT32,
        attrs=_pool_attrs,
        shape=_pool_shape,
        kernel=_average_pool,
        builtin=Builtin.AVERAGE_POOL_2D,
        options=_pool_options,
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
    )
)


def _axes(op: Op) -> list[int]:
    rank = len(op.inputs[0].dims)
    axes = constant_ints(op, op.inputs[1], "axes")
    if any(not -rank <= axis < rank for axis in axes):
        raise GraphError(f"{op.name!r}: axes {axes} are not among {rank} dimensions")
    return sorted({axis % rank for axis in axes})


def _reduced_shape(op: Op) -> Dims:
    axes = _axes(op)
    sides = enumerate(op.inputs[0].dims)
    if op.attrs["keep_dims"]:
        return tuple(1 if axis in axes else size for axis, size in sides)
    return tuple(size for axis, size in sides if axis not in axes)


def _mean(op: Op, x: Array, axes: Array) -> Array:
    means = x.mean(axis=tuple(_axes(op)), keepdims=op.attrs["keep_dims"], dtype=np.float64)
    return np.asarray(means, x.dtype)


register(
    Operator(
        "mean",
        tf=("Mean",),
        inputs=(2, 2),
        # The second are the axes.
        elements=FLOAT32 | {"int32", "int64"},
        attrs=lambda node: {"keep_dims": attr(node, "keep_dims", bool, False)},
        shape=_reduced_shape,
        kernel=_mean,
        builtin=Builtin.MEAN,
        options=lambda op: tflite.ReducerOptions(keep_dims=op.attrs["keep_dims"]),
        version=eight_bit_version(2),
        eight_bits=EightBits.OWN,
        indices=(1,),
    )
)
