"""The embedded-friendly SSD MobileNet V1: five maps of an input of 256 x 256.

Source: `object_detection/models/embedded_ssd_mobilenet_v1_feature_extractor.py`.
"""

from dataclasses import replace

from flatshot.models.backbones.mobilenet_v1 import BASE, SCOPE, mobilenet_v1
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import WHERE, FeatureExtractorConfig
from flatshot.models.config.problems import Problems
from flatshot.models.extractors import Extractor
from flatshot.models.necks.extra_maps import ExtraMap, extend

SIDE = 256
# The last has a kernel of 2: its input is 2 x 2.
EXTRAS = (ExtraMap(512), ExtraMap(256), ExtraMap(256, kernel=2))


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The five feature maps of `image` (1, 256, 256, channels), finest first."""
    # Upstream hands `override_base_feature_extractor_hyperparams` to another parameter.
    layers = mobilenet_v1(builder, image, config, hyperparams=BASE)
    taps = [layers["Conv2d_11_pointwise"], layers["Conv2d_13_pointwise"]]
    whole = replace(config, num_layers=len(taps) + len(EXTRAS))
    return extend(builder, taps, whole, SCOPE, "Conv2d_13_pointwise", EXTRAS)


def check(config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems) -> None:
    """Upstream takes one size of images."""
    problems.require(
        image_size == (SIDE, SIDE),
        f"fixed_shape_resizer: {image_size[0]} x {image_size[1]} pixels; {config.type} takes "
        f"images of {SIDE} x {SIDE} only",
    )
    problems.require(config.pad_to_multiple == 1, f"{WHERE}.pad_to_multiple must be 1")


EXTRACTOR = Extractor(extract, takes=frozenset({"use_explicit_padding"}), further_check=check)
