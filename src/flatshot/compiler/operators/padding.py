"""Operators that add pixels around an image, or fold its grid into the batch and back."""

from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op, Value
from flatshot.compiler.operators.registry import (
    FLOAT32,
    EightBits,
    Operator,
    attr_text,
    eight_bit_version,
    register,
    require,
)
from flatshot.errors import GraphError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Array, Node
from flatshot.formats.tflite import Builtin

Pairs = list[tuple[int, int]]

_INDICES = FLOAT32 | {"int32", "int64"}
_MAX_SIDE = 2**24


def constant_pairs(op: Op, value: Value, what: str, count: int) -> Pairs:
    """The `count` pairs of integers from 0 in the constant `value`.

    Raises:
        GraphError: it is no constant, of another shape, or a number in it is negative.
    """
    data = value.data
    if data is None or data.dtype.kind not in "iu" or data.shape != (count, 2):
        raise GraphError(
            f"{op.name!r}: its {what} {value.name!r} must be {count} constant pairs of integers"
        )
    pairs = [(int(before), int(after)) for before, after in data]
    if any(not 0 <= number <= _MAX_SIDE for pair in pairs for number in pair):
        raise GraphError(f"{op.name!r}: {what} {pairs} are out of range")
    return pairs


def _pad_pairs(op: Op) -> Pairs:
    return constant_pairs(op, op.inputs[1], "paddings", len(op.inputs[0].dims))


def _pad_shape(op: Op) -> Dims:
    sides = zip(op.inputs[0].dims, _pad_pairs(op), strict=True)
    return tuple(before + size + after for size, (before, after) in sides)


def _pad(op: Op, x: Array, paddings: Array, value: Array | None = None) -> Array:
    filling = 0 if value is None else value.item()
    return np.pad(x, _pad_pairs(op), constant_values=filling)


register(
    Operator(
        "pad",
        tf=("Pad",),
        inputs=(2, 2),
        elements=_INDICES,
        shape=_pad_shape,
        kernel=_pad,
        builtin=Builtin.PAD,
        options=lambda op: tflite.PadOptions(),
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
        indices=(1,),
    )
)
register(
    Operator(
        "pad_with",
        tf=("PadV2",),
        inputs=(3, 3),
        elements=_INDICES,
        shape=_pad_shape,
        kernel=_pad,
        builtin=Builtin.PADV2,
        version=eight_bit_version(2),
        indices=(1,),
    )
)


def _mirror_attrs(node: Node) -> dict[str, Any]:
    mode = attr_text(node, "mode")
    require(node, mode in ("REFLECT", "SYMMETRIC"), f"mode {mode!r}; known: REFLECT, SYMMETRIC")
    return {"mode": mode}


def _mirror_shape(op: Op) -> Dims:
    edge = 1 if op.attrs["mode"] == "REFLECT" else 0
    for size, pair in zip(op.inputs[0].dims, _pad_pairs(op), strict=True):
        if max(pair) > size - edge:
            raise GraphError(f"{op.name!r}: {pair} pixels cannot be mirrored from {size}")
    return _pad_shape(op)


def _mirror_pad(op: Op, x: Array, paddings: Array) -> Array:
    if op.attrs["mode"] == "REFLECT":
        return np.pad(x, _pad_pairs(op), mode="reflect")
    return np.pad(x, _pad_pairs(op), mode="symmetric")


register(
    Operator(
        "mirror_pad",
        tf=("MirrorPad",),
        inputs=(2, 2),
        elements=_INDICES,
        attrs=_mirror_attrs,
        shape=_mirror_shape,
        kernel=_mirror_pad,
        builtin=Builtin.MIRROR_PAD,
        options=lambda op: tflite.MirrorPadOptions(int(op.attrs["mode"] == "SYMMETRIC")),
        version=eight_bit_version(2),
        eight_bits=EightBits.INPUT,
        indices=(1,),
    )
)


# --- the grid and the batch: how TensorFlow writes dilated convolutions -------------------------


def _grid(op: Op, what: str) -> tuple[list[int], Pairs]:
    """Block sizes and the pairs (`paddings` or `crops`) along height and width."""
    block = op.inputs[1].data
    if block is None or block.dtype.kind not in "iu" or block.shape != (2,):
        raise GraphError(f"{op.name!r}: its block shape must be two constant integers")
    sizes = [int(size) for size in block]
    if len(op.inputs[0].dims) != 4 or any(not 1 <= size <= _MAX_SIDE for size in sizes):
        raise GraphError(f"{op.name!r}: blocks {sizes} of an image {list(op.inputs[0].dims)}")
    return sizes, constant_pairs(op, op.inputs[2], what, 2)


def _to_batch_shape(op: Op) -> Dims:
    batch, *sides, channels = op.inputs[0].dims
    blocks, paddings = _grid(op, "paddings")
    padded = [before + side + after for side, (before, after) in zip(sides, paddings, strict=True)]
    if any(side % block for side, block in zip(padded, blocks, strict=True)):
        raise GraphError(f"{op.name!r}: blocks {blocks} do not divide {padded}")
    inner = [side // block for side, block in zip(padded, blocks, strict=True)]
    return (batch * blocks[0] * blocks[1], *inner, channels)


def _to_batch(op: Op, x: Array, block: Array, paddings: Array) -> Array:
    (rows, columns), pads = _grid(op, "paddings")
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    batch, height, width, channels = padded.shape
    cells = padded.reshape(batch, height // rows, rows, width // columns, columns, channels)
    return cells.transpose(2, 4, 0, 1, 3, 5).reshape(op.output.dims)


def _from_batch_shape(op: Op) -> Dims:
    batch, *sides, channels = op.inputs[0].dims
    blocks, crops = _grid(op, "crops")
    whole = [
        side * block - before - after
        for side, block, (before, after) in zip(sides, blocks, crops, strict=True)
    ]
    if batch % (blocks[0] * blocks[1]) or min(whole) < 1:
        raise GraphError(f"{op.name!r}: blocks {blocks}, crops {crops} of {[batch, *sides]}")
    return (batch // (blocks[0] * blocks[1]), *whole, channels)


def _from_batch(op: Op, x: Array, block: Array, crops: Array) -> Array:
    (rows, columns), cut = _grid(op, "crops")
    _, height, width, channels = x.shape
    cells = x.reshape(rows, columns, -1, height, width, channels).transpose(2, 3, 0, 4, 1, 5)
    whole = cells.reshape(-1, height * rows, width * columns, channels)
    (top, bottom), (left, right) = cut
    return whole[:, top : height * rows - bottom, left : width * columns - right]


for _kind, _tf, _shape, _kernel, _builtin in (
    ("space_to_batch", "SpaceToBatchND", _to_batch_shape, _to_batch, Builtin.SPACE_TO_BATCH_ND),
    ("batch_to_space", "BatchToSpaceND", _from_batch_shape, _from_batch, Builtin.BATCH_TO_SPACE_ND),
):
    register(
        Operator(
            _kind,
            tf=(_tf,),
            inputs=(3, 3),
            elements=_INDICES,
            shape=_shape,
            kernel=_kernel,
            builtin=_builtin,
            version=eight_bit_version(2),
            eight_bits=EightBits.INPUT,
            indices=(1, 2),
        )
    )
