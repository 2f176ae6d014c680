"""SSD MobileNet V2 with the feature pyramid MnasFPN.

Source: `object_detection/models/ssd_mobilenet_v2_mnasfpn_feature_extractor.py`.
"""

from flatshot.models.backbones.mobilenet_v2 import mobilenet_v2
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import WHERE, FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.config.problems import Problems
from flatshot.models.extractors import Extractor
from flatshot.models.necks.fpn import check_halving
from flatshot.models.necks.mnasfpn import LEVELS, mnasfpn_maps

TAPS = ("layer_7", "layer_14", "layer_18")
# Upstream has its own for this network, and takes nothing of the configuration's.
BASE = Hyperparams(BatchNorm(epsilon=0.01, scale=True, center=True), "RELU_6")


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The four feature maps of `image` (1, height, width, channels), finest first."""
    layers = mobilenet_v2(builder, image, config, last_depth=None, hyperparams=BASE)
    return mnasfpn_maps(builder, [layers[name] for name in TAPS], config)


def check(config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems) -> None:
    """Its pyramid has four levels, each half of the one before."""
    levels = (config.fpn.min_level, config.fpn.max_level)
    problems.require(
        "fpn" not in config.given or levels == (LEVELS[0], LEVELS[-1]),
        f"{WHERE}.fpn: {config.type} has the levels {LEVELS[0]} to {LEVELS[-1]} only",
    )
    check_halving(config, image_size, (LEVELS[0], LEVELS[-1]), problems)


EXTRACTOR = Extractor(
    extract, takes=frozenset({"fpn", "use_explicit_padding"}), further_check=check
)
