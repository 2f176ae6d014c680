"""The layers of TF-Slim: a convolution with what follows it, named as Slim names it.

Source: `tensorflow/contrib/layers/python/layers/layers.py` (`conv2d`, `separable_conv2d`,
`batch_norm`) at inference.
"""

import numpy as np

from flatshot.formats.graphdef import Attr, DataType
from flatshot.models.builder import GraphBuilder, Tensor, same_size
from flatshot.models.detection_config import BatchNorm, Hyperparams

LINEAR = Hyperparams(batch_norm=None, activation="NONE")
_ACTIVATIONS = {"RELU": "Relu", "RELU_6": "Relu6"}


def conv2d(
    builder: GraphBuilder,
    net: Tensor,
    depth: int,
    kernel: int,
    stride: int,
    scope: str,
    hyperparams: Hyperparams,
    *,
    variable_scope: str | None = None,
) -> Tensor:
    """A SAME-padded convolution of `kernel` x `kernel`, then batch norm or bias, then activation.

    Args:
        builder: the graph to add to.
        net: the input, (1, height, width, channels).
        depth: the number of output channels.
        kernel: side of the kernel in pixels.
        stride: step in pixels, both ways.
        scope: the prefix of the operations' names.
        hyperparams: what follows the convolution.
        variable_scope: the prefix of the variables' names where it is not `scope`.
    """
    variables = variable_scope or scope
    weights = builder.variable(f"{variables}/weights", (kernel, kernel, net.depth, depth))
    shape = (1, same_size(net.shape[1], stride), same_size(net.shape[2], stride), depth)
    attrs = _conv_attrs(stride) | {"explicit_paddings": [], "use_cudnn_on_gpu": True}
    net = builder.add("Conv2D", f"{scope}/Conv2D", [net, weights], shape, attrs)
    return _finish(builder, net, scope, variables, hyperparams)


def depthwise_conv2d(
    builder: GraphBuilder,
    net: Tensor,
    kernel: int,
    stride: int,
    scope: str,
    hyperparams: Hyperparams,
    *,
    variable_scope: str | None = None,
) -> Tensor:
    """A SAME-padded convolution of each channel by itself; arguments as those of `conv2d`."""
    variables = variable_scope or scope
    weights = builder.variable(f"{variables}/depthwise_weights", (kernel, kernel, net.depth, 1))
    shape = (1, same_size(net.shape[1], stride), same_size(net.shape[2], stride), net.depth)
    name = f"{scope}/depthwise"
    net = builder.add("DepthwiseConv2dNative", name, [net, weights], shape, _conv_attrs(stride))
    return _finish(builder, net, scope, variables, hyperparams)


def _conv_attrs(stride: int) -> dict[str, Attr]:
    return {
        "data_format": b"NHWC",
        "dilations": [1, 1, 1, 1],
        "padding": b"SAME",
        "strides": [1, stride, stride, 1],
    }


def _finish(
    builder: GraphBuilder, net: Tensor, scope: str, variables: str, hyperparams: Hyperparams
) -> Tensor:
    if hyperparams.batch_norm is None:
        biases = builder.variable(f"{variables}/biases", (net.depth,))
        attrs: dict[str, Attr] = {"data_format": b"NHWC"}
        net = builder.add("BiasAdd", f"{scope}/BiasAdd", [net, biases], net.shape, attrs)
    else:
        net = _batch_norm(builder, net, scope, variables, hyperparams.batch_norm)
    if hyperparams.activation != "NONE":
        op = _ACTIVATIONS[hyperparams.activation]
        net = builder.add(op, f"{scope}/{op}", [net], net.shape)
    return net


def _batch_norm(
    builder: GraphBuilder, net: Tensor, scope: str, variables: str, norm: BatchNorm
) -> Tensor:
    shape = (net.depth,)
    prefix = f"{variables}/BatchNorm"
    if norm.scale:
        gamma = builder.variable(f"{prefix}/gamma", shape)
    else:
        gamma = builder.constant(f"{scope}/BatchNorm/Const", np.ones(shape, np.float32))
    if norm.center:
        beta = builder.variable(f"{prefix}/beta", shape)
    else:
        beta = builder.constant(f"{scope}/BatchNorm/Const_1", np.zeros(shape, np.float32))
    mean = builder.variable(f"{prefix}/moving_mean", shape, trained=False)
    variance = builder.variable(f"{prefix}/moving_variance", shape, trained=False)
    attrs: dict[str, Attr] = {
        "U": DataType.DT_FLOAT,
        "data_format": b"NHWC",
        "epsilon": float(norm.epsilon),
        "is_training": False,
    }
    name = f"{scope}/BatchNorm/FusedBatchNormV3"
    return builder.add(
        "FusedBatchNormV3", name, [net, gamma, beta, mean, variance], net.shape, attrs
    )
