"""EfficientNet: inverted residuals with squeeze and excitation, scaled in width and depth together.

Sources: Tan and Le 2019, arXiv 1905.11946, table 1; TensorFlow's model garden,
`official/legacy/image_classification/efficientnet/efficientnet_model.py`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.depths import make_divisible
from flatshot.models.layers import LINEAR, add_residual
from flatshot.models.scoped import Scoped

SCOPE = "EfficientNet"
# How much wider and how much deeper than B0 the versions B0 to B7 are.
WIDTHS = (1.0, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0)
DEPTHS = (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1)
STEM_DEPTH = 32
SQUEEZE = 0.25
BASE = Hyperparams(BatchNorm(epsilon=0.001, scale=True, center=True), "SWISH")


@dataclass(frozen=True)
class Stack:
    """Blocks of one width in B0: how many, their expansion, kernel and the stride of the first."""

    depth: int
    repeats: int
    kernel: int
    stride: int
    expansion: int = 6


STACKS = (
    Stack(16, 1, 3, 1, expansion=1),
    Stack(24, 2, 3, 2),
    Stack(40, 2, 5, 2),
    Stack(80, 3, 3, 2),
    Stack(112, 3, 5, 1),
    Stack(192, 4, 5, 2),
    Stack(320, 1, 3, 1),
)


def efficientnet(builder: GraphBuilder, image: Tensor, version: int) -> dict[str, Tensor]:
    """The blocks of `image` (1, height, width, 3) by name: `stack_0/block_0` and so on.

    Args:
        builder: the graph to add to.
        image: standardised pixels.
        version: 0 to 7 for B0 to B7.
    """
    root = Scoped(builder, SCOPE, SCOPE, BASE)
    width = WIDTHS[version]
    net = root.conv(image, "stem", make_divisible(STEM_DEPTH * width, 8), 3, 2)
    blocks = {}
    for name, stack, stride in _blocks(DEPTHS[version]):
        depth = make_divisible(stack.depth * width, 8)
        net = blocks[name] = _block(root.inner(name), net, stack, depth, stride)
    return blocks


def _blocks(factor: float) -> Iterator[tuple[str, Stack, int]]:
    """Name, stack and stride of each block."""
    for number, stack in enumerate(STACKS):
        for repeat in range(math.ceil(factor * stack.repeats)):
            yield f"stack_{number}/block_{repeat}", stack, stack.stride if repeat == 0 else 1


def _block(scope: Scoped, net: Tensor, stack: Stack, depth: int, stride: int) -> Tensor:
    """Expand, filter depthwise, weigh channels, project; add what came in where it fits."""
    came_in = net
    if stack.expansion != 1:
        net = scope.conv(net, "expand", stack.expansion * net.depth)
    net = scope.depthwise(net, "depthwise", stack.kernel, stride)
    net = _squeeze_excite(scope, net, max(1, int(SQUEEZE * came_in.depth)))
    net = scope.following("NONE").conv(net, "project", depth)
    if stride == 1 and depth == came_in.depth:
        net = add_residual(scope.builder, net, came_in, f"{scope.operations}/add")
    return net


def _squeeze_excite(scope: Scoped, net: Tensor, narrow: int) -> Tensor:
    """`net` with each channel weighed by what the means of all channels say of it."""
    builder, name = scope.builder, f"{scope.operations}/se_squeeze"
    axes = builder.constant(f"{name}/reduction_indices", np.array([1, 2], np.int32))
    attrs: dict[str, Attr] = {"Tidx": DataType.DT_INT32, "keep_dims": True}
    gate = builder.add("Mean", name, [net, axes], (1, 1, 1, net.depth), attrs)
    biased = replace(scope, hyperparams=LINEAR)
    gate = biased.following("SWISH").conv(gate, "se_reduce", narrow)
    gate = biased.conv(gate, "se_expand", net.depth)
    gate = builder.add("Sigmoid", f"{scope.operations}/se_expand/Sigmoid", [gate], gate.shape)
    return builder.add("Mul", f"{scope.operations}/se_excite", [net, gate], net.shape)
