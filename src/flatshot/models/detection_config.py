"""What a pipeline.config says of the inference graph, as plain values; the rest is refused by name.

Each field of the model section is either used here, known to concern training only, or an error:
a field that were read over in silence would give another detector than the one that was trained.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from flatshot.errors import ConfigError, UnsupportedError
from flatshot.formats.pipeline import Pipeline

# Float32 values beyond these would make infinities of what is computed from them.
SMALLEST, LARGEST = 1e-6, 1e6

Activation = Literal["NONE", "RELU", "RELU_6"]
ScoreConverter = Literal["IDENTITY", "SIGMOID", "SOFTMAX"]

# Far beyond any detector, and little enough that shapes made of it cannot overflow.
_MOST_CHANNELS = 2**16


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation at inference; `scale` says whether there is a gamma, `center` a beta."""

    epsilon: float = 0.001
    scale: bool = True
    center: bool = True


@dataclass(frozen=True)
class Hyperparams:
    """What follows a convolution: batch norm, or a bias where there is none, then an activation."""

    batch_norm: BatchNorm | None
    activation: Activation


@dataclass(frozen=True)
class FeatureExtractorConfig:
    """The `feature_extractor` section."""

    type: str
    depth_multiplier: float
    min_depth: int
    num_layers: int
    use_depthwise: bool
    override_base_hyperparams: bool
    hyperparams: Hyperparams


@dataclass(frozen=True)
class BoxPredictorConfig:
    """The `convolutional_box_predictor` section."""

    hyperparams: Hyperparams
    min_depth: int
    max_depth: int
    num_layers_before_predictor: int
    kernel_size: int
    box_code_size: int
    apply_sigmoid_to_scores: bool
    use_depthwise: bool
    clip_range: tuple[float, float] | None


@dataclass(frozen=True)
class SsdAnchorConfig:
    """The `ssd_anchor_generator` section; lists are empty where the file gives none."""

    num_layers: int
    min_scale: float
    max_scale: float
    scales: tuple[float, ...]
    aspect_ratios: tuple[float, ...]
    interpolated_scale_aspect_ratio: float
    base_anchor_size: tuple[float, float]
    strides: tuple[tuple[int, int], ...]
    offsets: tuple[tuple[int, int], ...]
    reduce_boxes_in_lowest_layer: bool


@dataclass(frozen=True)
class DetectionConfig:
    """Everything that shapes the inference graph of a single-shot detector.

    `input_shape` is (1, height, width, channels); `class_slots` counts the background where the
    model has one; `box_coder_scales` are y, x, height, width.
    """

    input_shape: tuple[int, int, int, int]
    num_classes: int
    class_slots: int
    feature_extractor: FeatureExtractorConfig
    box_predictor: BoxPredictorConfig
    anchors: SsdAnchorConfig
    box_coder_scales: tuple[float, float, float, float]
    score_converter: ScoreConverter
    logit_scale: float
    score_threshold: float
    iou_threshold: float
    max_detections_per_class: int
    max_total_detections: int
    use_moving_averages: bool


def read_config(pipeline: Pipeline) -> DetectionConfig:
    """The plain values of `pipeline`.

    Raises:
        ConfigError: a value is out of range, or a required section is missing.
        UnsupportedError: a section or a value asks for what Flatshot does not build; the message
            names it and says what would do.
    """
    model = pipeline.model
    kind = model.WhichOneof("model")
    if kind != "ssd":
        raise UnsupportedError(
            f"model.{kind or '(nothing)'}: only single-shot detectors (model.ssd) become "
            "TensorFlow Lite detectors"
        )
    if pipeline.graph_rewriter.HasField("quantization"):
        raise UnsupportedError(
            "graph_rewriter.quantization: quantisation-aware graphs are not built yet; "
            "remove the section to export the float graph"
        )
    ssd = model.ssd
    _refuse(
        "model.ssd",
        ssd,
        explicit_background_class=False,
        return_raw_detections_during_predict=False,
        mask_head_config=None,
    )
    _require(
        0 < ssd.num_classes <= _MOST_CHANNELS,
        f"model.ssd.num_classes must be at least 1 and at most {_MOST_CHANNELS}",
    )
    post = ssd.post_processing
    nms = post.batch_non_max_suppression
    _refuse("model.ssd.post_processing", post, calibration_config=None)
    _refuse("model.ssd.post_processing.batch_non_max_suppression", nms, soft_nms_sigma=0.0)
    _require(
        SMALLEST <= post.logit_scale < math.inf,
        f"post_processing.logit_scale must be at least {SMALLEST:g}",
    )
    _require(0 <= nms.score_threshold <= 1, "score_threshold must lie in 0..1")
    _require(0 < nms.iou_threshold <= 1, "iou_threshold must be above 0 and at most 1")
    input_shape = _read_resizer(ssd.image_resizer)
    return DetectionConfig(
        input_shape=input_shape,
        num_classes=ssd.num_classes,
        class_slots=ssd.num_classes + ssd.add_background_class,
        feature_extractor=_read_extractor(ssd.feature_extractor, input_shape),
        box_predictor=_read_predictor(ssd.box_predictor),
        anchors=_read_anchors(ssd.anchor_generator),
        box_coder_scales=_read_box_coder(ssd.box_coder),
        score_converter=_enum_name(post, "score_converter"),
        logit_scale=post.logit_scale,
        score_threshold=nms.score_threshold,
        iou_threshold=nms.iou_threshold,
        max_detections_per_class=nms.max_detections_per_class,
        max_total_detections=nms.max_total_detections,
        use_moving_averages=pipeline.eval_config.use_moving_averages,
    )


