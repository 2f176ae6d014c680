"""What the extractors of MobileDet share.

Source: `object_detection/models/ssd_mobiledet_feature_extractor.py`.
"""

from flatshot.models.backbones.mobiledet import Network, mobiledet
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.extra_maps import extend


def mobiledet_extractor(network: Network) -> Extractor:
    """The extractor of `network`: its stages C4 and C5 and four extra maps."""

    def extract(
        builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig
    ) -> list[Tensor]:
        ends = mobiledet(builder, image, config, network)
        return extend(builder, [ends["C4"], ends["C5"]], config, network.scope, "C5")

    return Extractor(extract)
