"""SSD MobileNet V1 with a feature pyramid (RetinaNet).

Source: `object_detection/models/ssd_mobilenet_v1_fpn_feature_extractor.py`.
"""

from flatshot.models.backbones.mobilenet_v1 import (
    DEPTHS,
    NARROW_DEPTHS,
    SCOPE,
    mobilenet_v1,
    slim_widths,
)
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.fpn import Pyramid, check_levels, fpn_maps, used_taps

TAPS = tuple(f"Conv2d_{number}_pointwise" for number in (3, 5, 11, 13))
PYRAMID = Pyramid(f"{SCOPE}/fpn", "bottom_up_Conv2d_", 14)


def depths(config: FeatureExtractorConfig) -> tuple[int, ...]:
    """The backbone's channels before they are scaled."""
    return NARROW_DEPTHS if config.use_depthwise else DEPTHS


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v1(builder, image, config, widths=slim_widths(config, depths(config)))
    taps = used_taps([layers[name] for name in TAPS], config.fpn)
    return fpn_maps(builder, taps, config, PYRAMID, depthwise=config.use_depthwise)


EXTRACTOR = Extractor(
    extract, takes=frozenset({"fpn", "use_explicit_padding"}), further_check=check_levels
)
