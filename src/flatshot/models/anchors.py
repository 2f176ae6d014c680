"""SSD anchors, equal to the exporter's to the last bit.

Sources: `object_detection/anchor_generators/multiple_grid_anchor_generator.py`,
`.../grid_anchor_generator.py`, `object_detection/core/box_list.py`. The order of operations and
the precision of each are theirs: scales in double from float32 config values, the rest in float32.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flatshot.models.detection_config import SsdAnchorConfig

Float32 = npt.NDArray[np.float32]
# Of each anchor in a cell: its scale and its aspect ratio (width / height).
Specs = list[tuple[float, float]]


def anchor_specs(config: SsdAnchorConfig) -> list[Specs]:
    """Scale and aspect ratio of the anchors of a cell, for each layer."""
    scales = list(config.scales)
    if not scales:
        span = config.max_scale - config.min_scale
        steps = config.num_layers - 1
        scales = [config.min_scale + span * i / steps for i in range(config.num_layers)]
    layers = []
    for layer, (scale, following) in enumerate(zip(scales, [*scales[1:], 1.0], strict=True)):
        if layer == 0 and config.reduce_boxes_in_lowest_layer:
            layers.append([(0.1, 1.0), (scale, 2.0), (scale, 0.5)])
            continue
        specs = [(scale, ratio) for ratio in config.aspect_ratios]
        if config.interpolated_scale_aspect_ratio > 0:
            between = math.sqrt(scale * following)
            specs.append((between, config.interpolated_scale_aspect_ratio))
        layers.append(specs)
    return layers


def generate(
    config: SsdAnchorConfig, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> Float32:
    """The anchors of all layers.

    Args:
        config: the anchor generator.
        grids: (height, width) of each feature map in cells.
        image_size: (height, width) of the input in pixels.

    Returns:
        (N, 4): y and x of the centre, height, width, as fractions of the image; layer by layer,
        row by row, cell by cell.
    """
    shorter = np.float32(min(image_size))
    base = [
        shorter / np.float32(side) * np.float32(factor)
        for side, factor in zip(image_size, config.base_anchor_size, strict=True)
    ]
    sides = [np.float32(side) for side in image_size]
    layers = []
    for layer, (grid, specs) in enumerate(zip(grids, anchor_specs(config), strict=True)):
        if config.strides:
            strides = [np.float32(config.strides[layer][i]) / sides[i] for i in (0, 1)]
        else:
            strides = [np.float32(1) / np.float32(cells) for cells in grid]
        if config.offsets:
            offsets = [np.float32(config.offsets[layer][i]) / sides[i] for i in (0, 1)]
        else:
            offsets = [np.float32(0.5) * stride for stride in strides]
        layers.append(_tile(grid, specs, base, strides, offsets))
    return np.concatenate(layers)


def _tile(
    grid: tuple[int, int],
    specs: Specs,
    base: list[np.float32],
    strides: list[np.float32],
    offsets: list[np.float32],
) -> Float32:
    """The anchors `specs` at each cell of a grid.

    The exporter keeps corners and turns them back into centre and size: the last bits tell.
    """
    scales, ratios = np.array(specs, np.float32).reshape(-1, 2).T
    roots = np.sqrt(ratios)
    sizes = np.stack([scales / roots * base[0], scales * roots * base[1]], axis=-1)
    centres_y = np.arange(grid[0], dtype=np.float32) * strides[0] + offsets[0]
    centres_x = np.arange(grid[1], dtype=np.float32) * strides[1] + offsets[1]
    centres = np.stack(np.meshgrid(centres_y, centres_x, indexing="ij"), axis=-1)
    centres = centres[:, :, np.newaxis, :]
    half = np.float32(0.5) * sizes
    low, high = centres - half, centres + half
    extent = high - low
    middle = low + extent / np.float32(2)
    return np.concatenate([middle, extent], axis=-1).reshape(-1, 4)
