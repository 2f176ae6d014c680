"""The trained values: what a checkpoint of either kind gives to the network of a configuration."""

import logging

from flatshot.errors import ConfigError
from flatshot.formats.checkpoint import Checkpoint, Variables
from flatshot.formats.object_graph import is_object_based
from flatshot.models.detection_config import DetectionConfig
from flatshot.models.extractors import load_extractor
from flatshot.models.keras_names import AVERAGE, KerasVariables

_log = logging.getLogger("flatshot")


def trained_variables(checkpoint: Checkpoint, config: DetectionConfig) -> Variables:
    """The variables of `checkpoint` by the names under which the network of `config` looks.

    Raises:
        ConfigError: one of the two is TensorFlow 1's and the other TensorFlow 2's.
        FormatError: the object graph of the checkpoint is damaged.
        UnsupportedError: it is TensorFlow 2's and has no object graph.
    """
    kind = config.feature_extractor.type
    keras = load_extractor(kind).keras
    object_based = is_object_based(checkpoint)
    if object_based == keras:
        return KerasVariables(checkpoint) if keras else checkpoint
    ours, theirs = ("2 (object-based)", "1") if object_based else ("1", "2")
    raise ConfigError(
        f"{checkpoint.prefix} is a checkpoint of TensorFlow {ours}, and feature_extractor.type "
        f"{kind!r} is a network of TensorFlow {theirs}: give the pipeline.config that it was "
        "trained with (--pipeline_config_path)"
    )


def takes_averages(variables: Variables, config: DetectionConfig, wanted: bool | None) -> bool:
    """Whether trained variables are read from their moving averages.

    TensorFlow 1's exporter does as `eval_config.use_moving_averages` says; those of TensorFlow 2
    always take the plain values, whatever the configuration and the checkpoint hold.

    Args:
        variables: what `trained_variables` gave.
        config: the configuration.
        wanted: what was asked for; None does as the official exporter does.
    """
    if wanted is not None:
        return wanted
    if not isinstance(variables, KerasVariables):
        return config.use_moving_averages
    if config.use_moving_averages or any(name.endswith(f"/{AVERAGE}") for name in variables):
        _log.warning(
            "the plain weights are taken, as TensorFlow 2's exporters do, not their moving "
            "averages; --use_moving_averages takes those"
        )
    return False
