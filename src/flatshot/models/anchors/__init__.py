"""Anchors: the boxes that predictions are relative to, one generator a file.

All are equal to the exporter's to the last bit.
"""

from collections.abc import Sequence

from flatshot.errors import ConfigError
from flatshot.models.anchors import flexible_grid, multiscale, ssd
from flatshot.models.anchors.grid import Float32
from flatshot.models.config.anchors import (
    AnchorConfig,
    FlexibleGridAnchorConfig,
    MultiscaleAnchorConfig,
)

__all__ = ["Float32", "anchors_per_cell", "check_maps", "generate"]

# The detectors of the zoo have at most 51,150; suppression would take minutes beyond this.
MAX_ANCHORS = 2**22


def anchors_per_cell(config: AnchorConfig) -> list[int]:
    """How many anchors a cell has, for each feature map."""
    if isinstance(config, MultiscaleAnchorConfig):
        levels = config.max_level - config.min_level + 1
        return [len(multiscale.specs(config))] * levels
    if isinstance(config, FlexibleGridAnchorConfig):
        return [len(grid.base_sizes) for grid in config.grids]
    return [len(layer) for layer in ssd.anchor_specs(config)]


def check_maps(config: AnchorConfig, grids: Sequence[tuple[int, int]]) -> None:
    """Hold the anchor generator against the feature maps, (height, width) in cells each.

    Raises:
        ConfigError: it is made for another number of maps, or there would be too many anchors.
    """
    per_cell = anchors_per_cell(config)
    if len(per_cell) != len(grids):
        raise ConfigError(f"{_layers(config)}, but the feature extractor gives {len(grids)} maps")
    total = sum(
        height * width * count for (height, width), count in zip(grids, per_cell, strict=True)
    )
    if total > MAX_ANCHORS:
        raise ConfigError(
            f"the configuration makes {total} anchors; {MAX_ANCHORS} are the limit: choose a "
            "smaller fixed_shape_resizer or fewer aspect_ratios"
        )


def _layers(config: AnchorConfig) -> str:
    """How many feature maps `config` is for, in its own words."""
    if isinstance(config, MultiscaleAnchorConfig):
        return (
            f"multiscale_anchor_generator is for the levels {config.min_level} to "
            f"{config.max_level}"
        )
    if isinstance(config, FlexibleGridAnchorConfig):
        return f"flexible_grid_anchor_generator has {len(config.grids)} anchor_grid"
    return f"ssd_anchor_generator.num_layers is {config.num_layers}"


def generate(
    config: AnchorConfig, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> Float32:
    """The anchors of all feature maps.

    Args:
        config: the anchor generator.
        grids: (height, width) of each feature map in cells.
        image_size: (height, width) of the input in pixels.

    Returns:
        (N, 4): y and x of the centre, height, width, as fractions of the image; map by map, row by
        row, cell by cell.
    """
    if isinstance(config, MultiscaleAnchorConfig):
        return multiscale.generate(config, grids, image_size)
    if isinstance(config, FlexibleGridAnchorConfig):
        return flexible_grid.generate(config, grids, image_size)
    return ssd.generate(config, grids, image_size)
