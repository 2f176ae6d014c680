"""SSD MobileNet V1 of TensorFlow 2.

Source: `object_detection/models/ssd_mobilenet_v1_keras_feature_extractor.py`.
"""

from dataclasses import replace

from flatshot.models.backbones.keras import backbone_hyperparams
from flatshot.models.backbones.mobilenet_v1 import BASE, SCOPE, keras_widths, mobilenet_v1
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import ssd_mobilenet_v1 as slim
from flatshot.models.necks.extra_maps import extend


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v1(
        *(builder, image, config),
        widths=keras_widths(config),
        hyperparams=backbone_hyperparams(config, BASE),
    )
    return extend(builder, [layers[name] for name in slim.TAPS], config, SCOPE, slim.TAPS[-1])


EXTRACTOR = replace(slim.EXTRACTOR, extract=extract, keras=True)
