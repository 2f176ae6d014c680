"""Every field of a configuration is honoured, harmless, or refused by name."""

from pathlib import Path

import numpy as np
import pytest

from flatshot.demo.tiny import PIPELINE
from flatshot.errors import ConfigError, FlatshotError, UnsupportedError
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.config.anchors import SsdAnchorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.detection_config import read_config
from tests.models.configs import config, extractor, predictor, ssd

NMS = "batch_non_max_suppression"
ANCHORS = "anchor_generator { ssd_anchor_generator"
RESIZER = "image_resizer { fixed_shape_resizer"


def test_the_tiny_configuration() -> None:
    """All values as the file gives them, the rest by the defaults of the protos."""
    got = config()
    assert got.input_shape == (1, 96, 96, 3)
    assert (got.num_classes, got.class_slots) == (3, 4)
    epsilon = float(np.float32(0.001))
    norm = BatchNorm(epsilon, scale=True, center=True)
    assert got.feature_extractor.hyperparams == Hyperparams(norm, activation="RELU_6")
    assert got.box_predictor.hyperparams == Hyperparams(batch_norm=None, activation="RELU_6")
    assert got.box_coder_scales == (10.0, 10.0, 5.0, 5.0)
    assert isinstance(got.anchors, SsdAnchorConfig)
    assert got.feature_extractor.num_layers == got.anchors.num_layers == 6
    assert got.max_total_detections == 100
    assert got.use_moving_averages is False


def test_defaults_of_the_protos() -> None:
    """What nearly empty sections mean."""
    text = """
    model { ssd {
      num_classes: 1
      image_resizer { fixed_shape_resizer { } }
      feature_extractor { type: "ssd_mobilenet_v1" }
      box_predictor { convolutional_box_predictor { } }
      anchor_generator { ssd_anchor_generator { aspect_ratios: 1.0 } }
    } }
    """
    got = config(pipeline=text)
    assert got.input_shape == (1, 300, 300, 3)
    assert got.feature_extractor.depth_multiplier == 1
    assert got.feature_extractor.min_depth == 16
    assert got.feature_extractor.hyperparams == Hyperparams(None, "RELU")
    assert got.box_predictor.kernel_size == 1
    assert got.score_converter == "IDENTITY"
    assert (got.logit_scale, got.score_threshold) == (1, 0)
    assert got.iou_threshold == pytest.approx(0.6)
    assert (got.max_detections_per_class, got.max_total_detections) == (100, 100)


def test_hyperparams_of_batch_norm() -> None:
    """The proto's default is no gamma and a beta."""
    got = config(extractor("conv_hyperparams { batch_norm { scale: false epsilon: 0.5 } }"))
    assert got.feature_extractor.hyperparams.batch_norm == BatchNorm(0.5, scale=False, center=True)


def _post(text: str) -> str:
    return ssd(f"post_processing {{ {text} }}")


def _nms(text: str) -> str:
    return _post(f"{NMS} {{ {text} }}")


def _coder(text: str) -> str:
    return ssd(f"box_coder {{ faster_rcnn_box_coder {{ {text} }} }}")


# Override, field of the result, value.
HONOURED = [
    (ssd("num_classes: 7"), "num_classes", 7),
    (ssd("add_background_class: false"), "class_slots", 3),
    (ssd(f"{RESIZER} {{ height: 64 width: 128 }} }}"), "input_shape", (1, 64, 128, 3)),
    (ssd(f"{RESIZER} {{ convert_to_grayscale: true }} }}"), "input_shape", (1, 96, 96, 1)),
    (_post("score_converter: SOFTMAX"), "score_converter", "SOFTMAX"),
    (_post("logit_scale: 2.5"), "logit_scale", 2.5),
    (
        _post("calibration_config { temperature_scaling_calibration { scaler: 2 } }"),
        "temperature",
        2.0,
    ),
    (_nms("score_threshold: 0.5"), "score_threshold", 0.5),
    (_nms("iou_threshold: 0.25"), "iou_threshold", 0.25),
    (_nms("max_total_detections: 9"), "max_total_detections", 9),
    (_nms("max_detections_per_class: 8"), "max_detections_per_class", 8),
    (
        _coder("y_scale: 1 x_scale: 2 height_scale: 3 width_scale: 4"),
        "box_coder_scales",
        (1, 2, 3, 4),
    ),
    ("eval_config { use_moving_averages: true }", "use_moving_averages", True),
]


