"""The layers of TF-Slim: a convolution with what follows it, named as Slim names it.

Source: `tensorflow/contrib/layers/python/layers/layers.py` (`conv2d`, `separable_conv2d`,
`batch_norm`, `max_pool2d`, `avg_pool2d`) at inference.
"""

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.activations import activate
from flatshot.models.builder import GraphBuilder, Tensor, same_size, valid_size
from flatshot.models.config.hyperparams import Activation, BatchNorm, Hyperparams

LINEAR = Hyperparams(batch_norm=None, activation="NONE")
# A convolution alone, with neither norm nor bias.
BARE = Hyperparams(batch_norm=None, activation="NONE", use_bias=False)
# From so many elements on TensorFlow computes zeros instead of keeping them.
_LARGE = 1000
Padding = Literal["SAME", "VALID"]
Kernel = int | tuple[int, int]
# `fused_batch_norm` of TensorFlow raises any epsilon to this, for cuDNN's sake.
LEAST_EPSILON = np.float32(1.001e-5)


def conv2d(
    builder: GraphBuilder,
    net: Tensor,
    depth: int,
    kernel: Kernel,
    stride: int,
    scope: str,
    hyperparams: Hyperparams,
    *,
    variable_scope: str | None = None,
    padding: Padding = "SAME",
) -> Tensor:
    """A convolution, then batch norm or bias, then activation.

    Args:
        builder: the graph to add to.
        net: the input, (1, height, width, channels).
        depth: the number of output channels.
        kernel: the kernel's side, or height and width, in pixels.
        stride: step in pixels, both ways.
        scope: the prefix of the operations' names.
        hyperparams: what follows the convolution.
        variable_scope: the prefix of the variables' names where it is not `scope`.
        padding: zeros around the image as needed (SAME), or none (VALID).
    """
    variables = variable_scope or scope
    tall, wide = _sides(kernel)
    weights = builder.variable(f"{variables}/weights", (tall, wide, net.depth, depth))
    net = _convolve(builder, net, weights, f"{scope}/Conv2D", stride, padding)
    return finish(builder, net, scope, variables, hyperparams)


def depthwise_conv2d(
    builder: GraphBuilder,
    net: Tensor,
    kernel: Kernel,
    stride: int,
    scope: str,
    hyperparams: Hyperparams,
    *,
    variable_scope: str | None = None,
    padding: Padding = "SAME",
) -> Tensor:
    """A convolution of each channel by itself; arguments as those of `conv2d`."""
    variables = variable_scope or scope
    net = _convolve_depthwise(builder, net, 1, kernel, stride, scope, variables, padding)
    return finish(builder, net, scope, variables, hyperparams)


def separable_conv2d(
    builder: GraphBuilder,
    net: Tensor,
    depth: int,
    kernel: Kernel,
    stride: int,
    scope: str,
    hyperparams: Hyperparams,
    *,
    variable_scope: str | None = None,
    padding: Padding = "SAME",
    multiplier: int = 1,
) -> Tensor:
    """A depthwise convolution and a 1x1, with nothing between them; then what follows.

    Args as those of `conv2d`; `multiplier` is the number of filters for each input channel.
    """
    variables = variable_scope or scope
    inner = f"{scope}/separable_conv2d"
    net = _convolve_depthwise(builder, net, multiplier, kernel, stride, inner, variables, padding)
    weights = builder.variable(f"{variables}/pointwise_weights", (1, 1, net.depth, depth))
    net = _convolve(builder, net, weights, inner, 1, "VALID")
    return finish(builder, net, scope, variables, hyperparams)


