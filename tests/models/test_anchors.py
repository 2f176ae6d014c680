"""SSD anchors against published rows, against hand arithmetic and against a plain derivation."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest

from flatshot.formats.pipeline import load_pipeline
from flatshot.models import anchors
from flatshot.models.anchors.ssd import anchor_specs
from flatshot.models.config.anchors import SsdAnchorConfig
from flatshot.models.detection_config import read_config
from tests.models.configs import config, ssd

GRIDS = ((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1))


def _settings(text: str = "") -> SsdAnchorConfig:
    settings = config(ssd(f"anchor_generator {{ ssd_anchor_generator {{ {text} }} }}")).anchors
    assert isinstance(settings, SsdAnchorConfig)
    return settings


@pytest.fixture(scope="module")
def standard() -> anchors.Float32:
    """The 1917 anchors of the standard configuration at 300 x 300."""
    return anchors.generate(_settings(), GRIDS, (300, 300))


# Row, then y and x of the centre, height, width: the exporter's, to six digits.
TABLE = [
    (0, 0.026316, 0.026316, 0.1, 0.1),
    (1, 0.026316, 0.026316, 0.141421, 0.282843),
    (2, 0.026316, 0.026316, 0.282843, 0.141421),
    (3, 0.026316, 0.078947, 0.1, 0.1),
    (57, 0.078947, 0.026316, 0.1, 0.1),
    (1082, 0.973684, 0.973684, 0.282843, 0.141421),
    (1083, 0.05, 0.05, 0.35, 0.35),
    (1084, 0.05, 0.05, 0.247487, 0.494975),
    (1085, 0.05, 0.05, 0.494975, 0.247487),
    (1086, 0.05, 0.05, 0.202073, 0.606218),
    (1087, 0.05, 0.05, 0.606248, 0.202062),
    (1088, 0.05, 0.05, 0.418330, 0.418330),
    (1683, 0.1, 0.1, 0.5, 0.5),
    (1833, 0.166667, 0.166667, 0.65, 0.65),
    (1887, 0.25, 0.25, 0.8, 0.8),
    (1911, 0.5, 0.5, 0.95, 0.95),
    (1912, 0.5, 0.5, 0.671751, 1.343503),
    (1913, 0.5, 0.5, 1.343503, 0.671751),
    (1914, 0.5, 0.5, 0.548483, 1.645448),
    (1915, 0.5, 0.5, 1.645531, 0.548455),
    (1916, 0.5, 0.5, 0.974679, 0.974679),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row[0]))
def test_rows_of_the_standard_configuration(
    standard: anchors.Float32, row: tuple[int, float, float, float, float]
) -> None:
    """Rows of every layer, first and last of the blocks."""
    # the table has six digits after the point, float32 near 1.6 steps of 1.2e-7
    np.testing.assert_allclose(standard[row[0]], row[1:], atol=6.2e-7, rtol=0)


def test_the_standard_configuration_to_the_last_bit(standard: anchors.Float32) -> None:
    """The bytes of TensorFlow's own."""
    assert standard.shape == (1917, 4)
    assert standard.dtype == np.float32
    assert (
        hashlib.sha256(standard.tobytes()).hexdigest()
        == "8fcff261f370e1d7d6059f40d3824a6bf3975f683b453b44b8cfabff55d7b5bc"
    )
    bits = [hex(number) for number in standard[[0, 1, 3, 1083]].view(np.uint32).reshape(-1)]
    assert bits[:4] == ["0x3cd79436", "0x3cd79436", "0x3dcccccd", "0x3dcccccd"]
    assert (bits[5], bits[11], bits[13]) == ("0x3cd79438", "0x3dcccccc", "0x3d4ccccc")


