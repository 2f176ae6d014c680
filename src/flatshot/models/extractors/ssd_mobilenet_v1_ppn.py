"""SSD MobileNet V1 with a pooling pyramid of layer 11.

Source: `object_detection/models/ssd_mobilenet_v1_ppn_feature_extractor.py`.
"""

from flatshot.models.backbones.mobilenet_v1 import SCOPE, mobilenet_v1
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.ppn import ppn_maps


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The six feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v1(builder, image, config)
    return ppn_maps(builder, layers["Conv2d_11_pointwise"], config, SCOPE)


# `num_layers` is taken and has no effect, as upstream.
EXTRACTOR = Extractor(extract, takes=frozenset({"num_layers", "use_explicit_padding"}))
