"""SSD Inception V2.

Source: `object_detection/models/ssd_inception_v2_feature_extractor.py`.
"""

from flatshot.models.backbones.inception_v2 import SCOPE, inception_v2
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.extractors._inception import TAKES, check
from flatshot.models.necks.extra_maps import extend

TAPS = ("Mixed_4c", "Mixed_5c")


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = inception_v2(builder, image, config)
    return extend(builder, [layers[name] for name in TAPS], config, SCOPE, "Mixed_5c")


EXTRACTOR = Extractor(extract, takes=TAKES, further_check=check)