@pytest.mark.parametrize(("override", "field", "want"), HONOURED)
def test_honoured_fields(override: str, field: str, want: object) -> None:
    """Each arrives; those of extractor, predictor and anchors are proved in their own tests."""
    assert getattr(config(override), field) == want


HARMLESS = [
    ssd("inplace_batchnorm_update: true freeze_batchnorm: true encode_background_as_zeros: true"),
    ssd("negative_class_weight: 0.5 normalize_loc_loss_by_codesize: true"),
    ssd("loss { classification_loss { weighted_sigmoid { } } } matcher { argmax_matcher { } }"),
    ssd("explicit_background_class: false return_raw_detections_during_predict: false"),
    ssd(f"post_processing {{ {NMS} {{ soft_nms_sigma: 0.0 use_static_shapes: true }} }}"),
    extractor("use_explicit_padding: false pad_to_multiple: 1"),
    extractor("replace_preprocessor_with_placeholder: true"),
    extractor("conv_hyperparams { regularizer { l2_regularizer { weight: 0.1 } } }"),
    extractor("conv_hyperparams { batch_norm { decay: 0.97 train: true center: true } }"),
    predictor("dropout_keep_probability: 0.5 class_prediction_bias_init: -4.6"),
    predictor("conv_hyperparams { initializer { truncated_normal_initializer { } } }"),
    ssd(f"{RESIZER} {{ resize_method: AREA }} }}"),
    "train_config { batch_size: 24 fine_tune_checkpoint: 'x' }",
    "train_input_reader { label_map_path: 'y' } eval_config { num_examples: 8000 }",
]


@pytest.mark.parametrize("override", HARMLESS)
def test_what_concerns_training_only_changes_nothing(override: str) -> None:
    """Fields of training, losses, readers, preprocessing."""
    assert config(override) == config()


def _calibration(text: str) -> str:
    return ssd(f"post_processing {{ calibration_config {{ {text} }} }}")


REFUSED = {
    "model { faster_rcnn { } }": "model.faster_rcnn: only single-shot detectors",
    "graph_rewriter { quantization { weight_bits: 4 } }": "quantization.weight_bits: 4",
    ssd("explicit_background_class: true"): "model.ssd.explicit_background_class changes",
    ssd("return_raw_detections_during_predict: true"): "return_raw_detections_during_predict",
    ssd("mask_head_config { }"): "model.ssd.mask_head_config",
    _calibration("sigmoid_calibration { }"): "calibration_config.sigmoid_calibration changes",
    _calibration("function_approximation { }"): "calibration_config.function_approximation",
    ssd(f"post_processing {{ {NMS} {{ soft_nms_sigma: 0.5 }} }}"): f"{NMS}.soft_nms_sigma",
    ssd("image_resizer { keep_aspect_ratio_resizer { } }"): "keep_aspect_ratio_resizer: a Tensor",
    extractor("fpn { }"): "feature_extractor.fpn: ssd_mobilenet_v1 does not take it",
    extractor("bifpn { }"): "feature_extractor.bifpn: ssd_mobilenet_v1 does not take it",
    extractor("type: 'ssd_mobilenet_v1_fpn' num_layers: 6"): "v1_fpn does not take it",
    extractor("type: 'ssd_mobilenet_v3_small_prediction'"): "its source was never published",
    extractor("conv_hyperparams { op: FC }"): "conv_hyperparams.op: only CONV",
    extractor("conv_hyperparams { force_use_bias: true }"): "conv_hyperparams.force_use_bias",
    extractor("conv_hyperparams { sync_batch_norm { } }"): "conv_hyperparams.sync_batch_norm",
    extractor("conv_hyperparams { group_norm { } }"): "conv_hyperparams.group_norm",
    predictor("conv_hyperparams { group_norm { } }"): "box_predictor.conv_hyperparams.group_norm",
    predictor("box_code_size: 7"): "box_code_size: 7; the box coder decodes boxes of 4 numbers",
    ssd("box_predictor { mask_rcnn_box_predictor { } }"): "box_predictor.mask_rcnn_box_predictor",
    ssd("anchor_generator { grid_anchor_generator { } }"): "it serves two-stage detectors",
    ssd("box_coder { square_box_coder { } }"): "box_coder.square_box_coder",
    ssd("box_coder { mean_stddev_box_coder { } }"): "box_coder.mean_stddev_box_coder",
}


