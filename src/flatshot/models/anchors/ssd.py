"""SSD anchors, equal to the exporter's to the last bit.

Sources: `object_detection/anchor_generators/multiple_grid_anchor_generator.py`,
`.../grid_anchor_generator.py`, `object_detection/core/box_list.py`. The order of operations and
the precision of each are theirs: scales in double from float32 config values, the rest in float32.
"""

import math
from collections.abc import Sequence

import numpy as np

from flatshot.models.anchors.grid import Float32, Specs, centred, corners
from flatshot.models.config.anchors import SsdAnchorConfig


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
        layers.append(centred(corners(grid, specs, base, strides, offsets)))
    return np.concatenate(layers)
