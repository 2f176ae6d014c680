"""What the networks that TensorFlow 2 has from Keras share."""

from dataclasses import replace

from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import Hyperparams


def backbone_hyperparams(config: FeatureExtractorConfig, base: Hyperparams) -> Hyperparams:
    """What follows the convolutions of a backbone: `base`, or what the configuration says instead.

    Keras makes these convolutions without a bias, whether a batch norm follows or not.
    """
    if not config.override_base_hyperparams:
        return base
    return replace(config.hyperparams, use_bias=False)
