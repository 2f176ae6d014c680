"""Nearest-neighbour upsampling to twice the size, as graphs have it."""

from typing import Literal

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import GraphBuilder, Tensor

How = Literal["native", "resize", "stack", "stack and reshape"]
"""By one operator for it, as `use_native_resize_op` asks, or as TensorFlow 1's exporter rewrites it
where the configuration has a section `fpn`; by stacking both ways and reshaping once, as without;
or reshaping each time, as TensorFlow 2 does."""
# What the operator is called, by who makes it.
_OPERATORS = {"native": "ResizeNearestNeighbor", "resize": "resize_nearest_neighbor"}


def double(builder: GraphBuilder, net: Tensor, scope: str, how: How) -> Tensor:
    """`net` (1, height, width, channels) with each pixel four times.

    Args:
        builder: the graph to add to.
        net: what is upsampled.
        scope: where the operations stand; the next free `nearest_neighbor_upsampling` in it.
        how: by which operators.
    """
    name = builder.unique(f"{scope}/nearest_neighbor_upsampling")
    if how in _OPERATORS:
        size = (2 * net.shape[1], 2 * net.shape[2])
        return resize(builder, net, size, f"{name}/{_OPERATORS[how]}")
    _, height, width, depth = net.shape
    net = _stack(builder, net, 3, f"{name}/stack", (1, height, width, 2, depth))
    sides: tuple[int, ...] = (width, 2)
    if how == "stack and reshape":
        sides = (2 * width,)
        net = _reshape(builder, net, name, (1, height, *sides, depth))
    net = _stack(builder, net, 2, f"{name}/stack_1", (1, height, 2, *sides, depth))
    return _reshape(builder, net, name, (1, 2 * height, 2 * width, depth))


def resize(builder: GraphBuilder, net: Tensor, size: tuple[int, int], name: str) -> Tensor:
    """`net` in `size` (height, width) by nearest neighbours, in the node `name`."""
    wanted = builder.constant(f"{name}/size", np.array(size, np.int32))
    attrs: dict[str, Attr] = {"align_corners": False, "half_pixel_centers": False}
    shape = (1, *size, net.depth)
    return builder.add("ResizeNearestNeighbor", name, [net, wanted], shape, attrs)


def _reshape(builder: GraphBuilder, net: Tensor, scope: str, shape: tuple[int, ...]) -> Tensor:
    name = builder.unique(f"{scope}/Reshape")
    target = builder.constant(f"{name}/shape", np.array(shape, np.int32))
    attrs: dict[str, Attr] = {"Tshape": DataType.DT_INT32}
    return builder.add("Reshape", name, [net, target], shape, attrs)


def _stack(
    builder: GraphBuilder, net: Tensor, axis: int, name: str, shape: tuple[int, ...]
) -> Tensor:
    return builder.add("Pack", name, [net, net], shape, {"N": 2, "axis": axis})