def _convolve_depthwise(
    builder: GraphBuilder,
    net: Tensor,
    multiplier: int,
    kernel: Kernel,
    stride: int,
    scope: str,
    variables: str,
    padding: Padding,
) -> Tensor:
    tall, wide = _sides(kernel)
    weights = builder.variable(
        f"{variables}/depthwise_weights", (tall, wide, net.depth, multiplier)
    )
    shape = _shape(net, (tall, wide), stride, padding, net.depth * multiplier)
    return builder.add(
        "DepthwiseConv2dNative",
        f"{scope}/depthwise",
        [net, weights],
        shape,
        _conv_attrs(stride, padding),
    )


def _convolve(
    builder: GraphBuilder, net: Tensor, weights: Tensor, name: str, stride: int, padding: Padding
) -> Tensor:
    tall, wide, _, depth = weights.shape
    shape = _shape(net, (tall, wide), stride, padding, depth)
    attrs = _conv_attrs(stride, padding) | {"explicit_paddings": [], "use_cudnn_on_gpu": True}
    return builder.add("Conv2D", name, [net, weights], shape, attrs)


def _sides(kernel: Kernel) -> tuple[int, int]:
    return (kernel, kernel) if isinstance(kernel, int) else kernel


def _shape(
    net: Tensor, kernel: tuple[int, int], stride: int, padding: Padding, depth: int
) -> tuple[int, ...]:
    _, height, width, _ = net.shape
    if padding == "SAME":
        return (1, same_size(height, stride), same_size(width, stride), depth)
    return (1, valid_size(height, kernel[0], stride), valid_size(width, kernel[1], stride), depth)


def _conv_attrs(stride: int, padding: Padding) -> dict[str, Attr]:
    return {
        "data_format": b"NHWC",
        "dilations": [1, 1, 1, 1],
        "padding": padding.encode(),
        "strides": [1, stride, stride, 1],
    }


def finish(
    builder: GraphBuilder, net: Tensor, scope: str, variables: str, hyperparams: Hyperparams
) -> Tensor:
    """What `hyperparams` let follow a convolution: bias or batch norm, then activation."""
    if hyperparams.has_bias:
        net = add_bias(builder, net, scope, variables)
    if hyperparams.batch_norm is not None:
        net = batch_norm(
            builder, net, f"{scope}/BatchNorm", f"{variables}/BatchNorm", hyperparams.batch_norm
        )
    return activate(builder, net, scope, hyperparams.activation)


def add_bias(builder: GraphBuilder, net: Tensor, scope: str, variables: str) -> Tensor:
    """`net` and a bias for each channel."""
    biases = builder.variable(f"{variables}/biases", (net.depth,))
    attrs: dict[str, Attr] = {"data_format": b"NHWC"}
    return builder.add("BiasAdd", f"{scope}/BiasAdd", [net, biases], net.shape, attrs)


def batch_norm(
    builder: GraphBuilder, net: Tensor, scope: str, variables: str, norm: BatchNorm
) -> Tensor:
    """Batch normalisation by moving statistics; `scope` and `variables` are its own."""
    shape = (net.depth,)
    beta = gamma = None
    if not norm.center:
        beta = builder.constant(builder.unique(f"{scope}/Const"), np.zeros(shape, np.float32))
    if not norm.scale:
        gamma = builder.constant(builder.unique(f"{scope}/Const"), np.ones(shape, np.float32))
    gamma = gamma or builder.variable(f"{variables}/gamma", shape)
    beta = beta or builder.variable(f"{variables}/beta", shape)
    mean = builder.variable(f"{variables}/moving_mean", shape, trained=False)
    variance = builder.variable(f"{variables}/moving_variance", shape, trained=False)
    attrs: dict[str, Attr] = {
        "U": DataType.DT_FLOAT,
        "data_format": b"NHWC",
        "epsilon": max(float(norm.epsilon), float(LEAST_EPSILON)),
        "is_training": False,
    }
    return builder.add(
        "FusedBatchNormV3",
        f"{scope}/FusedBatchNormV3",
        [net, gamma, beta, mean, variance],
        net.shape,
        attrs,
    )


