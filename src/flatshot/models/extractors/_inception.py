"""What the two SSD Inceptions share: the fields they take, and the one they cannot do without."""

from flatshot.models.config.extractor import WHERE, FeatureExtractorConfig
from flatshot.models.config.problems import Problems

TAKES = frozenset({"num_layers", "use_explicit_padding"})


def check(config: FeatureExtractorConfig, image_size: tuple[int, int], problems: Problems) -> None:
    """Upstream has no hyperparameters of its own for this backbone."""
    problems.require(
        config.override_base_hyperparams,
        f"{WHERE}: {config.type} always takes the configuration's conv_hyperparams and says so "
        "with override_base_feature_extractor_hyperparams: true; the Object Detection API cannot "
        "build it without",
    )
