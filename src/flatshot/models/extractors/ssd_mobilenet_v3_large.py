"""SSD MobileNet V3 large, tapped at the expansion of a block and at the last layer.

Source: `object_detection/models/ssd_mobilenet_v3_feature_extractor.py`.
"""

from flatshot.models.backbones.mobilenet_v3 import LARGE, LARGE_LAST_DEPTH, SCOPE, mobilenet_v3
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.extra_maps import extend


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The six feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v3(builder, image, config, LARGE, LARGE_LAST_DEPTH)
    taps = [layers["layer_14/expansion_output"], layers["layer_17"]]
    return extend(builder, taps, config, SCOPE, "layer_17")


EXTRACTOR = Extractor(extract, takes=frozenset({"use_explicit_padding"}))
