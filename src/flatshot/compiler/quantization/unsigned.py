"""Trained ranges to unsigned 8 bits, exactly as TOCO does it with `QUANTIZED_UINT8`.

One scale and zero point a tensor, biases in int32, the post-processing operator fed with integers.
Sources: `toco/graph_transformations/{hardcode_min_max,quantize}.cc`,
`remove_trivial_quantized_activation_func.cc`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flatshot.compiler.importer import CUSTOM
from flatshot.compiler.ir import Graph, Op, Quantization, Range, Value
from flatshot.compiler.operators import OPERATORS
from flatshot.compiler.operators.registry import EightBits
from flatshot.compiler.quantization.affine import (
    bias_to_integers,
    choose,
    grid_ends,
    to_integers,
    written_range,
)
from flatshot.errors import ConfigError, GraphError, UnsupportedOpError
from flatshot.formats.tflite import Activation

_log = logging.getLogger("flatshot")

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
_POOLS = ("max_pool", "average_pool")
_UNIT, _SIGN = Range(0.0, 255 / 256), Range(-1.0, 127 / 128)
_ENDS = {Activation.RELU: (0.0, np.inf), Activation.RELU6: (0.0, 6.0)}


@dataclass(frozen=True)
class UnsignedSettings:
    """What TOCO's flags say of a quantised conversion.

    Attributes:
        means: of each input, the integer that stands for 0; one for all, or one each.
        deviations: of each input, how many integers there are to 1.
        change_concat_input_ranges: let a concatenation take the parameters of its first input.
        default_range: least and largest number of tensors whose range nobody knows.
    """

    means: Sequence[float] = (128.0,)
    deviations: Sequence[float] = (128.0,)
    change_concat_input_ranges: bool = False
    default_range: tuple[float, float] | None = None


def quantize_unsigned(graph: Graph, settings: UnsignedSettings) -> int:
    """Turn a graph of known ranges into one of integers; the number of tensors quantised.

    Raises:
        ConfigError: means or deviations cannot be, or are too few.
        GraphError: a tensor's range is not known.
        UnsupportedOpError: an operator does not run in 8 bits.
    """
    _quantize_inputs(graph, settings)
    for op in graph.ops:
        if op.kind == CUSTOM:
            _feed_custom(graph, op, settings)
            continue
        if OPERATORS[op.kind].eight_bits is EightBits.NO:
            raise UnsupportedOpError(
                f"{op.kind} {op.name!r} does not run in 8 bits: convert with "
                "--inference_type=FLOAT, or cut the graph before it (--output_arrays)"
            )
        for value in op.outputs:
            _set_range(op, value, settings)
            _quantize_result(op, value, settings)
        _quantize_constants(graph, op)
        _drop_clamp(op)
    return sum(map(_settle_range, graph.values()))


def _settle_range(value: Value) -> bool:
    """Let a computed tensor say the range of its integers; whether it has any.

    Only now, for concatenations go by what was trained.
    """
    parameters = value.quantization
    if parameters is None:
        return False
    if value.data is None and value.range is not None and value.producer is not None:
        scale, zero_point = float(parameters.scale[0]), int(parameters.zero_point[0])
        value.range = written_range(value.range, scale, zero_point)
    return True


def _quantize_inputs(graph: Graph, settings: UnsignedSettings) -> None:
    count = len(graph.inputs)
    means, deviations = (
        list(numbers) * count if len(numbers) == 1 else list(numbers)
        for numbers in (settings.means, settings.deviations)
    )
    if not len(means) == len(deviations) == count:
        raise ConfigError(
            f"{len(means)} mean values and {len(deviations)} standard deviations for {count} inputs"
        )
    for value, mean, deviation in zip(graph.inputs, means, deviations, strict=True):
        if not (np.isfinite(deviation) and deviation > 0):
            raise ConfigError(f"--std_values {deviation:g}: a deviation is above 0")
        if not 0 <= mean <= 255:
            raise ConfigError(f"--mean_values {mean:g}: a mean lies in 0..255")
        value.range = Range((0 - mean) / deviation, (255 - mean) / deviation)
        value.quantization = Quantization.whole(1 / deviation, int(np.floor(mean + 0.5)))
        value.dtype = np.dtype(np.uint8)


def _set_range(op: Op, result: Value, settings: UnsignedSettings) -> None:
    """The range of what `op` makes, where training did not find it."""
    kind = OPERATORS[op.kind].eight_bits
    if kind is EightBits.UNIT:
        result.range = _UNIT
    elif kind is EightBits.SIGN:
        result.range = _SIGN
    elif result.range is not None:
        return
    elif kind is EightBits.INPUT:
        limits = _data(op).range
        if limits is not None and op.kind in _POOLS:
            limits = Range(min(limits.low, 0.0), max(limits.high, 0.0))
        result.range = limits
    elif op.kind == "concat":
        parts = [value.range for value in op.inputs if value.range is not None]
        if len(parts) == len(op.inputs):
            low, high = min(part.low for part in parts), max(part.high for part in parts)
            result.range = Range(low, high)
    if result.range is None and settings.default_range is not None:
        result.range = Range(*settings.default_range)
    if result.range is None:
        raise GraphError(
            f"Array {result.name} does not have MinMax information, and is not a constant array. "
            "Cannot proceed with quantization: train it with quantisation, say "
            "--default_ranges_min and --default_ranges_max, or quantise it after training "
            "(flatshot quantize)"
        )


def _data(op: Op) -> Value:
    """The first input that is no index."""
    indices = OPERATORS[op.kind].indices
    return next(value for number, value in enumerate(op.inputs) if number not in indices)


def _quantize_result(op: Op, result: Value, settings: UnsignedSettings) -> None:
    assert result.range is not None
    kind = OPERATORS[op.kind].eight_bits
    source = _data(op).quantization
    handed_on = kind is EightBits.INPUT and source is not None
    if op.kind == "concat":
        handed_on = settings.change_concat_input_ranges and source is not None
    if handed_on:
        result.quantization = source
    elif kind is EightBits.SIGN:
        result.quantization = Quantization.whole(1 / 128, 128)
    else:
        scale, zero_point = choose(result.range)
        result.quantization = Quantization.whole(scale, zero_point)
    result.dtype = np.dtype(np.uint8)


def _quantize_constants(graph: Graph, op: Op) -> None:
    indices = OPERATORS[op.kind].indices
    for number, value in enumerate(op.inputs):
        if number in indices or value.data is None or value.quantization is not None:
            continue
        if op.kind in _CONVOLUTIONS and number == 2:
            bias = _quantized_bias(graph, op, value)
            graph.set_input(op, number, bias)
        else:
            graph.replace_uses(value, _quantized_constant(graph, value))


def _quantized_constant(graph: Graph, value: Value) -> Value:
    data = value.data
    assert data is not None
    if not np.isfinite(data).all():
        raise GraphError(f"the constant {value.name!r} holds numbers that are not finite")
    if value.range is None:
        _log.warning(
            "Constant array %s lacks MinMax information. To make up for that, we will now compute "
            "the MinMax from actual array elements.",
            value.name,
        )
        low, high = (float(data.min()), float(data.max())) if data.size else (0.0, 0.0)
        value.range = Range(min(low, 0.0), max(high, 0.0))
    integers, parameters = to_integers(data, value.range)
    constant = graph.constant(value.name, integers)
    constant.range, constant.quantization = value.range, parameters
    return constant


def _quantized_bias(graph: Graph, op: Op, value: Value) -> Value:
    image, weights = op.inputs[0].quantization, op.inputs[1].quantization
    assert value.data is not None
    if image is None or weights is None:
        raise GraphError(f"{op.name!r} reads what is not quantised")
    scale = image.scale * weights.scale
    bias = graph.constant(value.name, bias_to_integers(value.data, scale))
    bias.quantization = Quantization(scale, np.zeros(scale.shape, np.int64))
    return bias


def _drop_clamp(op: Op) -> None:
    """Drop a fused activation that the integers of the result keep by themselves."""
    ends = _ENDS.get(op.attrs.get("activation", Activation.NONE))
    parameters = op.outputs[0].quantization
    if ends is None or parameters is None:
        return
    low, high = grid_ends(float(parameters.scale[0]), int(parameters.zero_point[0]))
    if low >= ends[0] and high <= ends[1]:
        del op.attrs["activation"]


def _feed_custom(graph: Graph, op: Op, settings: UnsignedSettings) -> None:
    """Integers for the post-processing operator, whose detections stay real numbers."""
    for value in dict.fromkeys(op.inputs):
        if value.data is not None and value.quantization is None and value.dtype == np.float32:
            graph.replace_uses(value, _quantized_constant(graph, value))
    for value in op.outputs:
        if settings.default_range is not None:
            value.range = Range(*settings.default_range)
