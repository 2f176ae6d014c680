"""SSD PNASNet-5 large, tapped at cells 7 and 11.

Source: `object_detection/models/ssd_pnasnet_feature_extractor.py`.
"""

from flatshot.models.backbones.pnasnet import SCOPE, pnasnet
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.extractors import Extractor
from flatshot.models.necks.extra_maps import extend


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    cells = pnasnet(builder, image, config)
    taps = [cells["cell_7"], cells["cell_11"]]
    return extend(builder, taps, config, f"{SCOPE}/SSD_feature_maps", "Cell_11")


# Upstream checks no size; the first convolution is not padded and needs three pixels.
EXTRACTOR = Extractor(extract, takes=frozenset({"num_layers", "use_explicit_padding"}), min_side=3)
