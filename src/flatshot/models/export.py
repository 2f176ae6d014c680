"""Step 1: a checkpoint and its pipeline.config to the frozen graph `tflite_graph.pb`.

What `object_detection/export_tflite_ssd_graph.py` does, with its flags as arguments.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from flatshot.errors import ConfigError
from flatshot.formats import normalization
from flatshot.formats.checkpoint import Checkpoint, Variables
from flatshot.formats.checkpoint_place import find_config
from flatshot.formats.detector_graph import (
    ANCHORS,
    BOX_ENCODINGS,
    CLASS_PREDICTIONS,
    INPUT,
    POSTPROCESS,
)
from flatshot.formats.files import StrPath
from flatshot.formats.graphdef import Attr, DataType, Graph, Node
from flatshot.formats.pipeline import load_pipeline
from flatshot.models import anchors, heads, keras_names
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.detection_config import DetectionConfig, read_config
from flatshot.models.extractors import SYMMETRIC, Pixels, load_extractor
from flatshot.models.quantization_aware import rewrite_for_quantization
from flatshot.models.trained import takes_averages, trained_variables

_log = logging.getLogger("flatshot")


def export(
    checkpoint: StrPath,
    pipeline_config: StrPath | None = None,
    *,
    config_override: str = "",
    max_detections: int | Literal["auto"] = 10,
    max_classes_per_detection: int = 1,
    detections_per_class: int = 100,
    use_regular_nms: bool = False,
    use_moving_averages: bool | None = None,
    add_postprocessing_op: bool = True,
    additional_output_tensors: Sequence[str] = (),
) -> Graph:
    """The frozen inference graph of a single-shot detector.

    Input `normalized_input_image_tensor` (1, height, width, channels) float32 in -1..1; outputs
    `raw_outputs/box_encodings` (1, N, 4), `raw_outputs/class_predictions` (1, N, classes), and with
    `add_postprocessing_op` the four of `TFLite_Detection_PostProcess`.

    Args:
        checkpoint: a checkpoint of TensorFlow 1 or 2: a prefix (`dir/model.ckpt`), a directory or
            a `checkpoint` state file.
        pipeline_config: the configuration; if not given, `pipeline.config` beside the checkpoint
            or one directory above.
        config_override: text merged over the configuration as protobuf merges.
        max_detections: boxes kept after suppression; "auto" takes the configuration's
            `max_total_detections`, which the original exporter ignores.
        max_classes_per_detection: classes reported for each box, by fast suppression only.
        detections_per_class: boxes kept for each class, by regular suppression only.
        use_regular_nms: suppress class by class (regular) instead of regardless of class (fast).
        use_moving_averages: read trained variables from their moving averages; if not given, as
            the official exporter does: TensorFlow 1's as the configuration says, TensorFlow 2's
            never.
        add_postprocessing_op: end in the custom operator; else in the raw outputs and `anchors`.
        additional_output_tensors: names of nodes to keep beside the outputs.

    Raises:
        FileError: a file is missing.
        FormatError: a file is damaged.
        ConfigError: configuration and checkpoint do not fit, or a value is out of range.
        UnsupportedError: the configuration asks for what is not built.
    """
    source = Checkpoint(checkpoint)
    path = pipeline_config or find_config(source.prefix)
    config = read_config(load_pipeline(path, config_override))
    attrs = _postprocess_attrs(
        config, max_detections, max_classes_per_detection, detections_per_class, use_regular_nms
    )
    variables = trained_variables(source, config)
    averages = takes_averages(variables, config, use_moving_averages)
    return build_graph(
        replace(config, use_moving_averages=averages),
        variables,
        attrs if add_postprocessing_op else None,
        additional_output_tensors,
    )


def build_graph(
    config: DetectionConfig,
    variables: Variables | None,
    postprocess: dict[str, Attr] | None = None,
    additional_outputs: Sequence[str] = (),
) -> Graph:
    """The graph of `config` with the values of `variables`, ending in the op of `postprocess`."""
    extractor = load_extractor(config.feature_extractor.type)
    builder = GraphBuilder(
        variables,
        averaged=config.use_moving_averages,
        naming=keras_names.full_name if extractor.keras else None,
    )
    image = builder.placeholder(INPUT, config.input_shape, _pixels(extractor.pixels, config))
    maps = extractor.extract(builder, image, config.feature_extractor)
    grids = [(net.shape[1], net.shape[2]) for net in maps]
    anchors.check_maps(config.anchors, grids)
    boxes, classes = heads.predict(
        builder,
        maps,
        anchors.anchors_per_cell(config.anchors),
        config.class_slots,
        config.box_predictor,
    )
    scores = _convert_scores(builder, classes, config)
    boxes = builder.add("Identity", BOX_ENCODINGS, [boxes], boxes.shape)
    scores = builder.add("Identity", CLASS_PREDICTIONS, [scores], scores.shape)
    values = anchors.generate(config.anchors, grids, config.input_shape[1:3])
    builder.constant(ANCHORS, values)
    if config.quantization_aware:
        rewrite_for_quantization(builder)
    graph = builder.finish([BOX_ENCODINGS, CLASS_PREDICTIONS, ANCHORS, *additional_outputs])
    if postprocess is None:
        return graph
    inputs = (BOX_ENCODINGS, CLASS_PREDICTIONS, ANCHORS)
    return Graph((*graph.nodes, Node(POSTPROCESS, POSTPROCESS, inputs, postprocess)))


def _pixels(pixels: Pixels, config: DetectionConfig) -> dict[str, Attr]:
    """What the graph's input says of its pixels, where they are not taken for the usual ones."""
    pixels = pixels.of(config.input_shape[3])
    if pixels == SYMMETRIC:
        return {}
    return {normalization.ATTRIBUTE: normalization.write_normalization(pixels.scale, pixels.offset)}


