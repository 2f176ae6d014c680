"""Feature maps beyond the backbone: each one half the size of the one before.

Source: `object_detection/models/feature_map_generators.py`, `multi_resolution_feature_maps`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.depths import scaled_depth
from flatshot.models.layers import conv2d, depthwise_conv2d, pad, padding_of


@dataclass(frozen=True)
class ExtraMap:
    """One map: channels before the multiplier, and the side of the kernel that makes it."""

    depth: int
    kernel: int = 3


# All extractors with two taps that are not said to have others share these.
EXTRA_MAPS = (ExtraMap(512), ExtraMap(256), ExtraMap(256), ExtraMap(128))


def extend(
    builder: GraphBuilder,
    taps: Sequence[Tensor],
    config: FeatureExtractorConfig,
    scope: str,
    base_layer: str,
    extras: Sequence[ExtraMap] = EXTRA_MAPS,
) -> list[Tensor]:
    """The first `config.num_layers` maps: `taps` of the backbone, then extra ones.

    An extra map is a 1x1 convolution to half its depth and a strided one (with `use_depthwise` a
    depthwise one and a 1x1), named after `base_layer`, the last layer of the backbone.
    """
    scale = scaled_depth(config)
    maps = list(taps)
    for index, extra in enumerate(extras, start=len(taps)):
        if index >= config.num_layers:
            break
        squeeze = scale(extra.depth / 2)
        name = f"{scope}/{base_layer}_1_Conv2d_{index}_1x1_{squeeze}"
        net = conv2d(builder, maps[-1], squeeze, 1, 1, name, config.hyperparams)
        maps.append(_shrink(builder, net, extra, index, config, scope, base_layer))
    return maps[: config.num_layers]


def _shrink(
    builder: GraphBuilder,
    net: Tensor,
    extra: ExtraMap,
    index: int,
    config: FeatureExtractorConfig,
    scope: str,
    base_layer: str,
) -> Tensor:
    """The strided convolution that makes the map `index`."""
    depth = scaled_depth(config)(extra.depth)
    side = extra.kernel
    name = f"{scope}/{base_layer}_2_Conv2d_{index}_{side}x{side}_s2_{depth}"
    explicit = config.use_explicit_padding
    if explicit:
        net = pad(builder, net, side, scope)
    padding = padding_of(explicit=explicit)
    if config.use_depthwise:
        net = depthwise_conv2d(
            builder, net, side, 2, f"{name}_depthwise", config.hyperparams, padding=padding
        )
        return conv2d(builder, net, depth, 1, 1, name, config.hyperparams)
    return conv2d(builder, net, depth, side, 2, name, config.hyperparams, padding=padding)
