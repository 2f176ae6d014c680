"""The arithmetic of quantisation, at its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.compiler.ir import Range
from flatshot.compiler.quantization.affine import (
    bias_to_integers,
    choose,
    grid_ends,
    on_grid,
    round_away,
    to_integers,
    written_range,
)

# 0 is the end of a range that has one side only.
ENDS = st.floats(2.0**-100, 2.0**100, width=32) | st.just(0.0)


@pytest.mark.parametrize(
    ("value", "want"),
    [(0.5, 1), (-0.5, -1), (1.5, 2), (2.5, 3), (-2.5, -3), (0.49999997, 0), (8388609.0, 8388609)],
)
def test_halves_go_away_from_zero(value: float, want: float) -> None:
    """In float32 too, where adding a half would round up by itself."""
    assert round_away(np.array([value], np.float32))[0] == want


@given(ENDS, ENDS, st.booleans())
def test_real_numbers_come_back_within_a_step(low: float, high: float, narrow: bool) -> None:
    """Whatever the range: integers lie in it, zero stays zero, errors are at most a step."""
    limits = Range(-low, high, narrow)
    data = np.linspace(-low, high, 7, dtype=np.float32)
    data[3] = 0
    integers, parameters = to_integers(data, limits)
    scale, zero_point = float(parameters.scale[0]), int(parameters.zero_point[0])
    assert int(narrow) <= integers.min()
    back = (integers.astype(np.float64) - zero_point) * scale
    assert back[3] == 0
    # half a step for rounding, half a step for the shift of the grid, and float32's own
    assert np.abs(back - data).max() <= scale * 1.001 + 1e-6 * max(low, high)


@given(ENDS, ENDS, st.booleans())
def test_the_grid_is_where_it_was(low: float, high: float, narrow: bool) -> None:
    """Numbers on the grid stay the integers that they were."""
    limits = Range(-low, high, narrow)
    data = np.linspace(-low, high, 5, dtype=np.float32)
    settled = on_grid(data, limits)
    integers, _ = to_integers(settled, limits)
    again, _ = to_integers(on_grid(settled, limits), limits)
    np.testing.assert_array_equal(integers, again)


def test_a_written_range_is_the_grids_where_it_lies_elsewhere() -> None:
    """By more than 1e-5 of the width."""
    exact = Range(0.0, 6.0)
    assert written_range(exact, *choose(exact)) is exact
    shifted = Range(-1.0, 2.003)
    written = written_range(shifted, *choose(shifted))
    assert (written.low, written.high) == grid_ends(*choose(shifted))
    assert written != shifted


def test_biases() -> None:
    """To the nearest multiple of both scales; what does not fit 32 bits ends at their ends."""
    bias = np.array([1.0, -1.0, 0.0, 1e30], np.float32)
    assert bias_to_integers(bias, np.array([0.3])).tolist() == [3, -3, 0, 2**31 - 1]
    assert bias_to_integers(np.array([1, 1], np.float32), np.array([0.5, 0.25])).tolist() == [2, 4]
