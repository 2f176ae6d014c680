"""Inverted residuals: the blocks of MobileNet V2, V3 and of the MobileNet for the Edge TPU.

Sources: Sandler et al. 2018, arXiv 1801.04381; Howard et al. 2019, arXiv 1905.02244;
`slim/nets/mobilenet/conv_blocks.py`.
"""

from dataclasses import dataclass, replace

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.activations import hard_sigmoid
from flatshot.models.builder import Tensor
from flatshot.models.config.hyperparams import Activation
from flatshot.models.depths import make_divisible
from flatshot.models.layers import (
    LINEAR,
    add_residual,
    identity,
    pad,
    padding_of,
)
from flatshot.models.scoped import Scoped

# The gate of MobileNet V3 is relu6(x + 3) times this, which is nearly a sixth.
GATE_FACTOR = 0.16667


@dataclass(frozen=True)
class Block:
    """One inverted residual.

    Attributes:
        expansion: channels inside, in channels that come in.
        depth: channels that go out, before the multiplier.
        stride: step in pixels.
        kernel: the side of the depthwise kernel, or of the expansion where that is `fused`.
        activation: after expansion and depthwise convolution.
        squeeze: weigh channels by what the whole map says (squeeze and excite).
        fused: one convolution expands and filters.
        residual: add what comes in, where stride and depth allow it.
        divisor: what the number of channels inside is a multiple of.
    """

    expansion: float
    depth: int
    stride: int = 1
    kernel: int = 3
    activation: Activation = "RELU_6"
    squeeze: bool = False
    fused: bool = False
    residual: bool = True
    divisor: int = 8


def inverted_residual(
    scope: Scoped, net: Tensor, block: Block, depth: int, *, explicit: bool = False
) -> tuple[Tensor, Tensor]:
    """Expand, filter depthwise, project; add the input where that is possible.

    Args:
        scope: the block's scope, with the padding of all but the depthwise convolution.
        net: what comes in.
        block: what it is.
        depth: channels that go out.
        explicit: pad inside the block, before the depthwise convolution.

    Returns:
        What goes out, and what is inside after the expansion.
    """
    builder, operations = scope.builder, scope.operations
    inside = scope.following(block.activation)
    came_in = net = identity(builder, net, f"{operations}/input")
    inner = make_divisible(net.depth * block.expansion, block.divisor)
    if inner > net.depth:
        kernel, stride = (block.kernel, block.stride) if block.fused else (1, 1)
        net = inside.conv(net, "expand", inner, kernel, stride)
        net = identity(builder, net, f"{operations}/expansion_output")
    expanded = net
    if not block.fused:
        if explicit:
            net = pad(builder, net, block.kernel, operations)
        padding = padding_of(explicit=explicit)
        net = inside.depthwise(net, "depthwise", block.kernel, block.stride, padding)
        net = identity(builder, net, f"{operations}/depthwise_output")
    if block.squeeze:
        net = _squeeze_excite(scope, net)
    net = scope.following("IDENTITY").conv(net, "project", depth)
    if block.residual and block.stride == 1 and net.depth == came_in.depth:
        net = add_residual(builder, net, came_in, f"{operations}/add")
    return identity(builder, net, f"{operations}/output"), expanded


def _squeeze_excite(block: Scoped, net: Tensor) -> Tensor:
    """`net` with each channel weighed by what the means of all channels say of it."""
    builder, scope = block.builder, f"{block.operations}/squeeze_excite"
    axes = builder.constant(f"{scope}/Mean/reduction_indices", np.array([1, 2], np.int32))
    attrs: dict[str, Attr] = {"Tidx": DataType.DT_INT32, "keep_dims": True}
    gate = builder.add("Mean", f"{scope}/Mean", [net, axes], (1, 1, 1, net.depth), attrs)
    narrow = make_divisible(net.depth / 4, 8)
    biased = replace(block.inner("squeeze_excite"), hyperparams=LINEAR)
    gate = biased.following("RELU").conv(gate, "Conv", narrow)
    gate = biased.conv(gate, "Conv_1", net.depth)
    gate = hard_sigmoid(builder, gate, f"{scope}/Conv_1", GATE_FACTOR)
    return builder.add("Mul", f"{scope}/mul", [net, gate], net.shape)


def block_name(number: int) -> str:
    """The scope of block `number` of a network, from 0."""
    return "expanded_conv" + (f"_{number}" if number else "")
