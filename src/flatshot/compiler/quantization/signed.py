"""Known ranges to signed 8 bits: weights with a scale for each channel, scores and boxes real.

TensorFlow Lite's int8 rules: weights in -127..127 around 0, biases in int32 of the product of both
scales, concatenations of one scale, sigmoids of 1/256. A channel's scale is never so small that its
bias would not fit 30 bits: a head's unused class, whose weights are all 0 and whose bias is -8,
would otherwise be clamped to a score of one half.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from flatshot.compiler.importer import CUSTOM
from flatshot.compiler.ir import Graph, Op, Quantization, Range, Value
from flatshot.compiler.operators import OPERATORS
from flatshot.compiler.operators.registry import EightBits
from flatshot.compiler.quantization.affine import bias_to_integers, choose, round_away
from flatshot.errors import ConfigError, GraphError
from flatshot.formats.graphdef import Array

_log = logging.getLogger("flatshot")

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
_HANDED = EightBits.INPUT
# Kernels that compare or copy integers: all parts and the result have one scale.
_OF_ONE_SCALE = ("concat", "maximum", "minimum")
_SUMS = ("add", "sub")
# LiteRT's kernels end the process where the scale of a sum is smaller than its parts' by 2^19.
_LEAST_OF_SUMS = 2.0**-18
_BIAS_LIMIT = 2.0**30
# A clamp at 6 in smaller steps would not fit 32 bits.
_SMALLEST = 2.0**-28
_INT8 = np.dtype(np.int8)
InputType = Literal["float32", "uint8", "int8"]
INPUT_TYPES: tuple[InputType, ...] = ("float32", "uint8", "int8")


@dataclass(frozen=True)
class SignedSettings:
    """How a model is quantised.

    Attributes:
        input: what the model's input is made of.
        input_range: what the pixels 0 and 255 become.
        keep: regular expressions of tensors whose operators stay in real numbers.
        means: the mean of each channel of tensors that convolutions read, by name: what rounding
            the weights moves is put into the biases.
    """

    input: InputType = "float32"
    input_range: tuple[float, float] = (-1.0, 1.0)
    keep: Sequence[str] = ()
    means: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)


def quantize_signed(graph: Graph, settings: SignedSettings) -> int:
    """Turn a graph of real numbers and known ranges into one of int8; how many tensors are.

    Operators that have no int8 form, whose range is not known, or that shall be kept, stay in real
    numbers; what lies between is converted.

    Raises:
        ConfigError: an expression is none, or keeps nothing.
        GraphError: the graph has not one image for an input, or constants are not finite.
    """
    return _Quantizer(graph, settings).run()


class _Quantizer:
    def __init__(self, graph: Graph, settings: SignedSettings) -> None:
        self._graph = graph
        self._settings = settings
        self._order: list[Op] = []
        # The other form of a value: its integers, or its real numbers.
        self._integers: dict[tuple[int, bytes], Value] = {}
        self._reals: dict[int, Value] = {}
        self._keep = _expressions(settings.keep)

    def run(self) -> int:
        graph = self._graph
        ops = graph.ops
        self._enter()
        kept = 0
        for op in ops:
            stays = any(expression.search(op.outputs[0].name) for expression in self._keep)
            kept += stays
            if not stays and self._is_possible(op):
                self._quantize(op)
            else:
                self._leave(op)
            self._order.append(op)
        if self._keep and not kept:
            raise ConfigError(f"no tensor matches {', '.join(self._settings.keep)!r} to be kept")
        graph.reorder(self._order)
        return sum(value.quantization is not None for value in graph.values())

    def _enter(self) -> None:
        """Let the graph begin in integers, or in what its input shall be."""
        if len(self._graph.inputs) != 1:
            raise GraphError(f"a detector has one input, and the model {len(self._graph.inputs)}")
        (image,) = self._graph.inputs
        image.range = Range(*self._settings.input_range)
        kind = self._settings.input
        if kind == "float32":
            return
        scale, zero_point = choose(_widened(image.range))
        if kind == "uint8":
            image.quantization = Quantization.whole(scale, zero_point)
            image.dtype = np.dtype(np.uint8)
        else:
            image.quantization = Quantization.whole(scale, zero_point - 128)
            image.dtype = _INT8

    # --- which operators -----------------------------------------------------------------------

    def _is_possible(self, op: Op) -> bool:
        if op.kind == CUSTOM:
            return False
        kind = OPERATORS[op.kind].eight_bits
        if kind is EightBits.NO or op.outputs[0].dtype != np.float32:
            return False
        if kind in (EightBits.UNIT, EightBits.SIGN):
            return self._has_integers(op.inputs[0])
        if kind is _HANDED:
            return all(self._is_quantized(value) for value in self._data(op))
        return op.outputs[0].range is not None and all(map(self._has_integers, self._data(op)))

    def _is_quantized(self, value: Value) -> bool:
        return value.dtype == _INT8 or value.data is not None

    def _has_integers(self, value: Value) -> bool:
        return self._is_quantized(value) or value.range is not None

    def _data(self, op: Op) -> list[Value]:
        indices = OPERATORS[op.kind].indices
        return [value for number, value in enumerate(op.inputs) if number not in indices]

    # --- real numbers --------------------------------------------------------------------------

    def _leave(self, op: Op) -> None:
        for number, value in enumerate(op.inputs):
            if value.quantization is not None and value.data is None:
                self._graph.set_input(op, number, self._real(value))

    def _real(self, value: Value) -> Value:
        if id(value) not in self._reals:
            name = self._graph.fresh_name(f"{value.name}_dequantized")
            real = Value(name, value.shape, np.dtype(np.float32))
            self._order.append(self._graph.add(Op("dequantize", name, [value], {}), [real]))
            self._reals[id(value)] = real
        return self._reals[id(value)]

    # --- integers ------------------------------------------------------------------------------

    def _quantize(self, op: Op) -> None:
        for result in op.outputs:
            result.quantization = self._parameters(op, result)
        wanted = op.outputs[0].quantization if op.kind in _OF_ONE_SCALE else None
        indices = OPERATORS[op.kind].indices
        for number, value in enumerate(op.inputs):
            if number in indices:
                continue
            if op.kind in _CONVOLUTIONS and number == 1:
                self._quantize_filter(op)
            elif not (op.kind in _CONVOLUTIONS and number == 2):
                self._graph.set_input(op, number, self._integer(value, wanted))
        for result in op.outputs:
            result.dtype = _INT8

    def _parameters(self, op: Op, result: Value) -> Quantization:
        kind = OPERATORS[op.kind].eight_bits
        if kind is EightBits.UNIT:
            return Quantization.whole(1 / 256, -128)
        if kind is EightBits.SIGN:
            return Quantization.whole(1 / 128, 0)
        if kind is _HANDED:
            source = next((value for value in self._data(op) if value.data is None), None)
            if source is not None and source.quantization is not None:
                return source.quantization
        assert result.range is not None
        least = 0.0
        if op.kind in _SUMS:
            scales = [self._scale(value) for value in op.inputs]
            least = max(scales) * _LEAST_OF_SUMS
        return _asymmetric(result.range, least)

    def _scale(self, value: Value) -> float:
        """The scale that an input has or will have."""
        if value.quantization is not None:
            return float(value.quantization.scale[0])
        data = value.data
        if data is not None:
            return float(_asymmetric(_range_of(data)).scale[0])
        assert value.range is not None
        return float(_asymmetric(value.range).scale[0])

    def _integer(self, value: Value, wanted: Quantization | None) -> Value:
        """The int8 form of a value, of the parameters `wanted` where they matter."""
        found = value.quantization if value.dtype == _INT8 else None
        if found is not None and (wanted is None or wanted.equals(found)):
            return value
        if value.data is not None:
            return self._integer_constant(value, wanted)
        if wanted is None:
            assert value.range is not None
            wanted = _asymmetric(value.range)
        key = (id(value), wanted.scale.tobytes() + wanted.zero_point.tobytes())
        if key not in self._integers:
            name = self._graph.fresh_name(f"{value.name}_quantized")
            integers = Value(name, value.shape, _INT8)
            integers.quantization = wanted
            self._order.append(self._graph.add(Op("quantize", name, [value], {}), [integers]))
            self._integers[key] = integers
        return self._integers[key]

    def _integer_constant(self, value: Value, wanted: Quantization | None) -> Value:
        data = value.data
        assert data is not None
        _check_finite(value, data)
        if wanted is None:
            wanted = _asymmetric(_range_of(data))
        exact = data.astype(np.float64) / wanted.scale[0] + wanted.zero_point[0]
        integers = np.clip(round_away(exact), -128, 127).astype(np.int8)
        constant = self._graph.constant(self._graph.fresh_name(value.name), integers)
        constant.quantization = wanted
        return constant

    def _quantize_filter(self, op: Op) -> None:
        """Filter and bias of a convolution, a scale for each channel."""
        image, filter_ = op.inputs[0], op.inputs[1]
        weights, bias = filter_.data, op.inputs[2].data
        if weights is None or bias is None or image.quantization is None:
            raise GraphError(f"{op.name!r}: its filter and bias must be constants")
        _check_finite(filter_, weights)
        _check_finite(op.inputs[2], bias)
        step = float(image.quantization.scale[0])
        flat = weights.reshape(-1, bias.size).astype(np.float64)
        scale = np.maximum(np.abs(flat).max(axis=0) / 127, np.abs(bias) / (step * _BIAS_LIMIT))
        # A channel without weights and bias is 0 whatever its scale is.
        scale = np.where(scale > np.finfo(np.float32).tiny, scale, 1.0)
        # The file holds the scale in float32: integers are for that one.
        scale = scale.astype(np.float32).astype(np.float64)
        integers = np.clip(round_away(flat / scale), -127, 127)
        bias = bias - self._moved(op, (integers * scale - flat).reshape(weights.shape))
        axis = OPERATORS[op.kind].channel_axis
        assert axis is not None
        quantized = self._graph.constant(
            self._graph.fresh_name(filter_.name) if len(filter_.users) > 1 else filter_.name,
            integers.astype(np.int8).reshape(weights.shape),
        )
        quantized.quantization = Quantization(scale, np.zeros(scale.shape, np.int64), axis)
        self._graph.set_input(op, 1, quantized)
        old = op.inputs[2]
        name = self._graph.fresh_name(old.name) if len(old.users) > 1 else old.name
        steps = self._graph.constant(name, bias_to_integers(bias, step * scale))
        steps.quantization = Quantization(step * scale, np.zeros(scale.shape, np.int64), 0)
        self._graph.set_input(op, 2, steps)

    def _moved(self, op: Op, change: Array) -> Array:
        """How far a change of the filter moves the mean of each output channel."""
        name = op.inputs[0].name.removesuffix("_quantized")
        means = self._settings.means.get(name)
        if means is None or means.size != op.inputs[0].dims[-1]:
            return np.zeros(op.outputs[0].dims[-1])
        sums = change.sum(axis=(0, 1))
        if op.kind == "conv2d":
            return np.asarray(means @ sums)
        return np.asarray(means[:, None] * sums).reshape(-1)


def _asymmetric(limits: Range, least: float = 0.0) -> Quantization:
    """Scale and zero point of int8 for a range, which is widened to hold 0.

    The scale is not below `least`, nor below the smallest that kernels take.
    """
    low, high = _widened(limits).low, _widened(limits).high
    smallest = max(least, _SMALLEST)
    if high - low < 255 * smallest:  # integers of a coarser scale, around the same zero
        zero_point = -128 if low == 0 else 127 if high == 0 else 0
        return Quantization.whole(smallest, zero_point)
    scale, zero_point = choose(Range(low, high))
    return Quantization.whole(scale, zero_point - 128)


def _range_of(data: Array) -> Range:
    return Range(float(data.min()), float(data.max())) if data.size else Range(0.0, 0.0)


def _widened(limits: Range) -> Range:
    return Range(min(limits.low, 0.0), max(limits.high, 0.0))


def _check_finite(value: Value, data: Array) -> None:
    if not np.isfinite(data).all():
        raise GraphError(f"the constant {value.name!r} holds numbers that are not finite")


def _expressions(texts: Sequence[str]) -> list[re.Pattern[str]]:
    try:
        return [re.compile(text) for text in texts]
    except re.error as error:
        raise ConfigError(f"--keep: {error} in {error.pattern!r}") from error
