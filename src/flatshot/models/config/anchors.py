"""`anchor_generator`: the boxes that predictions are relative to."""

from dataclasses import dataclass
from typing import Any

from flatshot.models.config.extractor import MAX_LEVEL
from flatshot.models.config.problems import LARGEST, SMALLEST, Problems

_MOST_SPECS = 100


@dataclass(frozen=True)
class SsdAnchorConfig:
    """The `ssd_anchor_generator` section; lists are empty where the file gives none."""

    num_layers: int
    min_scale: float
    max_scale: float
    scales: tuple[float, ...]
    aspect_ratios: tuple[float, ...]
    interpolated_scale_aspect_ratio: float
    base_anchor_size: tuple[float, float]
    strides: tuple[tuple[int, int], ...]
    offsets: tuple[tuple[int, int], ...]
    reduce_boxes_in_lowest_layer: bool


@dataclass(frozen=True)
class MultiscaleAnchorConfig:
    """The `multiscale_anchor_generator` section."""

    min_level: int
    max_level: int
    anchor_scale: float
    aspect_ratios: tuple[float, ...]
    scales_per_octave: int
    normalize_coordinates: bool


@dataclass(frozen=True)
class Grid:
    """One layer of a flexible grid: sizes and steps in pixels, pairs are vertical, horizontal."""

    base_sizes: tuple[float, ...]
    aspect_ratios: tuple[float, ...]
    stride: tuple[float, float]
    offset: tuple[float, float]


@dataclass(frozen=True)
class FlexibleGridAnchorConfig:
    """The `flexible_grid_anchor_generator` section."""

    grids: tuple[Grid, ...]
    normalize_coordinates: bool


AnchorConfig = SsdAnchorConfig | MultiscaleAnchorConfig | FlexibleGridAnchorConfig


def read_anchors(section: Any, problems: Problems) -> AnchorConfig | None:
    """The section `anchor_generator`; None where it is of a kind that is not built."""
    kind = section.WhichOneof("anchor_generator_oneof")
    if kind == "ssd_anchor_generator":
        return _read_ssd(section.ssd_anchor_generator, problems)
    if kind == "multiscale_anchor_generator":
        return _read_multiscale(section.multiscale_anchor_generator, problems)
    if kind == "flexible_grid_anchor_generator":
        return _read_flexible(section.flexible_grid_anchor_generator, problems)
    if kind == "grid_anchor_generator":
        problems.refuse(
            "anchor_generator.grid_anchor_generator: it serves two-stage detectors; the Object "
            "Detection API cannot build a single-shot detector with it"
        )
        return None
    problems.refuse(
        f"anchor_generator.{kind or '(nothing)'}: known: ssd_anchor_generator, "
        "multiscale_anchor_generator, flexible_grid_anchor_generator"
    )
    return None


def _read_ssd(ssd: Any, problems: Problems) -> SsdAnchorConfig:
    where = "ssd_anchor_generator"
    problems.require(1 <= ssd.num_layers <= 6, f"{where}.num_layers must lie in 1..6")
    _check_ratios(ssd, where, problems)
    problems.require(
        all(0 <= scale <= LARGEST for scale in (ssd.min_scale, ssd.max_scale, *ssd.scales)),
        f"{where}: scales must lie in 0..{LARGEST:g}",
    )
    problems.require(
        ssd.interpolated_scale_aspect_ratio == 0
        or SMALLEST <= ssd.interpolated_scale_aspect_ratio <= LARGEST,
        f"{where}.interpolated_scale_aspect_ratio must be 0 or lie in {SMALLEST:g}..{LARGEST:g}",
    )
    problems.require(
        all(0 < side <= LARGEST for side in (ssd.base_anchor_height, ssd.base_anchor_width)),
        f"{where}: base_anchor_height and base_anchor_width must be above 0, at most {LARGEST:g}",
    )
    _check_layers(ssd, where, problems)
    return SsdAnchorConfig(
        num_layers=ssd.num_layers,
        min_scale=ssd.min_scale,
        max_scale=ssd.max_scale,
        scales=tuple(ssd.scales),
        aspect_ratios=tuple(ssd.aspect_ratios),
        interpolated_scale_aspect_ratio=ssd.interpolated_scale_aspect_ratio,
        base_anchor_size=(ssd.base_anchor_height, ssd.base_anchor_width),
        strides=tuple(zip(ssd.height_stride, ssd.width_stride, strict=False)),
        offsets=tuple(zip(ssd.height_offset, ssd.width_offset, strict=False)),
        reduce_boxes_in_lowest_layer=ssd.reduce_boxes_in_lowest_layer,
    )


