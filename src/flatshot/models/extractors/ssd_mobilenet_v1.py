"""SSD MobileNet V1, tapped at layers 11 and 13.

Source: `object_detection/models/ssd_mobilenet_v1_feature_extractor.py`.
"""

from flatshot.models.backbones.mobilenet_v1 import SCOPE, mobilenet_v1
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.extra_maps import extend

TAPS = ("Conv2d_11_pointwise", "Conv2d_13_pointwise")


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v1(builder, image, config)
    return extend(builder, [layers[name] for name in TAPS], config, SCOPE, "Conv2d_13_pointwise")


EXTRACTOR = Extractor(extract, takes=frozenset({"num_layers", "use_explicit_padding"}))
