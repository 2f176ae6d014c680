"""SSD MobileNet V2 and SSDLite MobileNet V2 of TensorFlow 2.

Source: `object_detection/models/ssd_mobilenet_v2_keras_feature_extractor.py`.
"""

from dataclasses import replace

from flatshot.models.backbones.keras import backbone_hyperparams
from flatshot.models.backbones.mobilenet_v2 import BASE, SCOPE, keras_widths, mobilenet_v2
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import ssd_mobilenet_v2 as slim
from flatshot.models.necks.extra_maps import extend


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v2(
        *(builder, image, config),
        hyperparams=backbone_hyperparams(config, BASE),
        widths=keras_widths(config),
    )
    return extend(builder, [layers[name] for name in slim.TAPS], config, SCOPE, "layer_19")


EXTRACTOR = replace(slim.EXTRACTOR, extract=extract, keras=True)
