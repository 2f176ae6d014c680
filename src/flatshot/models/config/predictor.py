"""`box_predictor`: the heads that make box encodings and class logits of feature maps."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from flatshot.models.config.hyperparams import Hyperparams, read_hyperparams
from flatshot.models.config.problems import MOST_CHANNELS, Problems, enum_name

_MOST_LAYERS = 100
_LARGEST_KERNEL = 255


@dataclass(frozen=True)
class ConvolutionalConfig:
    """The `convolutional_box_predictor` section: heads of its own for each feature map."""

    hyperparams: Hyperparams
    min_depth: int
    max_depth: int
    num_layers_before_predictor: int
    kernel_size: int
    box_code_size: int
    apply_sigmoid_to_scores: bool
    use_depthwise: bool
    use_dropout: bool
    clip_range: tuple[float, float] | None


@dataclass(frozen=True)
class WeightSharedConfig:
    """The `weight_shared_convolutional_box_predictor` section: one head for all feature maps.

    In `hyperparams` stands what follows the convolutions before the last ones.
    """

    hyperparams: Hyperparams
    num_layers_before_predictor: int
    depth: int
    kernel_size: int
    box_code_size: int
    share_prediction_tower: bool
    use_depthwise: bool
    use_dropout: bool
    apply_batch_norm: bool
    score_converter: Literal["IDENTITY", "SIGMOID"]
    clip_range: tuple[float, float] | None


BoxPredictorConfig = ConvolutionalConfig | WeightSharedConfig


def read_predictor(
    section: Any, problems: Problems, *, keras: bool = False
) -> BoxPredictorConfig | None:
    """The section `box_predictor`; None where it is of a kind that is not built."""
    kind = section.WhichOneof("box_predictor_oneof")
    if kind == "convolutional_box_predictor":
        return _read_convolutional(section.convolutional_box_predictor, problems, keras)
    if kind == "weight_shared_convolutional_box_predictor":
        return _read_shared(section.weight_shared_convolutional_box_predictor, problems, keras)
    problems.refuse(
        f"box_predictor.{kind or '(nothing)'}: a single-shot detector has a "
        "convolutional_box_predictor or a weight_shared_convolutional_box_predictor"
    )
    return None


def _read_convolutional(predictor: Any, problems: Problems, keras: bool) -> ConvolutionalConfig:
    where = "convolutional_box_predictor"
    _check_common(predictor, where, problems)
    problems.require(
        min(predictor.min_depth, predictor.max_depth) >= 0 and predictor.min_depth <= MOST_CHANNELS,
        f"{where}: min_depth and max_depth cannot be negative, nor min_depth above {MOST_CHANNELS}",
    )
    return ConvolutionalConfig(
        hyperparams=_hyperparams(predictor, where, problems, keras),
        min_depth=predictor.min_depth,
        max_depth=predictor.max_depth,
        num_layers_before_predictor=predictor.num_layers_before_predictor,
        kernel_size=predictor.kernel_size,
        box_code_size=predictor.box_code_size,
        apply_sigmoid_to_scores=predictor.apply_sigmoid_to_scores,
        use_depthwise=predictor.use_depthwise,
        use_dropout=predictor.use_dropout,
        clip_range=_read_clip_range(predictor, where, problems),
    )


def _read_shared(predictor: Any, problems: Problems, keras: bool) -> WeightSharedConfig:
    where = "weight_shared_convolutional_box_predictor"
    _check_common(predictor, where, problems)
    problems.require(
        0 <= predictor.depth <= MOST_CHANNELS, f"{where}.depth must lie in 0..{MOST_CHANNELS}"
    )
    problems.require(
        predictor.depth > 0 or predictor.num_layers_before_predictor == 0,
        f"{where}.depth must be above 0 where num_layers_before_predictor is",
    )
    problems.require(
        enum_name(predictor, "score_converter") != "SOFTMAX",
        f"{where}.score_converter: known: IDENTITY, SIGMOID",
    )
    hyperparams = _hyperparams(predictor, where, problems, keras)
    if keras:
        forced = predictor.conv_hyperparams.force_use_bias
        hyperparams = replace(hyperparams, use_bias=forced or hyperparams.batch_norm is None)
    else:
        hyperparams = replace(hyperparams, activation="RELU_6")  # whatever the file says
    return WeightSharedConfig(
        hyperparams=hyperparams,
        num_layers_before_predictor=predictor.num_layers_before_predictor,
        depth=predictor.depth,
        kernel_size=predictor.kernel_size,
        box_code_size=predictor.box_code_size,
        share_prediction_tower=predictor.share_prediction_tower,
        use_depthwise=predictor.use_depthwise,
        use_dropout=predictor.use_dropout,
        apply_batch_norm=hyperparams.batch_norm is not None,
        score_converter=enum_name(predictor, "score_converter"),
        clip_range=_read_clip_range(predictor, where, problems),
    )


def _hyperparams(predictor: Any, where: str, problems: Problems, keras: bool) -> Hyperparams:
    section = f"{where}.conv_hyperparams"
    return read_hyperparams(predictor.conv_hyperparams, section, problems, keras=keras)


def _check_common(predictor: Any, where: str, problems: Problems) -> None:
    """Note what is wrong with the fields that both kinds of heads have."""
    problems.require(
        1 <= predictor.kernel_size <= _LARGEST_KERNEL,
        f"{where}.kernel_size must be at least 1 and at most {_LARGEST_KERNEL}",
    )
    problems.require(
        not predictor.use_depthwise or predictor.kernel_size > 1,
        f"{where}: use_depthwise needs a kernel_size above 1",
    )
    problems.require(
        0 <= predictor.num_layers_before_predictor <= _MOST_LAYERS,
        f"{where}.num_layers_before_predictor must lie in 0..{_MOST_LAYERS}",
    )


def _read_clip_range(predictor: Any, where: str, problems: Problems) -> tuple[float, float] | None:
    if not predictor.HasField("box_encodings_clip_range"):
        return None
    limits = predictor.box_encodings_clip_range
    problems.require(
        limits.min < limits.max, f"{where}.box_encodings_clip_range: min must be below max"
    )
    return limits.min, limits.max