def _convert_scores(builder: GraphBuilder, logits: Tensor, config: DetectionConfig) -> Tensor:
    if config.temperature is not None:
        scaler = builder.constant("calibrate_score/y", np.array(config.temperature, np.float32))
        logits = builder.add("RealDiv", "calibrate_score", [logits, scaler], logits.shape)
    # The exporter divides by logit_scale, and freezing turns that into a multiplication.
    inverse = np.float32(1) / np.float32(config.logit_scale)
    factor = builder.constant("scale_logits/y", np.asarray(inverse, np.float32))
    scaled = builder.add("Mul", "scale_logits", [logits, factor], logits.shape)
    op = {"IDENTITY": "Identity", "SIGMOID": "Sigmoid", "SOFTMAX": "Softmax"}
    return builder.add(op[config.score_converter], "convert_scores", [scaled], scaled.shape)


def _postprocess_attrs(
    config: DetectionConfig,
    max_detections: int | Literal["auto"],
    max_classes_per_detection: int,
    detections_per_class: int,
    use_regular_nms: bool,
) -> dict[str, Attr]:
    if max_detections == "auto":
        max_detections = config.max_total_detections
    elif max_detections != config.max_total_detections:
        _log.warning(
            "the model will give at most %d detections (max_detections), the config says "
            "max_total_detections: %d; --max_detections auto takes the config's",
            max_detections,
            config.max_total_detections,
        )
    counts = {
        "max_detections": max_detections,
        "max_classes_per_detection": max_classes_per_detection,
        "detections_per_class": detections_per_class,
    }
    for name, count in counts.items():
        if not 1 <= count < 2**31:
            raise ConfigError(f"{name} must be at least 1 and fit 32 bits, it is {count}")
    y_scale, x_scale, h_scale, w_scale = config.box_coder_scales
    return {
        "_output_quantized": True,
        "_output_types": [DataType.DT_FLOAT] * 4,
        "_support_output_type_float_in_quantized_op": True,
        **counts,
        "use_regular_nms": use_regular_nms,
        "nms_score_threshold": config.score_threshold,
        "nms_iou_threshold": config.iou_threshold,
        "num_classes": config.num_classes,
        "y_scale": y_scale,
        "x_scale": x_scale,
        "h_scale": h_scale,
        "w_scale": w_scale,
    }