def _read_resizer(resizer: Any) -> tuple[int, int, int, int]:
    kind = resizer.WhichOneof("image_resizer_oneof")
    if kind != "fixed_shape_resizer":
        raise UnsupportedError(
            f"image_resizer.{kind or '(nothing)'}: a TensorFlow Lite detector has one input size: "
            "use fixed_shape_resizer { height: H width: W }"
        )
    fixed = resizer.fixed_shape_resizer
    _require(
        33 <= min(fixed.height, fixed.width) <= max(fixed.height, fixed.width) <= 16384,
        f"fixed_shape_resizer: {fixed.height} x {fixed.width} pixels; MobileNet needs at least "
        "33 a side, and 16384 is the limit",
    )
    return 1, fixed.height, fixed.width, 1 if fixed.convert_to_grayscale else 3


def _read_extractor(
    extractor: Any, input_shape: tuple[int, int, int, int]
) -> FeatureExtractorConfig:
    where = "model.ssd.feature_extractor"
    _refuse(where, extractor, use_explicit_padding=False, fpn=None)
    multiple = extractor.pad_to_multiple
    if multiple < 1 or input_shape[1] % multiple or input_shape[2] % multiple:
        raise UnsupportedError(
            f"{where}.pad_to_multiple: {multiple} would pad the input of {input_shape[1]} x "
            f"{input_shape[2]} pixels; choose a size that it divides"
        )
    _require(
        0 < extractor.depth_multiplier <= 16,
        f"{where}.depth_multiplier must be above 0 and at most 16",
    )
    _require(
        0 <= extractor.min_depth <= _MOST_CHANNELS,
        f"{where}.min_depth must lie in 0..{_MOST_CHANNELS}",
    )
    _require(1 <= extractor.num_layers <= 6, f"{where}.num_layers must lie in 1..6")
    return FeatureExtractorConfig(
        type=extractor.type,
        depth_multiplier=extractor.depth_multiplier,
        min_depth=extractor.min_depth,
        num_layers=extractor.num_layers,
        use_depthwise=extractor.use_depthwise,
        override_base_hyperparams=extractor.override_base_feature_extractor_hyperparams,
        hyperparams=_read_hyperparams(extractor.conv_hyperparams, f"{where}.conv_hyperparams"),
    )


def _read_hyperparams(hyperparams: Any, where: str) -> Hyperparams:
    if _enum_name(hyperparams, "op") != "CONV":
        raise UnsupportedError(f"{where}.op: only CONV makes a convolution")
    activation = _enum_name(hyperparams, "activation")
    if activation not in ("NONE", "RELU", "RELU_6"):
        raise UnsupportedError(f"{where}.activation: {activation}; known: NONE, RELU, RELU_6")
    _refuse(where, hyperparams, group_norm=None)
    batch_norm = None
    if hyperparams.HasField("batch_norm"):
        norm = hyperparams.batch_norm
        _require(0 < norm.epsilon < math.inf, f"{where}.batch_norm.epsilon must be above 0")
        batch_norm = BatchNorm(norm.epsilon, norm.scale, norm.center)
    return Hyperparams(batch_norm, activation)


def _read_predictor(box_predictor: Any) -> BoxPredictorConfig:
    kind = box_predictor.WhichOneof("box_predictor_oneof")
    if kind != "convolutional_box_predictor":
        raise UnsupportedError(
            f"box_predictor.{kind or '(nothing)'}: known: convolutional_box_predictor"
        )
    predictor = box_predictor.convolutional_box_predictor
    where = "convolutional_box_predictor"
    _require(
        1 <= predictor.kernel_size <= 255,
        f"{where}.kernel_size must be at least 1 and at most 255",
    )
    _require(
        0 <= predictor.num_layers_before_predictor <= 100,
        f"{where}.num_layers_before_predictor must lie in 0..100",
    )
    _require(
        min(predictor.min_depth, predictor.max_depth) >= 0
        and predictor.min_depth <= _MOST_CHANNELS,
        f"{where}: min_depth and max_depth cannot be negative, nor min_depth above "
        f"{_MOST_CHANNELS}",
    )
    if predictor.box_code_size != 4:
        raise UnsupportedError(
            f"{where}.box_code_size: {predictor.box_code_size}; TFLite_Detection_PostProcess "
            "decodes boxes of 4 numbers"
        )
    clip = None
    if predictor.HasField("box_encodings_clip_range"):
        clip_range = predictor.box_encodings_clip_range
        clip = (clip_range.min, clip_range.max)
        _require(clip[0] < clip[1], f"{where}.box_encodings_clip_range: min must be below max")
    return BoxPredictorConfig(
        hyperparams=_read_hyperparams(predictor.conv_hyperparams, f"{where}.conv_hyperparams"),
        min_depth=predictor.min_depth,
        max_depth=predictor.max_depth,
        num_layers_before_predictor=predictor.num_layers_before_predictor,
        kernel_size=predictor.kernel_size,
        box_code_size=predictor.box_code_size,
        apply_sigmoid_to_scores=predictor.apply_sigmoid_to_scores,
        use_depthwise=predictor.use_depthwise,
        clip_range=clip,
    )


