"""Anchors of a flexible grid: sizes, steps and offsets of each layer in pixels, taken literally.

Source: `object_detection/anchor_generators/flexible_grid_anchor_generator.py`.
"""

from collections.abc import Sequence

import numpy as np

from flatshot.models.anchors.grid import Float32, Specs, centred, corners, normalized
from flatshot.models.config.anchors import FlexibleGridAnchorConfig, Grid


def specs(grid: Grid) -> Specs:
    """Size in pixels and aspect ratio of the anchors of a cell."""
    return list(zip(grid.base_sizes, grid.aspect_ratios, strict=True))


def generate(
    config: FlexibleGridAnchorConfig,
    grids: Sequence[tuple[int, int]],
    image_size: tuple[int, int],
) -> Float32:
    """The anchors of all layers; arguments and result as those of `anchors.generate`.

    Without `normalize_coordinates` they are in pixels.
    """
    unit = np.float32(1)
    layers = []
    for grid, cells in zip(config.grids, grids, strict=True):
        strides = [np.float32(step) for step in grid.stride]
        offsets = [np.float32(start) for start in grid.offset]
        boxes = corners(cells, specs(grid), (unit, unit), strides, offsets)
        layers.append(normalized(boxes, image_size) if config.normalize_coordinates else boxes)
    return centred(np.concatenate(layers))
