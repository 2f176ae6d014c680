"""The arithmetic of quantisation as TOCO does it, to the last bit.

Sources: TensorFlow's `quantization_util.h` (`ChooseQuantizationParamsUtil`), `toco/graph_
transformations/resolve_constant_fake_quant.cc` and `quantize.cc`.
"""

import math

import numpy as np
import numpy.typing as npt

from flatshot.compiler.ir import Quantization, Range
from flatshot.formats.graphdef import Array

HIGHEST = 255
# How far a range may lie beside the integers' grid, in widths, before the file says the grid's.
_NUDGE = 1e-5


def round_away(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Each number to the nearest whole one, halves away from zero."""
    rounded: npt.NDArray[np.floating] = np.trunc(values)
    # Exact also where values + 0.5 would round up: 0.49999997 in float32.
    away = np.abs(values - rounded) >= 0.5
    return np.where(away, rounded + np.sign(values), rounded).astype(values.dtype)


def choose(limits: Range) -> tuple[float, int]:
    """Scale and zero point in 0..255 (1..255 if narrow) of a range, in double."""
    lowest = int(limits.narrow)
    low, high = float(limits.low), float(limits.high)
    if low == high:
        return 0.0, lowest
    scale = (high - low) / (HIGHEST - lowest)
    from_low, from_high = lowest - low / scale, HIGHEST - high / scale
    error_low = abs(lowest) + abs(low / scale)
    error_high = abs(HIGHEST) + abs(high / scale)
    exact = from_low if error_low < error_high else from_high
    if not lowest <= exact <= HIGHEST:
        return scale, lowest if exact < lowest else HIGHEST
    return scale, math.floor(exact + 0.5)


def grid_ends(scale: float, zero_point: int) -> tuple[float, float]:
    """The real numbers that 0 and 255 stand for."""
    return (0 - zero_point) * scale, (HIGHEST - zero_point) * scale


def written_range(limits: Range, scale: float, zero_point: int) -> Range:
    """The range that TOCO's file says: its own, or where the grid lies elsewhere, the grid's."""
    low, high = grid_ends(scale, zero_point)
    width = limits.high - limits.low
    if max(abs(low - limits.low), abs(high - limits.high)) > _NUDGE * width:
        return Range(low, high, limits.narrow)
    return limits


def on_grid(data: Array, limits: Range) -> Array:
    """Constants as a FakeQuant leaves them: float32 numbers on the grid of its integers."""
    exact, zero_point = choose(limits)
    scale = np.float32(exact)
    if scale == 0:
        return np.zeros_like(data)
    low = np.float32(int(limits.narrow) - zero_point) * scale
    high = np.float32(HIGHEST - zero_point) * scale
    inverse = np.float32(1) / scale
    steps = round_away((np.clip(data, low, high) - low) * inverse)
    return np.asarray(steps * scale + low, np.float32)


def to_integers(data: Array, limits: Range) -> tuple[Array, Quantization]:
    """Constants as uint8, and what these stand for."""
    scale, zero_point = choose(limits)
    parameters = Quantization.whole(scale, zero_point)
    if scale == 0:
        return np.full(data.shape, zero_point, np.uint8), parameters
    exact = zero_point + (1 / scale) * data.astype(np.float64)
    integers = np.clip(round_away(exact), int(limits.narrow), HIGHEST)
    return integers.astype(np.uint8), parameters


def bias_to_integers(data: Array, scale: npt.NDArray[np.float64]) -> Array:
    """A bias as int32, for products of inputs and weights of these scales (one, or a channel's)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = data.astype(np.float64) * (1 / scale)
    limits = np.iinfo(np.int32)
    rounded = np.clip(round_away(np.nan_to_num(exact)), limits.min, limits.max)
    return np.asarray(rounded, np.int32)