def _read_anchors(anchor_generator: Any) -> SsdAnchorConfig:
    kind = anchor_generator.WhichOneof("anchor_generator_oneof")
    if kind != "ssd_anchor_generator":
        raise UnsupportedError(
            f"anchor_generator.{kind or '(nothing)'}: known: ssd_anchor_generator"
        )
    ssd = anchor_generator.ssd_anchor_generator
    where = "ssd_anchor_generator"
    _require(1 <= ssd.num_layers <= 6, f"{where}.num_layers must lie in 1..6")
    _require(
        all(SMALLEST <= ratio <= LARGEST for ratio in ssd.aspect_ratios),
        f"{where}.aspect_ratios must lie in {SMALLEST:g}..{LARGEST:g}",
    )
    _require(len(ssd.aspect_ratios) <= 100, f"{where}: 100 aspect_ratios are the limit")
    _require(
        all(0 <= scale <= LARGEST for scale in (ssd.min_scale, ssd.max_scale, *ssd.scales)),
        f"{where}: scales must lie in 0..{LARGEST:g}",
    )
    _require(
        ssd.interpolated_scale_aspect_ratio == 0
        or SMALLEST <= ssd.interpolated_scale_aspect_ratio <= LARGEST,
        f"{where}.interpolated_scale_aspect_ratio must be 0 or lie in {SMALLEST:g}..{LARGEST:g}",
    )
    _require(
        all(0 < side <= LARGEST for side in (ssd.base_anchor_height, ssd.base_anchor_width)),
        f"{where}: base_anchor_height and base_anchor_width must be above 0, at most {LARGEST:g}",
    )
    for vertical, horizontal in (
        ("height_stride", "width_stride"),
        ("height_offset", "width_offset"),
    ):
        counts = len(getattr(ssd, vertical)), len(getattr(ssd, horizontal))
        _require(
            counts in ((0, 0), (ssd.num_layers, ssd.num_layers)),
            f"{where}: {vertical} and {horizontal} need one value a layer ({ssd.num_layers}), "
            f"they have {counts[0]} and {counts[1]}",
        )
    _require(
        len(ssd.scales) in (0, ssd.num_layers),
        f"{where}.scales needs one value a layer ({ssd.num_layers}), it has {len(ssd.scales)}",
    )
    _require(
        ssd.num_layers > 1 or len(ssd.scales) == 1,
        f"{where}: with one layer, give its scale in `scales`: there is nothing between "
        "min_scale and max_scale",
    )
    return SsdAnchorConfig(
        num_layers=ssd.num_layers,
        min_scale=ssd.min_scale,
        max_scale=ssd.max_scale,
        scales=tuple(ssd.scales),
        aspect_ratios=tuple(ssd.aspect_ratios),
        interpolated_scale_aspect_ratio=ssd.interpolated_scale_aspect_ratio,
        base_anchor_size=(ssd.base_anchor_height, ssd.base_anchor_width),
        strides=tuple(zip(ssd.height_stride, ssd.width_stride, strict=True)),
        offsets=tuple(zip(ssd.height_offset, ssd.width_offset, strict=True)),
        reduce_boxes_in_lowest_layer=ssd.reduce_boxes_in_lowest_layer,
    )


def _read_box_coder(box_coder: Any) -> tuple[float, float, float, float]:
    kind = box_coder.WhichOneof("box_coder_oneof")
    if kind not in (None, "faster_rcnn_box_coder"):
        raise UnsupportedError(
            f"box_coder.{kind}: TFLite_Detection_PostProcess decodes faster_rcnn_box_coder only"
        )
    coder = box_coder.faster_rcnn_box_coder
    scales = coder.y_scale, coder.x_scale, coder.height_scale, coder.width_scale
    _require(
        all(0 < scale < math.inf for scale in scales),
        "faster_rcnn_box_coder: scales must be above 0",
    )
    return scales


def _enum_name(message: Any, field: str) -> Any:
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    return enum.values_by_number[getattr(message, field)].name


def _refuse(where: str, message: Any, **harmless: Any) -> None:
    """Raise for each field that is set to something else than its harmless value."""
    for field, value in harmless.items():
        is_set = message.HasField(field)
        if is_set and (value is None or getattr(message, field) != value):
            raise UnsupportedError(
                f"{where}.{field} changes the inference graph and cannot be honoured; remove it "
                "if the model was trained without it"
            )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
