"""Smaller files that compute with real numbers: constants as halves, or weights as integers."""

from collections.abc import Callable

import numpy as np

from flatshot.compiler.ir import Graph, Op, Quantization, Value
from flatshot.compiler.operators import OPERATORS
from flatshot.compiler.quantization.affine import round_away
from flatshot.errors import GraphError
from flatshot.formats.graphdef import Array

Packing = Callable[[Op, int, Array], tuple[Array, Quantization | None] | None]
_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
# Smaller constants would not pay for the operator that unpacks them.
_LEAST = 64
_LARGEST_HALF = float(np.finfo(np.float16).max)


def store_halves(graph: Graph) -> int:
    """Keep filters and biases in float16, unpacked by a DEQUANTIZE; how many.

    Raises:
        GraphError: a number is larger than a half can be.
    """

    def pack(op: Op, number: int, data: Array) -> tuple[Array, Quantization | None] | None:
        if data.size < _LEAST:
            return None
        if np.abs(data).max() > _LARGEST_HALF:
            raise GraphError(
                f"{op.inputs[number].name!r} holds numbers beyond {_LARGEST_HALF:g}, the largest "
                "that float16 has: keep it in float32"
            )
        return data.astype(np.float16), None

    return _pack(graph, pack)


def store_integers(graph: Graph) -> int:
    """Keep filters in int8 with a scale for each channel, unpacked by a DEQUANTIZE; how many."""

    def pack(op: Op, number: int, data: Array) -> tuple[Array, Quantization | None] | None:
        axis = OPERATORS[op.kind].channel_axis
        if number != 1 or data.size < _LEAST or axis is None:
            return None
        others = tuple(n for n in range(data.ndim) if n != axis)
        scale = np.abs(data).max(axis=others).astype(np.float64) / 127
        scale = np.where(scale > np.finfo(np.float32).tiny, scale, 1.0).astype(np.float32)
        sides = [-1 if n == axis else 1 for n in range(data.ndim)]
        integers = np.clip(round_away(data / scale.reshape(sides)), -127, 127).astype(np.int8)
        zeros = np.zeros(scale.shape, np.int64)
        return integers, Quantization(scale.astype(np.float64), zeros, axis)

    return _pack(graph, pack)


def _pack(graph: Graph, pack: Packing) -> int:
    """Replace the filters and biases that `pack` packs, as TensorFlow Lite lays them."""
    order: list[Op] = []
    unpacked: dict[tuple[int, str], Value] = {}
    for op in graph.ops:
        for number in (1, 2) if op.kind in _CONVOLUTIONS else ():
            value = op.inputs[number]
            if value.data is None or value.data.dtype != np.float32:
                continue
            if not np.isfinite(value.data).all():
                raise GraphError(f"the constant {value.name!r} holds numbers that are not finite")
            key = (id(value), op.kind)
            if key not in unpacked:
                found = pack(op, number, OPERATORS[op.kind].layout(number, value.data))
                if found is None:
                    continue
                unpacked[key] = _unpack(graph, value, *found, order)
            if op.kind == "depthwise_conv2d" and number == 1:
                op.attrs["multiplier"] = value.dims[3]
            graph.set_input(op, number, unpacked[key])
        order.append(op)
    graph.reorder(order)
    return len(unpacked)


def _unpack(
    graph: Graph, value: Value, data: Array, parameters: Quantization | None, order: list[Op]
) -> Value:
    packed = graph.constant(graph.fresh_name(f"{value.name}_packed"), data)
    packed.quantization = parameters
    name = graph.fresh_name(value.name)
    result = Value(name, data.shape, np.dtype(np.float32))
    order.append(graph.add(Op("dequantize", name, [packed], {}), [result]))
    return result
