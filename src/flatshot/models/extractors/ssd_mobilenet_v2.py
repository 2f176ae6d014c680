"""SSD MobileNet V2 and SSDLite MobileNet V2, tapped at the expansion of layer 15 and at layer 19.

Source: `object_detection/models/ssd_mobilenet_v2_feature_extractor.py`.
"""

from flatshot.models.backbones.mobilenet_v2 import SCOPE, mobilenet_v2
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.extra_maps import extend

TAPS = ("layer_15/expansion_output", "layer_19")


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v2(builder, image, config)
    return extend(builder, [layers[name] for name in TAPS], config, SCOPE, "layer_19")


EXTRACTOR = Extractor(extract, takes=frozenset({"num_layers", "use_explicit_padding"}))
