"""`feature_extractor`: the network that makes feature maps of an image."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from flatshot.models.config.hyperparams import Hyperparams, read_hyperparams
from flatshot.models.config.problems import MOST_CHANNELS, Problems

WHERE = "model.ssd.feature_extractor"
# The stride of a level is two to its power; no image that is built has room for more.
MAX_LEVEL = 12
_MOST_ITERATIONS = 100


@dataclass(frozen=True)
class FpnConfig:
    """The section `fpn`: a feature pyramid from `min_level` (the finest) to `max_level`.

    The stride of level l is 2**l pixels; `depth` is the number of channels before the multiplier;
    `native_resize` upsamples by TensorFlow's operator for it.
    """

    min_level: int = 3
    max_level: int = 7
    depth: int = 256
    native_resize: bool = False


CombineMethod = Literal["fast_attention", "attention", "weighted_sum", "sum"]


@dataclass(frozen=True)
class BifpnConfig:
    """The section `bifpn`: a pyramid that goes down and up again, `iterations` times.

    The stride of level l is 2**l pixels; `depth` is the number of channels of all its maps.
    """

    min_level: int
    max_level: int
    iterations: int
    depth: int
    combine: CombineMethod


@dataclass(frozen=True)
class FeatureExtractorConfig:
    """The `feature_extractor` section; `given` names the fields that the file sets."""

    type: str
    depth_multiplier: float
    min_depth: int
    num_layers: int
    use_depthwise: bool
    use_explicit_padding: bool
    pad_to_multiple: int
    override_base_hyperparams: bool
    hyperparams: Hyperparams
    fpn: FpnConfig
    bifpn: BifpnConfig | None = None
    given: frozenset[str] = field(default=frozenset(), compare=False)


def read_extractor(
    section: Any, problems: Problems, *, keras: bool = False
) -> FeatureExtractorConfig:
    """The section `feature_extractor`; what its network cannot do is checked elsewhere."""
    problems.require(
        0 < section.depth_multiplier <= 16,
        f"{WHERE}.depth_multiplier must be above 0 and at most 16",
    )
    problems.require(
        0 <= section.min_depth <= MOST_CHANNELS,
        f"{WHERE}.min_depth must lie in 0..{MOST_CHANNELS}",
    )
    problems.require(1 <= section.num_layers <= 6, f"{WHERE}.num_layers must lie in 1..6")
    problems.require(
        1 <= section.pad_to_multiple <= 2**14, f"{WHERE}.pad_to_multiple must lie in 1..{2**14}"
    )
    return FeatureExtractorConfig(
        type=section.type,
        depth_multiplier=section.depth_multiplier,
        min_depth=section.min_depth,
        num_layers=section.num_layers,
        use_depthwise=section.use_depthwise,
        use_explicit_padding=section.use_explicit_padding,
        pad_to_multiple=section.pad_to_multiple,
        override_base_hyperparams=section.override_base_feature_extractor_hyperparams,
        hyperparams=read_hyperparams(
            section.conv_hyperparams, f"{WHERE}.conv_hyperparams", problems, keras=keras
        ),
        fpn=_read_fpn(section.fpn, problems),
        bifpn=_read_bifpn(section.bifpn, problems) if section.HasField("bifpn") else None,
        given=frozenset(entry.name for entry, _ in section.ListFields()),
    )


def _read_bifpn(bifpn: Any, problems: Problems) -> BifpnConfig:
    where = f"{WHERE}.bifpn"
    problems.require(
        1 <= bifpn.min_level < bifpn.max_level <= MAX_LEVEL,
        f"{where}: min_level and max_level must lie in 1..{MAX_LEVEL}, min_level below max_level",
    )
    problems.require(
        1 <= bifpn.num_iterations <= _MOST_ITERATIONS,
        f"{where}.num_iterations must lie in 1..{_MOST_ITERATIONS}",
    )
    problems.require(
        1 <= bifpn.num_filters <= MOST_CHANNELS,
        f"{where}.num_filters must lie in 1..{MOST_CHANNELS}",
    )
    known = get_args(CombineMethod)
    problems.require(
        bifpn.combine_method in known,
        f"{where}.combine_method: {bifpn.combine_method!r}; known: {', '.join(known)}",
    )
    return BifpnConfig(
        bifpn.min_level,
        bifpn.max_level,
        bifpn.num_iterations,
        bifpn.num_filters,
        bifpn.combine_method,
    )


def _read_fpn(fpn: Any, problems: Problems) -> FpnConfig:
    problems.require(
        1 <= fpn.min_level <= fpn.max_level <= MAX_LEVEL,
        f"{WHERE}.fpn: min_level and max_level must lie in 1..{MAX_LEVEL}, min_level not above "
        "max_level",
    )
    problems.require(
        1 <= fpn.additional_layer_depth <= MOST_CHANNELS,
        f"{WHERE}.fpn.additional_layer_depth must lie in 1..{MOST_CHANNELS}",
    )
    return FpnConfig(
        fpn.min_level, fpn.max_level, fpn.additional_layer_depth, fpn.use_native_resize_op
    )
