"""Feature maps beyond the backbone: each one half the size of the one before.

Source: `object_detection/models/feature_map_generators.py`, `multi_resolution_feature_maps`.
"""

from collections.abc import Callable

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.detection_config import FeatureExtractorConfig
from flatshot.models.layers import conv2d, depthwise_conv2d

# The depth of each extra map before the multiplier; all SSD MobileNets share it.
EXTRA_DEPTHS = (512, 256, 256, 128)


def scaled_depth(config: FeatureExtractorConfig) -> Callable[[float], int]:
    """How the extractor scales a number of channels: times the multiplier, at least min_depth."""
    return lambda depth: max(int(depth * config.depth_multiplier), config.min_depth)


def extend(
    builder: GraphBuilder,
    taps: list[Tensor],
    config: FeatureExtractorConfig,
    scope: str,
    base_layer: str,
) -> list[Tensor]:
    """The first `config.num_layers` maps: `taps` of the backbone, then extra ones.

    An extra map is a 1x1 convolution to half its depth and a 3x3 of stride 2 (with `use_depthwise`
    a depthwise 3x3 and a 1x1), named after `base_layer`, the last layer of the backbone.
    """
    scale = scaled_depth(config)
    maps = taps[: config.num_layers]
    for index in range(len(taps), config.num_layers):
        depth = EXTRA_DEPTHS[index - len(taps)]
        squeeze = scale(depth / 2)
        name = f"{scope}/{base_layer}_1_Conv2d_{index}_1x1_{squeeze}"
        net = conv2d(builder, maps[-1], squeeze, 1, 1, name, config.hyperparams)
        name = f"{scope}/{base_layer}_2_Conv2d_{index}_3x3_s2_{scale(depth)}"
        if config.use_depthwise:
            net = depthwise_conv2d(builder, net, 3, 2, f"{name}_depthwise", config.hyperparams)
            net = conv2d(builder, net, scale(depth), 1, 1, name, config.hyperparams)
        else:
            net = conv2d(builder, net, scale(depth), 3, 2, name, config.hyperparams)
        maps.append(net)
    return maps
