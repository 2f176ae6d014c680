"""Operators on shapes, axes and parts of a tensor: most of them fold away once sides are known."""

from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op
from flatshot.compiler.operators.elementwise import same_shape
from flatshot.compiler.operators.registry import (
    ANY,
    NUMBERS,
    EightBits,
    Operator,
    attr,
    eight_bit_version,
    register,
    require,
)
from flatshot.compiler.operators.shaping import constant_ints
from flatshot.errors import GraphError
from flatshot.formats import tflite
from flatshot.formats.graphdef import MAX_RANK, NUMPY_TYPES, Array, DataType, Node
from flatshot.formats.tflite import Builtin

_TFLITE_TYPES = {dtype: int(number) for number, dtype in tflite.NUMPY_TYPES.items()}


def _element_attr(node: Node, name: str, default: DataType | None = None) -> np.dtype[Any]:
    kind = attr(node, name, DataType, default)
    require(node, kind in NUMPY_TYPES, f"{name} {kind!r} is not supported")
    return NUMPY_TYPES[kind]


def _axis(op: Op, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise GraphError(f"{op.name!r}: axis {axis} is not one of {rank} dimensions")
    return axis % rank


def _one_axis(op: Op, index: int, rank: int) -> int:
    """The axis that the constant input number `index` names, from 0."""
    axis = constant_ints(op, op.inputs[index], "axis")
    if len(axis) != 1:
        raise GraphError(f"{op.name!r}: {axis} is no axis")
    return _axis(op, axis[0], rank)


# --- shapes as values ---------------------------------------------------------------------------

register(
    Operator(
        "shape",
        tf=("Shape",),
        inputs=(1, 1),
        attrs=lambda node: {"element": _element_attr(node, "out_type", DataType.DT_INT32)},
        shape=lambda op: (len(op.inputs[0].dims),),
        element=lambda op: np.dtype(op.attrs["element"]),
        kernel=lambda op, x: np.array(x.shape, op.attrs["element"]),
        builtin=Builtin.SHAPE,
        options=lambda op: tflite.ShapeOptions(_TFLITE_TYPES[op.attrs["element"]]),
    )
)
register(
    Operator(
        "fill",
        tf=("Fill",),
        inputs=(2, 2),
        shape=lambda op: _sides(op, 0),
        element=lambda op: op.inputs[1].dtype,
        kernel=lambda op, dims, value: np.full(op.output.dims, value.reshape(()), value.dtype),
        builtin=Builtin.FILL,
        indices=(0,),
    )
)


def _sides(op: Op, index: int) -> Dims:
    sides = constant_ints(op, op.inputs[index], "shape")
    if min(sides, default=0) < 0 or len(sides) > MAX_RANK:
        raise GraphError(f"{op.name!r}: {sides} is no shape")
    return tuple(sides)


def _tile_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    multiples = constant_ints(op, op.inputs[1], "multiples")
    if len(multiples) != len(dims) or min(multiples, default=0) < 0:
        raise GraphError(f"{op.name!r}: {list(dims)} cannot be tiled {multiples} times")
    return tuple(size * times for size, times in zip(dims, multiples, strict=True))


register(
    Operator(
        "tile",
        tf=("Tile",),
        inputs=(2, 2),
        elements=NUMBERS | {"bool"},
        shape=_tile_shape,
        kernel=lambda op, x, multiples: np.tile(x, multiples),
        builtin=Builtin.TILE,
        indices=(1,),
    )
)
register(
    Operator(
        "cast",
        tf=("Cast",),
        inputs=(1, 1),
        elements=ANY,
        attrs=lambda node: {"element": _element_attr(node, "DstT")},
        shape=same_shape,
        element=lambda op: np.dtype(op.attrs["element"]),
        kernel=lambda op, x: x.astype(op.attrs["element"]),
        builtin=Builtin.CAST,
        options=lambda op: tflite.CastOptions(
            _TFLITE_TYPES[op.inputs[0].dtype], _TFLITE_TYPES[op.attrs["element"]]
        ),
    )
)


# --- axes ---------------------------------------------------------------------------------------


def _transpose_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    order = constant_ints(op, op.inputs[1], "permutation")
    if sorted(axis % max(len(dims), 1) for axis in order) != list(range(len(dims))):
        raise GraphError(f"{op.name!r}: {order} does not permute {len(dims)} dimensions")
    return tuple(dims[axis] for axis in order)


register(
    Operator(
        "transpose",
        tf=("Transpose",),
        inputs=(2, 2),
        shape=_transpose_shape,
        kernel=lambda op, x, order: x.transpose([int(axis) for axis in order]),
        builtin=Builtin.TRANSPOSE,
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
        indices=(1,),
    )
)


def _expand_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    axis = _one_axis(op, 1, len(dims) + 1)
    return (*dims[:axis], 1, *dims[axis:])


register(
    Operator(
        "expand_dims",
        tf=("ExpandDims",),
        inputs=(2, 2),
        shape=_expand_shape,
        kernel=lambda op, x, axis: x.reshape(op.output.dims),
        builtin=Builtin.EXPAND_DIMS,
        eight_bits=EightBits.INPUT,
        indices=(1,),
    )
)


def _pack_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    if any(value.dims != dims for value in op.inputs):
        raise GraphError(f"{op.name!r}: its parts have different shapes")
    axis = _axis(op, op.attrs["axis"], len(dims) + 1)
    return (*dims[:axis], len(op.inputs), *dims[axis:])


register(
    Operator(
        "pack",
        tf=("Pack",),
        inputs=(1, 10_000),
        alike=True,
        attrs=lambda node: {"axis": attr(node, "axis", int, 0)},
        shape=_pack_shape,
        kernel=lambda op, *parts: np.stack(parts, op.attrs["axis"]),
        builtin=Builtin.PACK,
        options=lambda op: tflite.PackOptions(len(op.inputs), op.attrs["axis"]),
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
    )
)


# --- parts --------------------------------------------------------------------------------------
# Operators with several outputs: their kernels give one array whose first axis counts them.


def _unpack_shape(op: Op) -> Dims:
    dims = op.inputs[0].dims
    axis = _axis(op, op.attrs["axis"], len(dims))
    if dims[axis] != op.attrs["num"]:
        raise GraphError(f"{op.name!r}: {dims[axis]} parts, not {op.attrs['num']}")
    return (*dims[:axis], *dims[axis + 1 :])


register(
    Operator(
        "unpack",
        tf=("Unpack",),
        inputs=(1, 1),
        attrs=lambda node: {"num": _count(node, "num"), "axis": attr(node, "axis", int, 0)},
        outputs=lambda op: int(op.attrs["num"]),
        shape=_unpack_shape,
        kernel=lambda op, x: np.moveaxis(x, op.attrs["axis"], 0),
        builtin=Builtin.UNPACK,
        options=lambda op: tflite.UnpackOptions(op.attrs["num"], op.attrs["axis"]),
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
    )
)


def _count(node: Node, name: str) -> int:
    number: int = attr(node, name, int)
    require(node, 1 <= number <= 10_000, f"{name} {number} is out of range")
    return number


def _split_shape(op: Op) -> Dims:
    dims = op.inputs[1].dims
    axis, count = _one_axis(op, 0, len(dims)), op.attrs["num"]
    if dims[axis] % count:
        raise GraphError(f"{op.name!r}: {dims[axis]} cannot be split into {count} equal parts")
    return (*dims[:axis], dims[axis] // count, *dims[axis + 1 :])


register(
    Operator(
        "split",
        tf=("Split",),
        inputs=(2, 2),
        attrs=lambda node: {"num": _count(node, "num_split")},
        outputs=lambda op: int(op.attrs["num"]),
        element=lambda op: op.inputs[1].dtype,
        shape=_split_shape,
        kernel=lambda op, axis, x: np.stack(np.split(x, op.attrs["num"], int(axis.reshape(())))),
        builtin=Builtin.SPLIT,
        options=lambda op: tflite.SplitOptions(op.attrs["num"]),
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
        indices=(0,),
    )
)


def _slice_ranges(op: Op) -> list[slice]:
    dims = op.inputs[0].dims
    begin = constant_ints(op, op.inputs[1], "begin")
    size = constant_ints(op, op.inputs[2], "size")
    if not len(begin) == len(size) == len(dims):
        raise GraphError(f"{op.name!r}: begin {begin} and size {size} of {list(dims)}")
    ranges = []
    for side, first, count in zip(dims, begin, size, strict=True):
        last = side if count == -1 else first + count
        if not 0 <= first <= last <= side:
            raise GraphError(f"{op.name!r}: {first} to {last} does not lie in {side}")
        ranges.append(slice(first, last))
    return ranges


register(
    Operator(
        "slice",
        tf=("Slice",),
        inputs=(3, 3),
        shape=lambda op: tuple(part.stop - part.start for part in _slice_ranges(op)),
        kernel=lambda op, x, begin, size: x[tuple(_slice_ranges(op))],
        builtin=Builtin.SLICE,
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
        indices=(1, 2),
    )
)

_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
Index = tuple[slice | int | None, ...]


def _strided_attrs(node: Node) -> dict[str, Any]:
    masks = {name: attr(node, name, int, 0) for name in _MASKS}
    require(node, masks["ellipsis_mask"].bit_count() <= 1, "it has several ellipses")
    return masks


def _strided_index(op: Op) -> Index:
    """The slices of NumPy that mean the same. Source: `core/util/strided_slice_op.cc`."""
    begin, end, step = (constant_ints(op, value, "slice") for value in op.inputs[1:])
    if not len(begin) == len(end) == len(step) or 0 in step:
        raise GraphError(f"{op.name!r}: begin {begin}, end {end}, strides {step}")

    def masked(name: str, number: int) -> bool:
        return bool(op.attrs[name] >> number & 1)

    def entry(number: int) -> Any:
        for name, meaning in (("ellipsis_mask", ...), ("new_axis_mask", None)):
            if masked(name, number):
                return meaning
        if masked("shrink_axis_mask", number):
            return begin[number]
        first = None if masked("begin_mask", number) else begin[number]
        last = None if masked("end_mask", number) else end[number]
        return slice(first, last, step[number])

    return tuple(entry(number) for number in range(len(begin)))


def _strided_shape(op: Op) -> Dims:
    # A view of one element that only has the shape: nothing is allocated.
    like = np.broadcast_to(np.int8(0), op.inputs[0].dims)
    try:
        return like[_strided_index(op)].shape
    except IndexError as error:
        raise GraphError(f"{op.name!r}: {error}") from error


register(
    Operator(
        "strided_slice",
        tf=("StridedSlice",),
        inputs=(4, 4),
        attrs=_strided_attrs,
        shape=_strided_shape,
        kernel=lambda op, x, *bounds: np.asarray(x[_strided_index(op)]),
        builtin=Builtin.STRIDED_SLICE,
        options=lambda op: tflite.StridedSliceOptions(**op.attrs),
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
        indices=(1, 2, 3),
    )
)


def _gather_shape(op: Op) -> Dims:
    dims, places = op.inputs[0].dims, op.inputs[1].dims
    axis = gather_axis(op)
    return (*dims[:axis], *places, *dims[axis + 1 :])


def gather_axis(op: Op) -> int:
    """The axis to gather along: the third input in GraphDef, an attribute once settled."""
    if len(op.inputs) < 3:
        return int(op.attrs.get("axis", 0))
    return _one_axis(op, 2, len(op.inputs[0].dims))


def _gather(op: Op, x: Array, places: Array, axis: Array | None = None) -> Array:
    along = gather_axis(op)
    if places.size and not 0 <= places.min() <= places.max() < x.shape[along]:
        raise GraphError(f"{op.name!r}: it reads places that the axis of {x.shape[along]} lacks")
    return x.take(places, axis=along)


def _gather_attrs(node: Node) -> dict[str, Any]:
    require(node, attr(node, "batch_dims", int, 0) == 0, "batch_dims are not supported")
    return {}


register(
    Operator(
        "gather",
        tf=("Gather", "GatherV2"),
        inputs=(2, 3),
        attrs=_gather_attrs,
        shape=_gather_shape,
        kernel=_gather,
        builtin=Builtin.GATHER,
        options=lambda op: tflite.GatherOptions(gather_axis(op)),
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
        indices=(1,),
    )
)
