"""What the Inception networks have in common: branches side by side, joined channel by channel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import Tensor
from flatshot.models.layers import Kernel, Padding
from flatshot.models.scoped import Scoped


@dataclass(frozen=True)
class Conv:
    """A convolution in a branch: its name, channels before the multiplier, kernel and step."""

    name: str
    depth: int
    kernel: Kernel = 1
    stride: int = 1
    padding: Padding = "SAME"


@dataclass(frozen=True)
class Pool:
    """A pooling of 3x3 in a branch."""

    name: str
    op: Literal["MaxPool", "AvgPool"]
    stride: int = 1
    padding: Padding = "SAME"


@dataclass(frozen=True)
class Fork:
    """Convolutions of one input whose results are joined."""

    parts: tuple[Conv, ...]


Branch = Sequence[Conv | Pool | Fork]


def mixed(
    block: Scoped, net: Tensor, branches: Sequence[Branch], scale: Callable[[float], int]
) -> Tensor:
    """All `branches` of `net`, joined."""
    ends = []
    for number, branch in enumerate(branches):
        scope = block.inner(f"Branch_{number}")
        end = net
        for step in branch:
            end = _step(scope, end, step, scale)
        ends.append(end)
    return _concat(block, ends)


def _step(
    scope: Scoped, net: Tensor, step: Conv | Pool | Fork, scale: Callable[[float], int]
) -> Tensor:
    if isinstance(step, Pool):
        name = f"{step.name}/{step.op}"
        return scope.pool(net, step.op, name, 3, step.stride, step.padding)
    if isinstance(step, Fork):
        return _concat(scope, [_step(scope, net, part, scale) for part in step.parts])
    depth = scale(step.depth)
    return scope.conv(net, step.name, depth, step.kernel, step.stride, step.padding)


def _concat(scope: Scoped, parts: Sequence[Tensor]) -> Tensor:
    builder, name = scope.builder, f"{scope.operations}/concat"
    axis = builder.constant(f"{name}/axis", np.array(3, np.int32))
    shape = (*parts[0].shape[:3], sum(part.depth for part in parts))
    attrs: dict[str, Attr] = {"N": len(parts), "Tidx": DataType.DT_INT32}
    return builder.add("ConcatV2", name, [*parts, axis], shape, attrs)