@pytest.mark.parametrize(("override", "message"), REFUSED.items(), ids=REFUSED.values())
def test_what_cannot_be_honoured_is_refused_by_name(override: str, message: str) -> None:
    """Never read over in silence."""
    with pytest.raises(UnsupportedError) as caught:
        config(override)
    assert message in str(caught.value)


def test_all_reasons_at_once_the_extractor_first() -> None:
    """Whoever mends one thing must not meet the next; and no advice to remove what matters."""
    text = ssd(
        "feature_extractor { type: 'ssd_vgg' conv_hyperparams { group_norm { } } } num_classes: -1 "
        "box_coder { square_box_coder { } } image_resizer { identity_resizer { } }"
    )
    with pytest.raises(UnsupportedError) as caught:
        config(f"{text} graph_rewriter {{ quantization {{ activation_bits: 16 }} }}")
    message = str(caught.value)
    assert message.startswith("feature_extractor.type: 'ssd_vgg' is not built yet; known: ")
    for part in ("group_norm", "square_box_coder", "identity_resizer", "quantization", "classes"):
        assert part in message
    assert "remove" not in message
    assert "\n" not in message


def test_a_keypoint_box_coder() -> None:
    """Its first four numbers are those that the operator decodes."""
    coder = "box_coder { keypoint_box_coder { num_keypoints: 5 y_scale: 3 } }"
    got = config(ssd(coder) + predictor("box_code_size: 14"))
    assert got.box_coder_scales == (3.0, 10.0, 5.0, 5.0)
    assert got.box_predictor.box_code_size == 14


