"""Operators that make an image larger or smaller. Sources: TensorFlow's `image_resizer_state.h`."""

from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op
from flatshot.compiler.operators.registry import (
    FLOAT32,
    EightBits,
    Operator,
    attr,
    is_int8,
    register,
    require,
)
from flatshot.compiler.operators.shaping import constant_ints
from flatshot.errors import GraphError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Array, Node
from flatshot.formats.tflite import Builtin


def _resize_attrs(node: Node) -> dict[str, Any]:
    corners = attr(node, "align_corners", bool, False)
    half_pixel = attr(node, "half_pixel_centers", bool, False)
    require(node, not (corners and half_pixel), "align_corners excludes half_pixel_centers")
    return {"align_corners": corners, "half_pixel_centers": half_pixel}


def _resize_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    size = constant_ints(op, op.inputs[1], "size")
    if len(dims) != 4 or len(size) != 2 or min(size) < 1:
        raise GraphError(f"{op.name!r}: an image {list(dims)} cannot be resized to {size}")
    return (dims[0], *size, dims[3])


def _positions(op: Op, axis: int) -> Array:
    """Where in the input each output pixel lies along `axis`, as float32."""
    before, after = op.inputs[0].dims[axis], op.output.dims[axis]
    corners = op.attrs["align_corners"] and after > 1
    scale = np.float32(before - 1) / np.float32(after - 1) if corners else np.float32(before)
    if not corners:
        scale = scale / np.float32(after)
    places = np.arange(after, dtype=np.float32)
    if op.attrs["half_pixel_centers"]:
        return (places + np.float32(0.5)) * scale
    return places * scale


def _nearest(op: Op, x: Array, size: Array) -> Array:
    for axis in (1, 2):
        places = _positions(op, axis)
        # Halves go up, as in TensorFlow; NumPy's own rounding takes them to the even side.
        rounded = np.floor(places + np.float32(0.5) if op.attrs["align_corners"] else places)
        x = x.take(np.clip(rounded, 0, x.shape[axis] - 1).astype(np.int64), axis=axis)
    return x


def _bilinear(op: Op, x: Array, size: Array) -> Array:
    for axis in (1, 2):
        places = _positions(op, axis)
        if op.attrs["half_pixel_centers"]:
            places = places - np.float32(0.5)
        low = np.floor(places)
        share = (places - low).astype(np.float32)
        last = x.shape[axis] - 1
        near = x.take(np.clip(low, 0, last).astype(np.int64), axis=axis)
        far = x.take(np.clip(low + 1, 0, last).astype(np.int64), axis=axis)
        weights = share.reshape([-1 if number == axis else 1 for number in range(4)])
        x = near + (far - near) * weights
    return x


def _nearest_version(op: Op) -> int:
    """3 where pixels are not taken from the corner; 2 in int8."""
    return 3 if any(op.attrs.values()) else 1 + is_int8(op)


def _bilinear_version(op: Op) -> int:
    """3 where pixels have centres; 2 in int8."""
    return 3 if op.attrs["half_pixel_centers"] else 1 + is_int8(op)


register(
    Operator(
        "resize_nearest",
        tf=("ResizeNearestNeighbor",),
        inputs=(2, 2),
        elements=FLOAT32 | {"int32"},
        attrs=_resize_attrs,
        shape=_resize_shape,
        kernel=_nearest,
        builtin=Builtin.RESIZE_NEAREST_NEIGHBOR,
        options=lambda op: tflite.ResizeNearestNeighborOptions(**op.attrs),
        version=_nearest_version,
        eight_bits=EightBits.INPUT,
        indices=(1,),
    )
)
register(
    Operator(
        "resize_bilinear",
        tf=("ResizeBilinear",),
        inputs=(2, 2),
        elements=FLOAT32 | {"int32"},
        attrs=_resize_attrs,
        shape=_resize_shape,
        kernel=_bilinear,
        builtin=Builtin.RESIZE_BILINEAR,
        options=lambda op: tflite.ResizeBilinearOptions(**op.attrs),
        version=_bilinear_version,
        eight_bits=EightBits.INPUT,
        indices=(1,),
    )
)
