"""SSD MobileNet for the Edge TPU, tapped at the expansion of a block and at the last block.

Source: `object_detection/models/ssd_mobilenet_edgetpu_feature_extractor.py`.
"""

from flatshot.models.backbones.mobilenet_edgetpu import SCOPE, mobilenet_edgetpu
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.extra_maps import extend


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The six feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_edgetpu(builder, image, config)
    taps = [layers["layer_18/expansion_output"], layers["layer_23"]]
    return extend(builder, taps, config, SCOPE, "layer_23")


# Upstream's own fails with `use_explicit_padding`: its maps no longer fit each other.
EXTRACTOR = Extractor(extract)