def _check_layers(ssd: Any, where: str, problems: Problems) -> None:
    """Note lists that do not have one value a layer."""
    for vertical, horizontal in (
        ("height_stride", "width_stride"),
        ("height_offset", "width_offset"),
    ):
        counts = len(getattr(ssd, vertical)), len(getattr(ssd, horizontal))
        problems.require(
            counts in ((0, 0), (ssd.num_layers, ssd.num_layers)),
            f"{where}: {vertical} and {horizontal} need one value a layer ({ssd.num_layers}), "
            f"they have {counts[0]} and {counts[1]}",
        )
    problems.require(
        len(ssd.scales) in (0, ssd.num_layers),
        f"{where}.scales needs one value a layer ({ssd.num_layers}), it has {len(ssd.scales)}",
    )
    problems.require(
        ssd.num_layers > 1 or len(ssd.scales) == 1,
        f"{where}: with one layer, give its scale in `scales`: there is nothing between "
        "min_scale and max_scale",
    )


def _read_multiscale(generator: Any, problems: Problems) -> MultiscaleAnchorConfig:
    where = "multiscale_anchor_generator"
    problems.require(
        1 <= generator.min_level <= generator.max_level <= MAX_LEVEL,
        f"{where}: min_level and max_level must lie in 1..{MAX_LEVEL}, min_level not above "
        "max_level",
    )
    problems.require(
        SMALLEST <= generator.anchor_scale <= LARGEST,
        f"{where}.anchor_scale must lie in {SMALLEST:g}..{LARGEST:g}",
    )
    problems.require(
        1 <= generator.scales_per_octave <= _MOST_SPECS,
        f"{where}.scales_per_octave must lie in 1..{_MOST_SPECS}",
    )
    _check_ratios(generator, where, problems)
    problems.require(len(generator.aspect_ratios) > 0, f"{where} needs aspect_ratios")
    return MultiscaleAnchorConfig(
        min_level=generator.min_level,
        max_level=generator.max_level,
        anchor_scale=generator.anchor_scale,
        aspect_ratios=tuple(generator.aspect_ratios),
        scales_per_octave=generator.scales_per_octave,
        normalize_coordinates=generator.normalize_coordinates,
    )


def _read_flexible(generator: Any, problems: Problems) -> FlexibleGridAnchorConfig:
    where = "flexible_grid_anchor_generator"
    problems.require(len(generator.anchor_grid) > 0, f"{where} needs an anchor_grid for each map")
    for number, grid in enumerate(generator.anchor_grid):
        place = f"{where}.anchor_grid {number}"
        _check_ratios(grid, place, problems)
        problems.require(
            len(grid.base_sizes) == len(grid.aspect_ratios) > 0,
            f"{place}: base_sizes and aspect_ratios go in pairs, there are {len(grid.base_sizes)} "
            f"and {len(grid.aspect_ratios)}",
        )
        problems.require(
            all(SMALLEST <= size <= LARGEST for size in grid.base_sizes),
            f"{place}.base_sizes must lie in {SMALLEST:g}..{LARGEST:g}",
        )
        problems.require(
            min(grid.height_stride, grid.width_stride) > 0,
            f"{place}: height_stride and width_stride must be above 0",
        )
    return FlexibleGridAnchorConfig(
        grids=tuple(
            Grid(
                tuple(grid.base_sizes),
                tuple(grid.aspect_ratios),
                (grid.height_stride, grid.width_stride),
                (grid.height_offset, grid.width_offset),
            )
            for grid in generator.anchor_grid
        ),
        normalize_coordinates=generator.normalize_coordinates,
    )


def _check_ratios(section: Any, where: str, problems: Problems) -> None:
    problems.require(
        all(SMALLEST <= ratio <= LARGEST for ratio in section.aspect_ratios),
        f"{where}.aspect_ratios must lie in {SMALLEST:g}..{LARGEST:g}",
    )
    problems.require(
        len(section.aspect_ratios) <= _MOST_SPECS,
        f"{where}: {_MOST_SPECS} aspect_ratios are the limit",
    )
