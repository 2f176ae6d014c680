"""What a pipeline.config says of the inference graph, as plain values; the rest is refused by name.

Each field of the model section is either used here, known to concern training only, or an error:
a field that were read over in silence would give another detector than the one that was trained.
All that stands in the way is told at once, the feature extractor first.
"""

import logging
from dataclasses import dataclass
from typing import Any

from flatshot.errors import UnsupportedError
from flatshot.formats.pipeline import Pipeline
from flatshot.models.config.anchors import AnchorConfig, read_anchors
from flatshot.models.config.extractor import FeatureExtractorConfig, read_extractor
from flatshot.models.config.post_processing import (
    ScoreConverter,
    read_box_coder,
    read_scores,
    read_suppression,
)
from flatshot.models.config.predictor import BoxPredictorConfig, read_predictor
from flatshot.models.config.problems import MOST_CHANNELS, Problems
from flatshot.models.extractors import Extractor, look_up

_log = logging.getLogger("flatshot")

_LARGEST_SIDE = 16384


@dataclass(frozen=True)
class DetectionConfig:
    """Everything that shapes the inference graph of a single-shot detector.

    `input_shape` is (1, height, width, channels); `class_slots` counts the background where the
    model has one; `box_coder_scales` are y, x, height, width; logits are divided by `temperature`
    where there is one, and by `logit_scale`; a `quantization_aware` network was trained with the
    rounding of 8 bits.
    """

    input_shape: tuple[int, int, int, int]
    num_classes: int
    class_slots: int
    feature_extractor: FeatureExtractorConfig
    box_predictor: BoxPredictorConfig
    anchors: AnchorConfig
    box_coder_scales: tuple[float, float, float, float]
    score_converter: ScoreConverter
    logit_scale: float
    temperature: float | None
    score_threshold: float
    iou_threshold: float
    max_detections_per_class: int
    max_total_detections: int
    use_moving_averages: bool
    quantization_aware: bool = False


def read_config(pipeline: Pipeline) -> DetectionConfig:
    """The plain values of `pipeline`.

    Raises:
        ConfigError: a value is out of range, or a required section is missing.
        UnsupportedError: sections or values ask for what Flatshot does not build; the message
            names all of them.
    """
    model = pipeline.model
    kind = model.WhichOneof("model")
    if kind != "ssd":
        raise UnsupportedError(
            f"model.{kind or '(nothing)'}: only single-shot detectors (model.ssd) become "
            "TensorFlow Lite detectors"
        )
    ssd = model.ssd
    problems = Problems()
    extractor = look_up(ssd.feature_extractor.type, problems)
    keras = extractor.keras if extractor else ssd.feature_extractor.type.endswith("_keras")
    input_shape = _read_resizer(ssd.image_resizer, extractor, problems)
    features = read_extractor(ssd.feature_extractor, problems, keras=keras)
    if extractor:
        extractor.check(features, input_shape[1:3], problems)
    predictor = read_predictor(ssd.box_predictor, problems, keras=keras)
    anchors = read_anchors(ssd.anchor_generator, problems)
    coder = read_box_coder(ssd.box_coder, problems)
    _check_model(ssd, predictor, coder.code_size, problems)
    scores = read_scores(ssd.post_processing, problems)
    suppression = read_suppression(ssd.post_processing, problems)
    quantized = _read_rewriter(pipeline.graph_rewriter, problems)
    problems.report()
    assert predictor is not None
    assert anchors is not None
    return DetectionConfig(
        input_shape=input_shape,
        num_classes=ssd.num_classes,
        class_slots=ssd.num_classes + ssd.add_background_class,
        feature_extractor=features,
        box_predictor=predictor,
        anchors=anchors,
        box_coder_scales=coder.scales,
        score_converter=scores.converter,
        logit_scale=scores.logit_scale,
        temperature=scores.temperature,
        score_threshold=suppression.score_threshold,
        iou_threshold=suppression.iou_threshold,
        max_detections_per_class=suppression.max_detections_per_class,
        max_total_detections=suppression.max_total_detections,
        use_moving_averages=pipeline.eval_config.use_moving_averages,
        quantization_aware=quantized,
    )


def _read_rewriter(rewriter: Any, problems: Problems) -> bool:
    """Whether the network was trained with quantisation; of its section only the bits matter."""
    if not rewriter.HasField("quantization"):
        return False
    for field in ("weight_bits", "activation_bits"):
        bits = getattr(rewriter.quantization, field)
        if bits != 8:
            problems.refuse(f"graph_rewriter.quantization.{field}: {bits}; only 8 is built")
    return True


def _read_resizer(
    resizer: Any, extractor: Extractor | None, problems: Problems
) -> tuple[int, int, int, int]:
    kind = resizer.WhichOneof("image_resizer_oneof")
    section = resizer.fixed_shape_resizer
    height, width = section.height, section.width
    keeping = resizer.keep_aspect_ratio_resizer
    if kind == "keep_aspect_ratio_resizer" and keeping.pad_to_max_dimension:
        section = keeping
        height = width = section.max_dimension
        _log.warning(
            "image_resizer.%s pads images to a square: the model's input is that square, "
            "%d x %d, to which images are stretched",
            kind,
            height,
            width,
        )
    elif kind != "fixed_shape_resizer":
        problems.refuse(
            f"image_resizer.{kind or '(nothing)'}: a TensorFlow Lite detector has one input size: "
            "use fixed_shape_resizer { height: H width: W }"
        )
        return 1, height, width, 3
    least = extractor.min_side if extractor else 1
    problems.require(
        least <= min(height, width) and max(height, width) <= _LARGEST_SIDE,
        f"{kind}: {height} x {width} pixels; the network needs at least "
        f"{least} a side, and {_LARGEST_SIDE} is the limit",
    )
    return 1, height, width, 1 if section.convert_to_grayscale else 3


def _check_model(
    ssd: Any, predictor: BoxPredictorConfig | None, code_size: int, problems: Problems
) -> None:
    """Note what is wrong with the section itself, and between its parts."""
    problems.refuse_fields(
        "model.ssd",
        ssd,
        explicit_background_class=False,
        return_raw_detections_during_predict=False,
        mask_head_config=None,
    )
    problems.require(
        0 < ssd.num_classes <= MOST_CHANNELS,
        f"model.ssd.num_classes must be at least 1 and at most {MOST_CHANNELS}",
    )
    if predictor and predictor.box_code_size != code_size:
        problems.refuse(
            f"box_predictor's box_code_size: {predictor.box_code_size}; the box coder decodes "
            f"boxes of {code_size} numbers"
        )
