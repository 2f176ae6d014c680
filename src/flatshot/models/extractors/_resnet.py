"""What the extractors of ResNet V1 share; the name begins with an underscore: no type is called so.

Sources: `object_detection/models/ssd_resnet_v1_{fpn,fpn_keras,ppn}_feature_extractor.py`.
"""

from dataclasses import replace

from flatshot.models.backbones import resnet_v1, resnet_v1_keras
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import WHERE, FeatureExtractorConfig, FpnConfig
from flatshot.models.config.problems import Problems
from flatshot.models.extractors import MEANS_REMOVED, Extractor
from flatshot.models.necks.fpn import Pyramid, check_levels, fpn_maps, used_taps
from flatshot.models.necks.ppn import ppn_maps

MIN_SIDE = 129
PPN_DEPTH = 1024


def fpn_extractor(layers: int) -> Extractor:
    """ResNet V1 with so many layers and a feature pyramid (RetinaNet)."""
    scope = resnet_v1.scope(layers)
    pyramid = Pyramid(f"{scope}/fpn", "bottom_up_block", 5)

    def extract(
        builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
    ) -> list[Tensor]:
        hyperparams = resnet_v1.overridden(config)
        blocks = resnet_v1.resnet_v1(builder, image, config, layers, hyperparams)
        taps = used_taps(list(blocks.values()), config.fpn)
        # `use_depthwise` is taken and has no effect, as upstream.
        return fpn_maps(builder, taps, config, pyramid, depthwise=False)

    return Extractor(
        extract,
        takes=frozenset({"fpn"}),
        min_side=MIN_SIDE,
        pixels=MEANS_REMOVED,
        further_check=check_levels,
    )


def keras_fpn_extractor(layers: int) -> Extractor:
    """ResNet V1 with so many layers and a feature pyramid, of TensorFlow 2.

    Upstream hands the section `fpn` to nobody: levels and depth are always the default ones.
    """
    pyramid = Pyramid(f"{resnet_v1.scope(layers)}/fpn", "bottom_up_block", 5, keras=True)

    def extract(
        builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
    ) -> list[Tensor]:
        config = replace(config, fpn=FpnConfig())
        blocks = resnet_v1_keras.resnet_v1(builder, image, config, layers)
        taps = used_taps(list(blocks.values()), config.fpn)
        # `use_depthwise` is taken and has no effect, as upstream.
        return fpn_maps(builder, taps, config, pyramid, depthwise=False)

    def check(
        config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems
    ) -> None:
        check_levels(replace(config, fpn=FpnConfig()), image_size, problems)

    return replace(fpn_extractor(layers), extract=extract, keras=True, further_check=check)


def ppn_extractor(layers: int) -> Extractor:
    """ResNet V1 with so many layers and a pooling pyramid of its third block."""
    scope = resnet_v1.scope(layers)

    def extract(
        builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
    ) -> list[Tensor]:
        blocks = resnet_v1.resnet_v1(builder, image, config, layers)
        return ppn_maps(builder, blocks["block3"], config, scope, PPN_DEPTH)

    return Extractor(
        extract,
        # `use_explicit_padding` is taken and has no effect, as upstream.
        takes=frozenset({"use_explicit_padding"}),
        min_side=MIN_SIDE,
        pixels=MEANS_REMOVED,
        further_check=_whole_depth,
    )


def _whole_depth(
    config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems
) -> None:
    problems.require(
        config.depth_multiplier == 1,
        f"{WHERE}.depth_multiplier: {config.type} is built with 1 only",
    )