def pool(
    builder: GraphBuilder,
    net: Tensor,
    op: Literal["MaxPool", "AvgPool"],
    kernel: Kernel,
    stride: int,
    name: str,
    padding: Padding = "SAME",
) -> Tensor:
    """Pooling; the average is taken over what lies inside the image."""
    tall, wide = _sides(kernel)
    attrs: dict[str, Attr] = {
        "data_format": b"NHWC",
        "ksize": [1, tall, wide, 1],
        "padding": padding.encode(),
        "strides": [1, stride, stride, 1],
    }
    shape = _shape(net, (tall, wide), stride, padding, net.depth)
    return builder.add(op, name, [net], shape, attrs)


def padding_of(*, explicit: bool) -> Padding:
    """How a convolution is padded whose input is padded explicitly, or is not."""
    return "VALID" if explicit else "SAME"


def pad(builder: GraphBuilder, net: Tensor, kernel: int, scope: str) -> Tensor:
    """Zeros around `net` for a kernel of side `kernel`, whatever its stride: `fixed_padding`."""
    before = (kernel - 1) // 2
    return pad_sides(builder, net, before, kernel - 1 - before, scope)


def pad_sides(builder: GraphBuilder, net: Tensor, before: int, after: int, scope: str) -> Tensor:
    """`before` rows and columns of zeros in front of `net` and `after` behind it."""
    name = builder.unique(f"{scope}/Pad")
    paddings = np.array([[0, 0], [before, after], [before, after], [0, 0]], np.int32)
    amounts = builder.constant(f"{name}/paddings", paddings)
    grown = before + after
    shape = (1, net.shape[1] + grown, net.shape[2] + grown, net.depth)
    attrs: dict[str, Attr] = {"Tpaddings": DataType.DT_INT32}
    return builder.add("Pad", name, [net, amounts], shape, attrs)


def pad_to_multiple(builder: GraphBuilder, image: Tensor, multiple: int, scope: str) -> Tensor:
    """Zeros below and to the right of `image`, so that `multiple` divides both sides."""
    for axis in (1, 2):
        missing = -image.shape[axis] % multiple
        if missing:
            sides = list(image.shape)
            sides[axis] = missing
            image = _append(builder, image, _zeros(builder, tuple(sides), scope), axis, scope)
    return image


def _zeros(builder: GraphBuilder, shape: tuple[int, ...], scope: str) -> Tensor:
    name = builder.unique(f"{scope}/zeros")
    if math.prod(shape) < _LARGE:
        return builder.constant(name, np.zeros(shape, np.float32))
    dims = builder.constant(f"{name}/shape_as_tensor", np.array(shape, np.int32))
    zero = builder.constant(f"{name}/Const", np.array(0, np.float32))
    return builder.add("Fill", name, [dims, zero], shape, {"index_type": DataType.DT_INT32})


def _append(builder: GraphBuilder, net: Tensor, zeros: Tensor, axis: int, scope: str) -> Tensor:
    name = builder.unique(f"{scope}/concat")
    where = builder.constant(f"{name}/axis", np.array(axis, np.int32))
    shape = list(net.shape)
    shape[axis] += zeros.shape[axis]
    attrs: dict[str, Attr] = {"N": 2, "Tidx": DataType.DT_INT32}
    return builder.add("ConcatV2", name, [net, zeros, where], tuple(shape), attrs)


def add_residual(builder: GraphBuilder, left: Tensor, right: Tensor, name: str) -> Tensor:
    """The sum of two tensors of one shape."""
    return builder.add("AddV2", name, [left, right], left.shape)


def identity(builder: GraphBuilder, net: Tensor, name: str) -> Tensor:
    """`net` under another name."""
    return builder.add("Identity", name, [net], net.shape)


def without_activation(hyperparams: Hyperparams, activation: Activation = "NONE") -> Hyperparams:
    """`hyperparams` with another activation."""
    return replace(hyperparams, activation=activation)
