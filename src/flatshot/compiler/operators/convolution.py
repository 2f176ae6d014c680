"""Convolutions. In the IR a filter lies as TensorFlow has it: height, width, in, out."""

from typing import Any

import numpy as np

from flatshot.compiler.ir import Dims, Op
from flatshot.compiler.operators.registry import (
    FLOAT32,
    EightBits,
    Operator,
    attr,
    attr_text,
    eight_bit_version,
    is_int8,
    register,
    require,
)
from flatshot.errors import GraphError
from flatshot.formats import tflite
from flatshot.formats.graphdef import Array, Node
from flatshot.formats.tflite import Builtin, Padding

_MAX_STEP = 2**15


def window(node: Node, name: str, default: list[Any] | None = None) -> tuple[int, int]:
    """A per-dimension attribute (`strides`, `dilations`) as steps along height and width."""
    values = attr(node, name, list, default)
    whole = len(values) == 4 and all(type(step) is int and 0 < step <= _MAX_STEP for step in values)
    require(node, whole and values[0] == values[3] == 1, f"{name} {values} are not supported")
    return values[1], values[2]


def _convolution_attrs(node: Node) -> dict[str, Any]:
    layout = attr_text(node, "data_format", b"NHWC")
    require(node, layout == "NHWC", f"data_format {layout}; only NHWC is supported")
    padding = attr_text(node, "padding")
    require(node, padding in ("SAME", "VALID"), f"padding {padding!r}; known: SAME, VALID")
    return {
        "padding": Padding[padding],
        "strides": window(node, "strides"),
        "dilations": window(node, "dilations", [1, 1, 1, 1]),
    }


def output_side(op: Op, side: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """How many windows fit along a side. Source: TensorFlow's `common_shape_fns.cc`."""
    extent = (kernel - 1) * dilation + 1
    padded = side if op.attrs["padding"] == Padding.SAME else side - extent + 1
    size = -(-padded // stride)
    if size < 1:
        raise GraphError(f"{op.name!r}: a window of {extent} does not fit {side} pixels")
    return size


def padding_around(op: Op, side: int, size: int, extent: int, stride: int) -> tuple[int, int]:
    """The pixels that padding adds before and after a side of which `size` windows are taken."""
    total = max((size - 1) * stride + extent - side, 0)
    if op.attrs["padding"] == Padding.VALID:
        total = 0
    return total // 2, total - total // 2


def _sides(op: Op) -> tuple[int, ...]:
    image, filter_ = op.inputs[0].dims, op.inputs[1].dims
    if len(image) != 4 or len(filter_) != 4:
        raise GraphError(f"{op.name!r}: image {list(image)} and filter {list(filter_)} need rank 4")
    if min(filter_) < 1:
        raise GraphError(f"{op.name!r}: the filter {list(filter_)} is empty")
    if image[3] != filter_[2]:
        raise GraphError(f"{op.name!r}: {image[3]} channels meet a filter for {filter_[2]}")
    steps = zip(op.attrs["strides"], op.attrs["dilations"], strict=True)
    return tuple(
        output_side(op, image[1 + axis], filter_[axis], stride, dilation)
        for axis, (stride, dilation) in enumerate(steps)
    )


def _conv_shape(op: Op) -> Dims:
    return (op.inputs[0].dims[0], *_sides(op), op.inputs[1].dims[3])


def _depthwise_shape(op: Op) -> Dims:
    filter_ = op.inputs[1].dims
    return (op.inputs[0].dims[0], *_sides(op), filter_[2] * filter_[3])


def _conv_options(op: Op) -> tflite.Conv2DOptions:
    (stride_h, stride_w), (dilation_h, dilation_w) = op.attrs["strides"], op.attrs["dilations"]
    return tflite.Conv2DOptions(
        padding=int(op.attrs["padding"]),
        stride_w=stride_w,
        stride_h=stride_h,
        activation=int(op.attrs.get("activation", 0)),
        dilation_w=dilation_w,
        dilation_h=dilation_h,
    )


def _depthwise_options(op: Op) -> tflite.DepthwiseConv2DOptions:
    conv = _conv_options(op)
    return tflite.DepthwiseConv2DOptions(
        padding=conv.padding,
        stride_w=conv.stride_w,
        stride_h=conv.stride_h,
        # A filter that is unpacked at run time lies as TensorFlow Lite has it.
        depth_multiplier=op.attrs.get("multiplier", op.inputs[1].dims[3]),
        activation=conv.activation,
        dilation_w=conv.dilation_w,
        dilation_h=conv.dilation_h,
    )


def _conv_layout(index: int, data: Array) -> Array:
    """Filters of CONV_2D are out, height, width, in."""
    return data.transpose(3, 0, 1, 2) if index == 1 else data


def _depthwise_layout(index: int, data: Array) -> Array:
    """Filters of DEPTHWISE_CONV_2D are 1, height, width, in x multiplier."""
    return data.reshape(1, *data.shape[:2], -1) if index == 1 else data


def _patches(op: Op, x: Array, filter_: Array) -> Array:
    """The window of the input under each output: (batch, height, width, kh, kw, channels)."""
    (stride_h, stride_w), (dilation_h, dilation_w) = op.attrs["strides"], op.attrs["dilations"]
    pads = [(0, 0)]
    windows = []
    for axis, stride, dilation in ((0, stride_h, dilation_h), (1, stride_w, dilation_w)):
        extent = (filter_.shape[axis] - 1) * dilation + 1
        side = x.shape[1 + axis]
        size = output_side(op, side, filter_.shape[axis], stride, dilation)
        pads.append(padding_around(op, side, size, extent, stride))
        starts = np.arange(size) * stride
        windows.append(starts[:, None] + np.arange(filter_.shape[axis]) * dilation)
    padded = np.pad(x, [*pads, (0, 0)])
    rows, columns = windows
    return padded[:, rows[:, None, :, None], columns[None, :, None, :]]


def _conv(op: Op, x: Array, filter_: Array, bias: Array | None = None) -> Array:
    y: Array = np.einsum("nyxhwi,hwio->nyxo", _patches(op, x, filter_), filter_)
    return y if bias is None else y + bias


def _depthwise(op: Op, x: Array, filter_: Array, bias: Array | None = None) -> Array:
    y: Array = np.einsum("nyxhwi,hwim->nyxim", _patches(op, x, filter_), filter_)
    y = y.reshape(*y.shape[:3], -1)
    return y if bias is None else y + bias


def _depthwise_version(op: Op) -> int:
    """3 in int8, 2 where it is dilated."""
    return 3 if is_int8(op) else 1 + (op.attrs["dilations"] != (1, 1))


register(
    Operator(
        "conv2d",
        tf=("Conv2D",),
        inputs=(2, 2),
        elements=FLOAT32,
        alike=True,
        attrs=_convolution_attrs,
        shape=_conv_shape,
        kernel=_conv,
        builtin=Builtin.CONV_2D,
        options=_conv_options,
        layout=_conv_layout,
        version=eight_bit_version(3),
        channel_axis=0,
        eight_bits=EightBits.OWN,
    )
)
register(
    Operator(
        "depthwise_conv2d",
        tf=("DepthwiseConv2dNative",),
        inputs=(2, 2),
        elements=FLOAT32,
        alike=True,
        attrs=_convolution_attrs,
        shape=_depthwise_shape,
        kernel=_depthwise,
        builtin=Builtin.DEPTHWISE_CONV_2D,
        options=_depthwise_options,
        layout=_depthwise_layout,
        version=_depthwise_version,
        channel_axis=3,
        eight_bits=EightBits.OWN,
    )
)
