"""Multiscale and flexible anchors: against TensorFlow's bytes, by hand, and what maps they fit."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import ConfigError
from flatshot.models import anchors
from flatshot.models.anchors.multiscale import specs
from flatshot.models.config.anchors import (
    FlexibleGridAnchorConfig,
    Grid,
    MultiscaleAnchorConfig,
)
from tests.models.configs import config, ssd

RETINANET = MultiscaleAnchorConfig(3, 7, 4.0, (1.0, 2.0, 0.5), 2, normalize_coordinates=True)


def _grids(side: int, levels: range) -> list[tuple[int, int]]:
    sizes = [side]
    for _ in levels:
        sizes.append(-(-sizes[-1] // 2))
    for _ in range(levels.start - 1):
        sizes.append(-(-sizes[-1] // 2))
    return [(sizes[level], sizes[level]) for level in levels]


def test_retinanets_anchors_to_the_last_bit() -> None:
    """The bytes of TensorFlow's own, of every detector with a feature pyramid at 640 x 640."""
    got = anchors.generate(RETINANET, _grids(640, range(3, 8)), (640, 640))
    assert got.shape == (51150, 4)
    assert got.dtype == np.float32
    digest = hashlib.sha256(got.tobytes()).hexdigest()
    assert digest == "773fc1c17e3f4dc2f4e97dca61d69a291c229d52d041d4f5165f97b7e09a0186"


def test_scales_come_before_ratios() -> None:
    """All scales of the first ratio, then all of the next."""
    got = specs(MultiscaleAnchorConfig(3, 3, 4.0, (1.0, 0.5), 2, normalize_coordinates=True))
    assert got == [(1, 1.0), (pytest.approx(2**0.5), 1.0), (1, 0.5), (pytest.approx(2**0.5), 0.5)]


@pytest.mark.parametrize(("side", "first"), [(64, 4.0), (60, 0.0)])
def test_a_grid_begins_at_the_edge_where_the_stride_does_not_divide_the_image(
    side: int, first: float
) -> None:
    """By axis; in pixels here."""
    plain = MultiscaleAnchorConfig(3, 3, 2.0, (1.0,), 1, normalize_coordinates=False)
    got = anchors.generate(plain, [(2, 2)], (64, side))
    assert got[0].tolist() == [4.0, first, 16.0, 16.0]
    assert got[1].tolist() == [4.0, first + 8, 16.0, 16.0]


@given(
    level=st.integers(1, 7),
    scale=st.floats(0.5, 8, width=32),
    ratio=st.floats(0.25, 4, width=32),
    sides=st.tuples(st.integers(33, 700), st.integers(33, 700)),
)
def test_anchors_against_the_formula_in_double_precision(
    level: int, scale: float, ratio: float, sides: tuple[int, int]
) -> None:
    """Height and width are stride * scale, by the root of the ratio; fractions of the image."""
    one = MultiscaleAnchorConfig(level, level, scale, (ratio,), 1, normalize_coordinates=True)
    got = anchors.generate(one, [(1, 1)], sides)[0]
    stride = 2.0**level
    tall, wide = stride * scale / ratio**0.5, stride * scale * ratio**0.5
    starts = [0.0 if side % stride else stride / 2 for side in sides]
    want = [starts[0] / sides[0], starts[1] / sides[1], tall / sides[0], wide / sides[1]]
    # A few roundings of float32 in corners that are as large as the anchor.
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * max(1.0, want[2], want[3]))


def test_a_flexible_grid_is_taken_literally() -> None:
    """Sizes, steps and offsets in pixels; sizes and ratios go in pairs."""
    grid = Grid((8.0, 16.0), (1.0, 4.0), stride=(16, 32), offset=(3, 5))
    flexible = FlexibleGridAnchorConfig((grid,), normalize_coordinates=False)
    got = anchors.generate(flexible, [(1, 2)], (64, 128))
    assert got.tolist() == [[3, 5, 8, 8], [3, 5, 8, 32], [3, 37, 8, 8], [3, 37, 8, 32]]
    whole = FlexibleGridAnchorConfig((grid,), normalize_coordinates=True)
    got = anchors.generate(whole, [(1, 2)], (64, 128))
    assert got[1].tolist() == [3 / 64, 5 / 128, 8 / 64, 32 / 128]


def test_a_configuration_of_a_flexible_grid() -> None:
    """As the API's message has it."""
    text = (
        "anchor_generator { flexible_grid_anchor_generator { anchor_grid { base_sizes: 8 "
        "base_sizes: 16 aspect_ratios: 1 aspect_ratios: 2 height_stride: 16 width_stride: 8 } "
        "normalize_coordinates: false } }"
    )
    got = config(ssd(text)).anchors
    grid = Grid((8.0, 16.0), (1.0, 2.0), (16, 8), (0, 0))
    assert got == FlexibleGridAnchorConfig((grid,), normalize_coordinates=False)
    with pytest.raises(ConfigError, match="go in pairs, there are 3 and 2"):
        config(ssd(text.replace("base_sizes: 16", "base_sizes: 16 base_sizes: 4")))


def test_maps_and_anchors_must_agree() -> None:
    """Each generator in its own words."""
    with pytest.raises(ConfigError, match=r"for the levels 3 to 7, but .* gives 3 maps"):
        anchors.check_maps(RETINANET, [(8, 8), (4, 4), (2, 2)])
    grid = Grid((8.0,), (1.0,), (16, 16), (0, 0))
    flexible = FlexibleGridAnchorConfig((grid, grid), normalize_coordinates=True)
    with pytest.raises(ConfigError, match=r"has 2 anchor_grid, but .* gives 1 maps"):
        anchors.check_maps(flexible, [(8, 8)])
    with pytest.raises(ConfigError, match="are the limit"):
        anchors.check_maps(flexible, [(4096, 4096), (1, 1)])
