"""What the extractors of EfficientDet share: EfficientNet and a pyramid that goes both ways.

Source: `object_detection/models/ssd_efficientnet_bifpn_feature_extractor.py`.
"""

from dataclasses import replace

from flatshot.models.backbones.efficientnet import SCOPE, efficientnet
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import (
    WHERE,
    BifpnConfig,
    CombineMethod,
    FeatureExtractorConfig,
)
from flatshot.models.config.problems import Problems
from flatshot.models.extractors import STANDARDIZED, Extractor
from flatshot.models.layers import pad_to_multiple
from flatshot.models.necks.bifpn import bifpn_maps
from flatshot.models.necks.fpn import check_halving

MIN_SIDE = 129
# The layers of the levels 1 to 5. They are those of B0 in all versions, though deeper ones go on.
TAPS = (
    "stack_0/block_0",
    "stack_1/block_1",
    "stack_2/block_1",
    "stack_4/block_2",
    "stack_6/block_0",
)
# Iterations, channels and method of the pyramid where the configuration has no section for it.
PYRAMIDS: tuple[tuple[int, int, CombineMethod], ...] = (
    (3, 64, "fast_attention"),
    (4, 88, "fast_attention"),
    (5, 112, "fast_attention"),
    (6, 160, "fast_attention"),
    (7, 224, "fast_attention"),
    (7, 288, "fast_attention"),
    (8, 384, "sum"),
    (8, 384, "sum"),
)


def efficientdet(version: int) -> Extractor:
    """EfficientNet B0 to B7 with its pyramid."""

    def pyramid(config: FeatureExtractorConfig) -> BifpnConfig:
        given = config.bifpn or BifpnConfig(3, 7, *PYRAMIDS[version])
        return replace(given, depth=max(given.depth, config.min_depth))

    def extract(
        builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
    ) -> list[Tensor]:
        bifpn = pyramid(config)
        net = pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE)
        blocks = efficientnet(builder, net, version)
        taps = [blocks[name] for name in TAPS[bifpn.min_level - 1 : bifpn.max_level]]
        return bifpn_maps(builder, taps, bifpn, config.hyperparams)

    def check(
        config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems
    ) -> None:
        for field, value in (("depth_multiplier", 1), ("use_depthwise", False)):
            problems.require(
                getattr(config, field) == value,
                f"{WHERE}.{field}: {config.type} is built with {str(value).lower()} only",
            )
        bifpn = pyramid(config)
        problems.require(
            bifpn.min_level <= len(TAPS),
            f"{WHERE}.bifpn.min_level: {bifpn.min_level}; the network has layers of the levels 1 "
            f"to {len(TAPS)}",
        )
        check_halving(config, image_size, (bifpn.min_level, bifpn.max_level), problems)

    return Extractor(
        extract,
        takes=frozenset({"bifpn"}),
        min_side=MIN_SIDE,
        pixels=STANDARDIZED,
        keras=True,
        further_check=check,
    )
