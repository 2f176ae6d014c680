"""What both kinds of heads do with what they predict: clip, reshape, join over all maps."""

from collections.abc import Sequence

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import GraphBuilder, Tensor


def clip(builder: GraphBuilder, net: Tensor, name: str, limits: tuple[float, float]) -> Tensor:
    """`net` within `limits`, the lower first."""
    low, high = (np.array(limit, np.float32) for limit in limits)
    top = builder.constant(f"{name}/Minimum/y", high)
    net = builder.add("Minimum", f"{name}/Minimum", [net, top], net.shape)
    bottom = builder.constant(f"{name}/y", low)
    return builder.add("Maximum", name, [net, bottom], net.shape)


def reshape(
    builder: GraphBuilder,
    net: Tensor,
    name: str,
    shape: tuple[int, ...],
    target: Sequence[int] | None = None,
) -> Tensor:
    """`net` in `shape`; `target` is what the graph says of it."""
    # TensorFlow leaves the number of anchors to be inferred.
    given = (1, -1, *shape[2:]) if target is None else target
    wanted = builder.constant(f"{name}/shape", np.array(given, np.int32))
    return builder.add("Reshape", name, [net, wanted], shape, {"Tshape": DataType.DT_INT32})


def concat(builder: GraphBuilder, parts: Sequence[Tensor], name: str) -> Tensor:
    """`parts` one after another along the anchors."""
    if len(parts) == 1:
        return builder.add("Identity", f"{name}/concat", parts, parts[0].shape)
    axis = builder.constant(f"{name}/axis", np.array(1, np.int32))
    shape = (1, sum(part.shape[1] for part in parts), *parts[0].shape[2:])
    attrs: dict[str, Attr] = {"N": len(parts), "Tidx": DataType.DT_INT32}
    return builder.add("ConcatV2", name, [*parts, axis], shape, attrs)


def squeeze_boxes(builder: GraphBuilder, boxes: Tensor) -> Tensor:
    """Box encodings (1, N, 1, code) without the axis for classes."""
    shape = (1, boxes.shape[1], boxes.shape[3])
    return builder.add("Squeeze", "Squeeze", [boxes], shape, {"squeeze_dims": [2]})
