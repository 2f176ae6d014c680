"""Nearest-neighbour upsampling to twice the size, as graphs have it."""

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import GraphBuilder, Tensor


def double(builder: GraphBuilder, net: Tensor, scope: str, *, native: bool) -> Tensor:
    """`net` (1, height, width, channels) with each pixel four times.

    Args:
        builder: the graph to add to.
        net: what is upsampled.
        scope: where the operations stand; the next free `nearest_neighbor_upsampling` in it.
        native: by one operator for it, as TensorFlow 1's exporter rewrites it where the
            configuration has a section `fpn`; else by stacking.
    """
    name = builder.unique(f"{scope}/nearest_neighbor_upsampling")
    if native:
        return resize(builder, net, (2 * net.shape[1], 2 * net.shape[2]), name)
    _, height, width, depth = net.shape
    wide = _stack(builder, net, 3, f"{name}/stack", (1, height, width, 2, depth))
    tall = _stack(builder, wide, 2, f"{name}/stack_1", (1, height, 2, width, 2, depth))
    shape = (1, 2 * height, 2 * width, depth)
    target = builder.constant(f"{name}/Reshape/shape", np.array(shape, np.int32))
    attrs: dict[str, Attr] = {"Tshape": DataType.DT_INT32}
    return builder.add("Reshape", f"{name}/Reshape", [tall, target], shape, attrs)


def resize(builder: GraphBuilder, net: Tensor, size: tuple[int, int], name: str) -> Tensor:
    """`net` in `size` (height, width) by nearest neighbours, in nodes under `name`."""
    wanted = builder.constant(f"{name}/resize_nearest_neighbor/size", np.array(size, np.int32))
    attrs: dict[str, Attr] = {"align_corners": False, "half_pixel_centers": False}
    shape = (1, *size, net.depth)
    return builder.add(
        "ResizeNearestNeighbor", f"{name}/resize_nearest_neighbor", [net, wanted], shape, attrs
    )


def _stack(
    builder: GraphBuilder, net: Tensor, axis: int, name: str, shape: tuple[int, ...]
) -> Tensor:
    return builder.add("Pack", name, [net, net], shape, {"N": 2, "axis": axis})
