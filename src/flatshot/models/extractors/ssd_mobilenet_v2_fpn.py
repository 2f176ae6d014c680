"""SSD MobileNet V2 with a feature pyramid; FPNLite where `use_depthwise` is set.

Source: `object_detection/models/ssd_mobilenet_v2_fpn_feature_extractor.py`.
"""

from flatshot.models.backbones.mobilenet_v2 import LAST_DEPTH, SCOPE, mobilenet_v2
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.fpn import Pyramid, check_levels, fpn_maps, used_taps

TAPS = ("layer_4", "layer_7", "layer_14", "layer_19")
PYRAMID = Pyramid(f"{SCOPE}/fpn", "bottom_up_Conv2d_", 20)
# With `use_depthwise` the last layer of the backbone is narrow.
NARROW_LAST_DEPTH = 256


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    last = NARROW_LAST_DEPTH if config.use_depthwise else LAST_DEPTH
    layers = mobilenet_v2(builder, image, config, last_depth=last)
    taps = used_taps([layers[name] for name in TAPS], config.fpn)
    return fpn_maps(builder, taps, config, PYRAMID, depthwise=config.use_depthwise)


EXTRACTOR = Extractor(
    extract, takes=frozenset({"fpn", "use_explicit_padding"}), further_check=check_levels
)
