"""Multiscale anchors: octaves of sizes, one level of a feature pyramid after another.

Sources: Lin et al. 2017, arXiv 1708.02002; `multiscale_grid_anchor_generator.py`.
"""

from collections.abc import Sequence

import numpy as np

from flatshot.models.anchors.grid import Float32, Specs, centred, corners, normalized
from flatshot.models.config.anchors import MultiscaleAnchorConfig


def specs(config: MultiscaleAnchorConfig) -> Specs:
    """Scale and aspect ratio of the anchors of a cell, the same at all levels."""
    octave = [2 ** (step / config.scales_per_octave) for step in range(config.scales_per_octave)]
    return [(scale, ratio) for ratio in config.aspect_ratios for scale in octave]


def generate(
    config: MultiscaleAnchorConfig,
    grids: Sequence[tuple[int, int]],
    image_size: tuple[int, int],
) -> Float32:
    """The anchors of all levels; arguments and result as those of `anchors.generate`.

    Without `normalize_coordinates` they are in pixels.
    """
    per_cell = specs(config)
    levels = []
    for level, grid in enumerate(grids, start=config.min_level):
        stride = 2**level
        base = np.float32(stride * config.anchor_scale)
        # Where the stride does not divide the image, the grid begins at its edge.
        offsets = [np.float32(0 if side % stride else stride / 2) for side in image_size]
        step = np.float32(stride)
        boxes = corners(grid, per_cell, (base, base), (step, step), offsets)
        levels.append(normalized(boxes, image_size) if config.normalize_coordinates else boxes)
    return centred(np.concatenate(levels))
