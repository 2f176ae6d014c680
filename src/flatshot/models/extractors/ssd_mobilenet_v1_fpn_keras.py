"""SSD MobileNet V1 with a feature pyramid (RetinaNet), of TensorFlow 2.

Source: `object_detection/models/ssd_mobilenet_v1_fpn_keras_feature_extractor.py`.
"""

from dataclasses import replace

from flatshot.models.backbones.keras import backbone_hyperparams
from flatshot.models.backbones.mobilenet_v1 import BASE, keras_widths, mobilenet_v1
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import ssd_mobilenet_v1_fpn as slim
from flatshot.models.necks.fpn import fpn_maps, used_taps

PYRAMID = replace(slim.PYRAMID, keras=True)


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v1(
        *(builder, image, config),
        widths=keras_widths(config, slim.depths(config)),
        hyperparams=backbone_hyperparams(config, BASE),
    )
    taps = used_taps([layers[name] for name in slim.TAPS], config.fpn)
    return fpn_maps(builder, taps, config, PYRAMID, depthwise=config.use_depthwise)


EXTRACTOR = replace(slim.EXTRACTOR, extract=extract, keras=True)