OUT_OF_RANGE = {
    ssd("num_classes: 0"): "num_classes must be at least 1",
    ssd(f"{RESIZER} {{ height: 32 }} }}"): "32 x 96 pixels",
    ssd(f"{RESIZER} {{ width: 20000 }} }}"): "16384 is the limit",
    ssd("post_processing { logit_scale: 0 }"): "logit_scale must be at least 1e-06",
    ssd(f"post_processing {{ {NMS} {{ score_threshold: 1.5 }} }}"): "score_threshold must lie",
    ssd(f"post_processing {{ {NMS} {{ score_threshold: nan }} }}"): "score_threshold must lie",
    ssd(f"post_processing {{ {NMS} {{ iou_threshold: 0 }} }}"): "iou_threshold must be above 0",
    extractor("depth_multiplier: 0"): "depth_multiplier must be above 0",
    extractor("depth_multiplier: nan"): "depth_multiplier must be above 0",
    extractor("depth_multiplier: inf"): "depth_multiplier must be above 0",
    extractor("depth_multiplier: 1e30"): "at most 16",
    extractor("min_depth: 2000000000"): "must lie in 0..65536",
    ssd("num_classes: 2000000000"): "at most 65536",
    predictor("kernel_size: 2000000000"): "at most 255",
    predictor("min_depth: 2000000000"): "nor min_depth above",
    ssd(f"{ANCHORS} {{ min_scale: -1 }} }}"): "scales must lie in 0..1e+06",
    ssd(f"{ANCHORS} {{ max_scale: inf }} }}"): "scales must lie in 0..1e+06",
    ssd(f"{ANCHORS} {{ scales: nan }} }}"): "scales must lie in 0..1e+06",
    ssd(f"{ANCHORS} {{ interpolated_scale_aspect_ratio: nan }} }}"): "interpolated_scale_aspect",
    ssd(f"{ANCHORS} {{ base_anchor_width: 0 }} }}"): "base_anchor_width must be above 0",
    ssd("box_coder { faster_rcnn_box_coder { y_scale: inf } }"): "scales must be above 0",
    extractor("min_depth: -1"): "min_depth must lie in 0..65536",
    extractor("pad_to_multiple: 0"): "pad_to_multiple must lie in 1..",
    _calibration(""): "calibration_config is empty",
    _calibration("temperature_scaling_calibration { scaler: 0 }"): "scaler must be at least",
    predictor("use_depthwise: true"): "use_depthwise needs a kernel_size above 1",
    extractor("num_layers: 7"): "num_layers must lie in 1..6",
    extractor("conv_hyperparams { batch_norm { epsilon: 0 } }"): "batch_norm.epsilon must be",
    predictor("kernel_size: 0"): "kernel_size must be at least 1",
    predictor("num_layers_before_predictor: -1"): "num_layers_before_predictor must lie",
    predictor("max_depth: -1"): "min_depth and max_depth cannot be negative",
    predictor("box_encodings_clip_range { min: 1 max: 1 }"): "min must be below max",
    ssd(f"{ANCHORS} {{ num_layers: 0 }} }}"): "ssd_anchor_generator.num_layers must lie",
    ssd(f"{ANCHORS} {{ num_layers: 1 }} }}"): "give its scale in `scales`",
    ssd(f"{ANCHORS} {{ aspect_ratios: 0 }} }}"): "aspect_ratios must lie in 1e-06..1e+06",
    ssd(f"{ANCHORS} {{ scales: 0.1 scales: 0.2 }} }}"): "scales needs one value a layer (6)",
    ssd(f"{ANCHORS} {{ height_stride: 16 }} }}"): "height_stride and width_stride need one value",
    ssd(f"{ANCHORS} {{ width_offset: 16 }} }}"): "height_offset and width_offset need one value",
    ssd("box_coder { faster_rcnn_box_coder { y_scale: 0 } }"): "scales must be above 0",
}


@pytest.mark.parametrize(("override", "message"), OUT_OF_RANGE.items())
def test_values_out_of_range(override: str, message: str) -> None:
    """The message names field and range."""
    with pytest.raises(ConfigError) as caught:
        config(override)
    assert message in str(caught.value)


@pytest.mark.parametrize("section", ["box_predictor", "anchor_generator", "image_resizer"])
def test_a_section_that_is_missing(section: str) -> None:
    """It is named, and what may stand there."""
    text = PIPELINE.replace(f"{section} {{", "loss {", 1)
    with pytest.raises(FlatshotError, match=rf"{section}\.\(nothing\)"):
        config(pipeline=text)


def test_overrides_merge_as_protobuf_merges(tmp_path: Path) -> None:
    """Scalars replace, repeated fields append."""
    path = tmp_path / "pipeline.config"
    path.write_text(PIPELINE)
    override = ssd(f"num_classes: 5 {ANCHORS} {{ aspect_ratios: 7 }} }}")
    got = read_config(load_pipeline(path, override))
    assert got.num_classes == 5
    assert isinstance(got.anchors, SsdAnchorConfig)
    assert got.anchors.aspect_ratios[-1] == 7
    assert len(got.anchors.aspect_ratios) == 6
