"""SSD Inception V2.

Source: `object_detection/models/ssd_inception_v2_feature_extractor.py`.
"""

from flatshot.models.backbones.inception_v2 import SCOPE, inception_v2
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import WHERE, FeatureExtractorConfig
from flatshot.models.config.problems import Problems
from flatshot.models.extractors import Extractor
from flatshot.models.necks.extra_maps import extend

TAPS = ("Mixed_4c", "Mixed_5c")


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    layers = inception_v2(builder, image, config)
    return extend(builder, [layers[name] for name in TAPS], config, SCOPE, "Mixed_5c")


def check(config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems) -> None:
    """Upstream has no hyperparameters of its own for this backbone."""
    problems.require(
        config.override_base_hyperparams,
        f"{WHERE}: {config.type} always takes the configuration's conv_hyperparams and says so "
        "with override_base_feature_extractor_hyperparams: true; the Object Detection API cannot "
        "build it without",
    )


EXTRACTOR = Extractor(
    extract, takes=frozenset({"num_layers", "use_explicit_padding"}), further_check=check
)
