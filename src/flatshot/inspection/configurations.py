"""A pipeline.config: what would be built of it, or all that stands in the way."""

from typing import Any

from flatshot.errors import FlatshotError
from flatshot.formats.detector_graph import ANCHORS
from flatshot.formats.files import StrPath
from flatshot.formats.pipeline import Pipeline, load_pipeline
from flatshot.inspection.description import Inspection
from flatshot.inspection.graphs import describe_graph
from flatshot.models.config.anchors import (
    AnchorConfig,
    FlexibleGridAnchorConfig,
    MultiscaleAnchorConfig,
)
from flatshot.models.config.predictor import BoxPredictorConfig, ConvolutionalConfig
from flatshot.models.detection_config import DetectionConfig, read_config
from flatshot.models.export import build_graph
from flatshot.models.extractors import load_extractor

KIND = "pipeline.config of the TensorFlow Object Detection API"


def inspect_pipeline(path: StrPath) -> Inspection:
    """Look into a configuration."""
    pipeline = load_pipeline(path)
    try:
        config = read_config(pipeline)
        graph = build_graph(config, None)
    except FlatshotError as error:
        return Inspection(str(path), KIND, facts={**_names(pipeline), "supported": f"no: {error}"})
    described = describe_graph(graph, str(path), KIND)
    count = next(tensor.shape[0] for tensor in described.tensors if tensor.name == ANCHORS)
    return Inspection(
        path=str(path),
        kind=KIND,
        inputs=described.inputs,
        outputs=described.outputs,
        parameters=described.parameters,
        bytes=described.bytes,
        arithmetic_ops=described.arithmetic_ops,
        peak_memory=described.peak_memory,
        facts={**_names(pipeline), **describe_config(config, count), "supported": "yes"},
    )


def _names(pipeline: Pipeline) -> dict[str, str]:
    """What a configuration is for, known even where it cannot be built."""
    kind = pipeline.model.WhichOneof("model") or "none"
    if kind != "ssd":
        return {"model": kind}
    extractor = pipeline.model.ssd.feature_extractor.type
    return {
        "TensorFlow": "2" if extractor.endswith("_keras") else "1",
        "feature extractor": extractor,
        "classes": str(pipeline.model.ssd.num_classes),
    }


def describe_config(config: DetectionConfig, anchors: int) -> dict[str, str]:
    """The detector of `config` in words, by title; `anchors` is their number."""
    extractor = config.feature_extractor
    _, height, width, channels = config.input_shape
    pixels = load_extractor(extractor.type).pixels.of(channels)
    scale, offset = (_numbers(values) for values in (pixels.scale, pixels.offset))
    return {
        "depth multiplier": f"{extractor.depth_multiplier:g}",
        "classes": str(config.num_classes),
        "background class": "yes" if config.class_slots > config.num_classes else "no",
        "preprocessing": (
            f"resized to {height} x {width}{', grey' if channels == 1 else ''}, then "
            f"pixel x {scale} + {offset}"
        ),
        "head": _head(config.box_predictor),
        "anchors": str(anchors),
        "anchor generator": _generator(config.anchors),
        "score converter": config.score_converter,
        "score threshold": f"{config.score_threshold:g}",
        "IoU threshold": f"{config.iou_threshold:g}",
        "max_detections_per_class": str(config.max_detections_per_class),
        "max_total_detections": str(config.max_total_detections),
        "moving averages": "yes" if config.use_moving_averages else "no",
    }


def _numbers(values: tuple[float, ...]) -> str:
    text = ", ".join(f"{value:.6g}" for value in values)
    return text if len(values) == 1 else f"({text})"


def _head(predictor: BoxPredictorConfig) -> str:
    kernel = f"{predictor.kernel_size} x {predictor.kernel_size}"
    filters = f"{'separable' if predictor.use_depthwise else 'filters of'} {kernel}"
    if isinstance(predictor, ConvolutionalConfig):
        return f"convolutional, one for each feature map, {filters}"
    layers = predictor.num_layers_before_predictor
    towers = "one tower" if predictor.share_prediction_tower else "two towers"
    return f"weight-shared, {towers} of {layers} layers of {predictor.depth}, {filters}"


def _generator(config: AnchorConfig) -> str:
    shown: dict[Any, str] = {
        MultiscaleAnchorConfig: "multiscale_anchor_generator",
        FlexibleGridAnchorConfig: "flexible_grid_anchor_generator",
    }
    return shown.get(type(config), "ssd_anchor_generator")
