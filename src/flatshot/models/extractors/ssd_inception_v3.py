"""SSD Inception V3.

Source: `object_detection/models/ssd_inception_v3_feature_extractor.py`.
"""

from flatshot.models.backbones.inception_v3 import SCOPE, inception_v3
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.extractors._inception import TAKES, check
from flatshot.models.necks.extra_maps import ExtraMap, extend

TAPS = ("Mixed_5d", "Mixed_6e", "Mixed_7c")
EXTRAS = (ExtraMap(512), ExtraMap(256), ExtraMap(128))


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = inception_v3(builder, image, config)
    return extend(builder, [layers[name] for name in TAPS], config, SCOPE, "Mixed_7c", EXTRAS)


EXTRACTOR = Extractor(extract, takes=TAKES, further_check=check)
