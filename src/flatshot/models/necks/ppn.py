"""A pooling pyramid: each map is the one before, pooled to half its size.

Sources: Jin et al. 2018, arXiv 1807.03284; `object_detection/models/feature_map_generators.py`,
`pooling_pyramid_feature_maps`.
"""

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.layers import conv2d, pool

MAPS = 6


def ppn_maps(
    builder: GraphBuilder,
    tap: Tensor,
    config: FeatureExtractorConfig,
    scope: str,
    base_depth: int = 0,
) -> list[Tensor]:
    """Six maps of one layer, finest first.

    Args:
        builder: the graph to add to.
        tap: the layer.
        config: the extractor's section.
        scope: the prefix of operations and variables.
        base_depth: channels to bring `tap` to first; 0 takes it as it is.
    """
    if base_depth:
        name = f"{scope}/Base_Conv2d_1x1_{base_depth}"
        tap = conv2d(builder, tap, base_depth, 1, 1, name, config.hyperparams)
        # Of one pixel and stride 1: it changes nothing, and stands in every such graph.
        tap = pool(builder, tap, "MaxPool", 1, 1, f"{name}_1/MaxPool")
    maps = [tap]
    for number in range(MAPS - 1):
        name = f"{scope}/MaxPool2d_{number}_2x2/MaxPool"
        maps.append(pool(builder, maps[-1], "MaxPool", 2, 2, name))
    return maps
