"""`post_processing` and `box_coder`: what happens to the raw outputs."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from flatshot.models.config.problems import SMALLEST, Problems, enum_name

ScoreConverter = Literal["IDENTITY", "SIGMOID", "SOFTMAX"]


@dataclass(frozen=True)
class ScoreConfig:
    """How logits become scores: divided by temperature and scale, then converted."""

    converter: ScoreConverter
    logit_scale: float
    temperature: float | None


@dataclass(frozen=True)
class SuppressionConfig:
    """The section `batch_non_max_suppression`, as far as an exported operator knows it."""

    score_threshold: float
    iou_threshold: float
    max_detections_per_class: int
    max_total_detections: int


@dataclass(frozen=True)
class BoxCoderConfig:
    """What box encodings are multiplied by (y, x, height, width), and how many numbers they are."""

    scales: tuple[float, float, float, float]
    code_size: int


def read_scores(post: Any, problems: Problems) -> ScoreConfig:
    """The score converter of `post_processing`, and its calibration."""
    problems.require(
        SMALLEST <= post.logit_scale < math.inf,
        f"post_processing.logit_scale must be at least {SMALLEST:g}",
    )
    return ScoreConfig(
        converter=enum_name(post, "score_converter"),
        logit_scale=post.logit_scale,
        temperature=_read_calibration(post, problems),
    )


def _read_calibration(post: Any, problems: Problems) -> float | None:
    if not post.HasField("calibration_config"):
        return None
    where = "post_processing.calibration_config"
    kind = post.calibration_config.WhichOneof("calibrator")
    if kind == "temperature_scaling_calibration":
        scaler: float = post.calibration_config.temperature_scaling_calibration.scaler
        problems.require(
            SMALLEST <= scaler < math.inf, f"{where}.{kind}.scaler must be at least {SMALLEST:g}"
        )
        return scaler
    if kind is not None:
        problems.refuse(
            f"{where}.{kind} changes the scores and is not built; known: "
            "temperature_scaling_calibration"
        )
    else:
        problems.require(False, f"{where} is empty: it needs a calibrator")
    return None


def read_suppression(post: Any, problems: Problems) -> SuppressionConfig:
    """The section `batch_non_max_suppression` of `post_processing`."""
    nms = post.batch_non_max_suppression
    where = "model.ssd.post_processing.batch_non_max_suppression"
    problems.refuse_fields(where, nms, soft_nms_sigma=0.0)
    problems.require(0 <= nms.score_threshold <= 1, "score_threshold must lie in 0..1")
    problems.require(0 < nms.iou_threshold <= 1, "iou_threshold must be above 0 and at most 1")
    return SuppressionConfig(
        score_threshold=nms.score_threshold,
        iou_threshold=nms.iou_threshold,
        max_detections_per_class=nms.max_detections_per_class,
        max_total_detections=nms.max_total_detections,
    )


def read_box_coder(section: Any, problems: Problems) -> BoxCoderConfig:
    """The section `box_coder`.

    `TFLite_Detection_PostProcess` has the arithmetic of the Faster R-CNN coder. The keypoint
    coder's first four numbers are the same, and what follows them the operator passes over.
    """
    kind = section.WhichOneof("box_coder_oneof")
    size = 4
    coder = section.faster_rcnn_box_coder
    if kind == "keypoint_box_coder":
        coder = section.keypoint_box_coder
        problems.require(
            0 <= coder.num_keypoints <= 1000, "keypoint_box_coder.num_keypoints must lie in 0..1000"
        )
        size += 2 * max(coder.num_keypoints, 0)
    elif kind not in (None, "faster_rcnn_box_coder"):
        problems.refuse(
            f"box_coder.{kind}: TFLite_Detection_PostProcess cannot decode it; it has the "
            "arithmetic of faster_rcnn_box_coder"
        )
    scales = coder.y_scale, coder.x_scale, coder.height_scale, coder.width_scale
    problems.require(
        all(0 < scale < math.inf for scale in scales),
        f"{kind or 'faster_rcnn_box_coder'}: scales must be above 0",
    )
    return BoxCoderConfig(scales, size)