def _derived(
    settings: SsdAnchorConfig, grids: tuple[tuple[int, int], ...], size: tuple[int, int]
) -> list[list[float]]:
    """The anchors in double precision, from the paper and the proto's comments."""
    count = settings.num_layers
    scales = list(settings.scales) or [
        settings.min_scale + (settings.max_scale - settings.min_scale) * i / (count - 1)
        for i in range(count)
    ]
    rows = []
    height, width = size
    side = min(size)
    for layer, (grid_y, grid_x) in enumerate(grids):
        boxes = [(scales[layer], ratio) for ratio in settings.aspect_ratios]
        if settings.interpolated_scale_aspect_ratio:
            following = scales[layer + 1] if layer + 1 < count else 1.0
            boxes.append(
                (math.sqrt(scales[layer] * following), settings.interpolated_scale_aspect_ratio)
            )
        if layer == 0 and settings.reduce_boxes_in_lowest_layer:
            boxes = [(0.1, 1), (scales[0], 2), (scales[0], 0.5)]
        step_y, step_x = 1 / grid_y, 1 / grid_x
        if settings.strides:
            step_y, step_x = settings.strides[layer][0] / height, settings.strides[layer][1] / width
        start_y, start_x = step_y / 2, step_x / 2
        if settings.offsets:
            start_y = settings.offsets[layer][0] / height
            start_x = settings.offsets[layer][1] / width
        for y in range(grid_y):
            for x in range(grid_x):
                for scale, ratio in boxes:
                    tall = scale / math.sqrt(ratio) * settings.base_anchor_size[0] * side / height
                    wide = scale * math.sqrt(ratio) * settings.base_anchor_size[1] * side / width
                    rows.append([y * step_y + start_y, x * step_x + start_x, tall, wide])
    return rows


@pytest.mark.parametrize(
    "text",
    [
        "",
        "reduce_boxes_in_lowest_layer: false",
        "interpolated_scale_aspect_ratio: 0",
        "interpolated_scale_aspect_ratio: 1.5",
        "num_layers: 3",
        "num_layers: 2 min_scale: 0.3 max_scale: 0.7",
        "num_layers: 3 scales: 0.1 scales: 0.4 scales: 0.6",
        "num_layers: 1 scales: 0.4",
        "aspect_ratios: 4.0",
        "base_anchor_height: 1.25 base_anchor_width: 0.75",
        "num_layers: 2 height_stride: 16 height_stride: 32 width_stride: 12 width_stride: 30",
        "num_layers: 2 height_offset: 3 height_offset: 5 width_offset: 0 width_offset: 7",
    ],
)
@pytest.mark.parametrize("size", [(300, 300), (240, 320), (320, 192)])
def test_every_field(text: str, size: tuple[int, int]) -> None:
    """Each field of the generator, on square, wide and tall images."""
    settings = _settings(text)
    grids = ((15, 20), (8, 10), (4, 5), (2, 3), (1, 2), (1, 1))[: settings.num_layers]
    got = anchors.generate(settings, grids, size)
    # float32 against double, a few roundings of numbers below 2
    np.testing.assert_allclose(got, _derived(settings, grids, size), atol=5e-7, rtol=0)


def test_a_cell_by_hand() -> None:
    """Stride 16 and offset 8 pixels in an image of 32 x 64, scale 0.5: all fractions are exact."""
    settings = _settings(
        "num_layers: 1 scales: 0.5 reduce_boxes_in_lowest_layer: false "
        "height_stride: 16 width_stride: 16 height_offset: 8 width_offset: 8"
    )
    got = anchors.generate(settings, ((2, 4),), (32, 64))
    # six anchors a cell; the first is a square of 16 pixels: half the image high, a quarter wide
    assert got[0].tolist() == [0.25, 0.125, 0.5, 0.25]
    assert got[6].tolist() == [0.25, 0.375, 0.5, 0.25]
    assert got[24].tolist() == [0.75, 0.125, 0.5, 0.25]


def test_specs_come_in_the_order_of_the_file() -> None:
    """Ratios as configured, then the one between two scales."""
    specs = anchor_specs(_settings("reduce_boxes_in_lowest_layer: false"))
    ratios = [1.0, 2.0, 0.5, 3.0, float(np.float32(0.3333)), 1.0]
    assert [ratio for _, ratio in specs[0]] == ratios
    # 0.2 and 0.95 come as float32
    assert [layer[0][0] for layer in specs] == pytest.approx(
        [0.2, 0.35, 0.5, 0.65, 0.8, 0.95], abs=1e-7
    )
    assert [layer[-1][0] for layer in specs] == pytest.approx(
        [0.264575, 0.41833, 0.570088, 0.72111, 0.87178, 0.974679], abs=1e-6
    )


def test_published_configurations_agree(data: Path) -> None:
    """The zoo's detectors of 300 x 300 all have these anchors."""
    for path in sorted((data / "zoo").glob("*/pipeline.config")):
        settings = read_config(load_pipeline(path)).anchors
        assert isinstance(settings, SsdAnchorConfig)
        assert anchor_specs(settings) == anchor_specs(_settings())
