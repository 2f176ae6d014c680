"""pipeline.config: the text-format configuration of the TensorFlow Object Detection API.

Only the messages that shape an inference graph are declared; what else a file holds (training,
losses, input readers) is skipped. Field numbers and defaults follow
`object_detection/protos/*.proto` of 2019.
"""

import functools
import logging
from typing import Any

from flatshot.errors import ConfigError, FormatError
from flatshot.formats import files, protobuf
from flatshot.formats.files import StrPath
from flatshot.formats.sniffing import mistaken
from flatshot.formats.text_mistakes import first_mistake, readable

_log = logging.getLogger("flatshot")

Pipeline = Any
"""A parsed TrainEvalPipelineConfig: a protobuf message, fields by name."""

# Fields that released configs hold and that later versions of the API dropped. None of them
# changes an inference graph.
DROPPED_FIELDS = {
    "batch_norm_trainable": "batch norm is never trained at export",
    "from_detection_checkpoint": "it concerns training",
}


def load_pipeline(path: StrPath, override: str = "") -> Pipeline:
    """The configuration in the file at `path`, with the text `override` merged over it.

    Merging is protobuf's: scalars replace, messages merge, repeated fields append, and another
    member of a oneof clears the one before.

    Raises:
        FileError: the file cannot be read.
        FormatError: a typing mistake, with line and column.
        ConfigError: the model section has a field that is not known, with line and column.
    """
    text = files.read_bytes(path)
    pipeline = read_pipeline(text, str(path))
    if override:
        merge_pipeline(pipeline, override, "config_override")
    return pipeline


def read_pipeline(text: str | bytes, name: str = "pipeline.config") -> Pipeline:
    """The configuration in `text`; see `load_pipeline`."""
    pipeline = _messages()["TrainEvalPipelineConfig"]()
    merge_pipeline(pipeline, text, name)
    if not pipeline.HasField("model"):
        raise ConfigError(f"{name}: no pipeline.config: it has no `model` section")
    return pipeline


def merge_pipeline(pipeline: Pipeline, text: str | bytes, name: str) -> None:
    """Merge `text` into `pipeline`; `name` says in messages where the text comes from."""
    decoded = readable(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        protobuf.parse_text(pipeline, decoded, name)
    except FormatError as error:
        other = mistaken(decoded.encode("utf-8", "replace"), "a pipeline.config")
        if other is not None and not decoded.lstrip().startswith(("model", "#")):
            raise FormatError(f"{name}: {other}") from error
        mistake = first_mistake(decoded)
        if mistake is not None:
            raise FormatError(f"{name}: {mistake}") from error
        raise
    for path, line, column in protobuf.unknown_fields(type(pipeline), decoded, name):
        field = path.rpartition(".")[2]
        if field in DROPPED_FIELDS:
            _log.info(
                "%s, line %d: %s is from an older release and has no effect: %s",
                name,
                line,
                field,
                DROPPED_FIELDS[field],
            )
        elif not path.startswith("eval_config."):
            raise ConfigError(
                f"{name}: line {line}, column {column}: no field {path!r} is known; "
                "correct it, or remove it if it does not change the model"
            )


def is_pipeline(text: bytes) -> bool:
    """Whether `text` parses as a pipeline.config with a model."""
    try:
        message = _messages()["TrainEvalPipelineConfig"]()
        protobuf.parse_text(message, readable(text), "")
    except FormatError:
        return False
    return bool(message.HasField("model"))


@functools.cache
def _messages() -> dict[str, Any]:
    return protobuf.message_classes("object_detection.protos", "proto2", _DECLARATIONS)


# A message without fields is one whose content does not matter here.
_DECLARATIONS: protobuf.Declarations = {
    "TrainEvalPipelineConfig": [
        "DetectionModel model = 1",
        "Ignored train_config = 2",
        "Ignored train_input_reader = 3",
        "EvalConfig eval_config = 4",
        "repeated Ignored eval_input_reader = 5",
        "GraphRewriter graph_rewriter = 6",
    ],
    "Ignored": [],
    "DetectionModel": [
        "oneof model: Ignored faster_rcnn = 1",
        "oneof model: Ssd ssd = 2",
        "oneof model: Ignored experimental_model = 3",
        "oneof model: Ignored center_net = 4",
    ],
    "Ssd": [
        "int32 num_classes = 1",
        "ImageResizer image_resizer = 2",
        "SsdFeatureExtractor feature_extractor = 3",
        "BoxCoder box_coder = 4",
        "Ignored matcher = 5",
        "Ignored similarity_calculator = 6",
        "BoxPredictor box_predictor = 7",
        "AnchorGenerator anchor_generator = 8",
        "PostProcessing post_processing = 9",
        "bool normalize_loss_by_num_matches = 10 [default = true]",
        "Ignored loss = 11",
        "bool encode_background_as_zeros = 12 [default = false]",
        "float negative_class_weight = 13 [default = 1.0]",
        "bool normalize_loc_loss_by_codesize = 14 [default = false]",
        "bool inplace_batchnorm_update = 15 [default = false]",
        "bool freeze_batchnorm = 16 [default = false]",
        "bool weight_regression_loss_by_score = 17 [default = false]",
        "bool use_expected_classification_loss_under_sampling = 18 [default = false]",
        "float min_num_negative_samples = 19 [default = 0]",
        "float desired_negative_sampling_ratio = 20 [default = 3]",
        "bool add_background_class = 21 [default = true]",
        "bool use_confidences_as_targets = 22 [default = false]",
        "float implicit_example_weight = 23 [default = 1.0]",
        "bool explicit_background_class = 24 [default = false]",
        "Ignored mask_head_config = 25",
        "bool return_raw_detections_during_predict = 26 [default = false]",
    ],
    "ImageResizer": [
        "oneof image_resizer_oneof: KeepAspectRatioResizer keep_aspect_ratio_resizer = 1",
        "oneof image_resizer_oneof: FixedShapeResizer fixed_shape_resizer = 2",
        "oneof image_resizer_oneof: Ignored identity_resizer = 3",
        "oneof image_resizer_oneof: Ignored conditional_shape_resizer = 4",
    ],
    "KeepAspectRatioResizer": [
        "int32 min_dimension = 1 [default = 600]",
        "int32 max_dimension = 2 [default = 1024]",
        "ResizeType resize_method = 3 [default = BILINEAR]",
        "bool pad_to_max_dimension = 4 [default = false]",
        "bool convert_to_grayscale = 5 [default = false]",
        "repeated float per_channel_pad_value = 6",
    ],
    "FixedShapeResizer": [
        "int32 height = 1 [default = 300]",
        "int32 width = 2 [default = 300]",
        "ResizeType resize_method = 3 [default = BILINEAR]",
        "bool convert_to_grayscale = 4 [default = false]",
    ],
    "ResizeType": {"BILINEAR": 0, "NEAREST_NEIGHBOR": 1, "BICUBIC": 2, "AREA": 3},
    "SsdFeatureExtractor": [
        "string type = 1",
        "float depth_multiplier = 2 [default = 1.0]",
        "int32 min_depth = 3 [default = 16]",
        "Hyperparams conv_hyperparams = 4",
        "int32 pad_to_multiple = 5 [default = 1]",
        "bool use_explicit_padding = 7 [default = false]",
        "bool use_depthwise = 8 [default = false]",
        "bool override_base_feature_extractor_hyperparams = 9 [default = false]",
        "oneof feature_pyramid_oneof: FeaturePyramidNetworks fpn = 10",
        "oneof feature_pyramid_oneof: BidirectionalFeaturePyramidNetworks bifpn = 19",
        "bool replace_preprocessor_with_placeholder = 11 [default = false]",
        "string spaghettinet_arch_name = 20",
        "int32 num_layers = 12 [default = 6]",
    ],
    "FeaturePyramidNetworks": [
        "int32 min_level = 1 [default = 3]",
        "int32 max_level = 2 [default = 7]",
        "int32 additional_layer_depth = 3 [default = 256]",
        "bool use_native_resize_op = 4 [default = false]",
    ],
    "BidirectionalFeaturePyramidNetworks": [
        "int32 min_level = 1 [default = 3]",
        "int32 max_level = 2 [default = 7]",
        "int32 num_iterations = 3",
        "int32 num_filters = 4",
        "string combine_method = 5 [default = fast_attention]",
    ],
    "Hyperparams": [
        "HyperparamsOp op = 1 [default = CONV]",
        "Ignored regularizer = 2",
        "Ignored initializer = 3",
        "Activation activation = 4 [default = RELU]",
        "oneof normalizer_oneof: BatchNorm batch_norm = 5",
        "bool regularize_depthwise = 6 [default = false]",
        "oneof normalizer_oneof: Ignored group_norm = 7",
        "bool force_use_bias = 8 [default = false]",
        "oneof normalizer_oneof: BatchNorm sync_batch_norm = 9",
    ],
    "HyperparamsOp": {"CONV": 1, "FC": 2},
    "Activation": {"NONE": 0, "RELU": 1, "RELU_6": 2, "SWISH": 3},
    "BatchNorm": [
        "float decay = 1 [default = 0.999]",
        "bool center = 2 [default = true]",
        "bool scale = 3 [default = false]",
        "float epsilon = 4 [default = 0.001]",
        "bool train = 5 [default = true]",
    ],
    "BoxCoder": [
        "oneof box_coder_oneof: FasterRcnnBoxCoder faster_rcnn_box_coder = 1",
        "oneof box_coder_oneof: Ignored mean_stddev_box_coder = 2",
        "oneof box_coder_oneof: Ignored square_box_coder = 3",
        "oneof box_coder_oneof: KeypointBoxCoder keypoint_box_coder = 4",
    ],
    "KeypointBoxCoder": [
        "int32 num_keypoints = 1",
        "float y_scale = 2 [default = 10.0]",
        "float x_scale = 3 [default = 10.0]",
        "float height_scale = 4 [default = 5.0]",
        "float width_scale = 5 [default = 5.0]",
    ],
    "FasterRcnnBoxCoder": [
        "float y_scale = 1 [default = 10.0]",
        "float x_scale = 2 [default = 10.0]",
        "float height_scale = 3 [default = 5.0]",
        "float width_scale = 4 [default = 5.0]",
    ],
    "BoxPredictor": [
        "oneof box_predictor_oneof: ConvolutionalBoxPredictor convolutional_box_predictor = 1",
        "oneof box_predictor_oneof: Ignored mask_rcnn_box_predictor = 2",
        "oneof box_predictor_oneof: Ignored rfcn_box_predictor = 3",
        "oneof box_predictor_oneof: WeightSharedConvolutionalBoxPredictor "
        "weight_shared_convolutional_box_predictor = 4",
    ],
    "ConvolutionalBoxPredictor": [
        "Hyperparams conv_hyperparams = 1",
        "int32 min_depth = 2 [default = 0]",
        "int32 max_depth = 3 [default = 0]",
        "int32 num_layers_before_predictor = 4 [default = 0]",
        "bool use_dropout = 5 [default = true]",
        "float dropout_keep_probability = 6 [default = 0.8]",
        "int32 kernel_size = 7 [default = 1]",
        "int32 box_code_size = 8 [default = 4]",
        "bool apply_sigmoid_to_scores = 9 [default = false]",
        "float class_prediction_bias_init = 10 [default = 0.0]",
        "bool use_depthwise = 11 [default = false]",
        "BoxEncodingsClipRange box_encodings_clip_range = 12",
    ],
    "WeightSharedConvolutionalBoxPredictor": [
        "Hyperparams conv_hyperparams = 1",
        "int32 depth = 2 [default = 0]",
        "int32 num_layers_before_predictor = 4 [default = 0]",
        "int32 kernel_size = 7 [default = 3]",
        "int32 box_code_size = 8 [default = 4]",
        "float class_prediction_bias_init = 10 [default = 0.0]",
        "bool use_dropout = 11 [default = false]",
        "float dropout_keep_probability = 12 [default = 0.8]",
        "bool share_prediction_tower = 13 [default = false]",
        "bool use_depthwise = 14 [default = false]",
        "ScoreConverter score_converter = 16 [default = IDENTITY]",
        "BoxEncodingsClipRange box_encodings_clip_range = 17",
        "bool apply_conv_hyperparams_to_heads = 19 [default = false]",
        "bool apply_conv_hyperparams_pointwise = 20 [default = false]",
    ],
    "BoxEncodingsClipRange": ["float min = 1", "float max = 2"],
    "AnchorGenerator": [
        "oneof anchor_generator_oneof: Ignored grid_anchor_generator = 1",
        "oneof anchor_generator_oneof: SsdAnchorGenerator ssd_anchor_generator = 2",
        "oneof anchor_generator_oneof: MultiscaleAnchorGenerator multiscale_anchor_generator = 3",
        "oneof anchor_generator_oneof: "
        "FlexibleGridAnchorGenerator flexible_grid_anchor_generator = 4",
    ],
    "MultiscaleAnchorGenerator": [
        "int32 min_level = 1 [default = 3]",
        "int32 max_level = 2 [default = 7]",
        "float anchor_scale = 3 [default = 4.0]",
        "repeated float aspect_ratios = 4",
        "int32 scales_per_octave = 5 [default = 2]",
        "bool normalize_coordinates = 6 [default = true]",
    ],
    "FlexibleGridAnchorGenerator": [
        "repeated AnchorGrid anchor_grid = 1",
        "bool normalize_coordinates = 2 [default = true]",
    ],
    "AnchorGrid": [
        "repeated float base_sizes = 1",
        "repeated float aspect_ratios = 2",
        "int32 height_stride = 3",
        "int32 width_stride = 4",
        "int32 height_offset = 5 [default = 0]",
        "int32 width_offset = 6 [default = 0]",
    ],
    "SsdAnchorGenerator": [
        "int32 num_layers = 1 [default = 6]",
        "float min_scale = 2 [default = 0.2]",
        "float max_scale = 3 [default = 0.95]",
        "repeated float aspect_ratios = 4",
        "bool reduce_boxes_in_lowest_layer = 5 [default = true]",
        "float base_anchor_height = 6 [default = 1.0]",
        "float base_anchor_width = 7 [default = 1.0]",
        "repeated int32 height_stride = 8",
        "repeated int32 width_stride = 9",
        "repeated int32 height_offset = 10",
        "repeated int32 width_offset = 11",
        "repeated float scales = 12",
        "float interpolated_scale_aspect_ratio = 13 [default = 1.0]",
    ],
    "PostProcessing": [
        "BatchNonMaxSuppression batch_non_max_suppression = 1",
        "ScoreConverter score_converter = 2 [default = IDENTITY]",
        "float logit_scale = 3 [default = 1.0]",
        "CalibrationConfig calibration_config = 4",
    ],
    "CalibrationConfig": [
        "oneof calibrator: Ignored function_approximation = 1",
        "oneof calibrator: Ignored class_id_function_approximations = 2",
        "oneof calibrator: Ignored sigmoid_calibration = 3",
        "oneof calibrator: Ignored class_id_sigmoid_calibrations = 4",
        "oneof calibrator: TemperatureScaling temperature_scaling_calibration = 5",
    ],
    "TemperatureScaling": ["float scaler = 1"],
    "ScoreConverter": {"IDENTITY": 0, "SIGMOID": 1, "SOFTMAX": 2},
    "BatchNonMaxSuppression": [
        "float score_threshold = 1 [default = 0.0]",
        "float iou_threshold = 2 [default = 0.6]",
        "int32 max_detections_per_class = 3 [default = 100]",
        "int32 max_total_detections = 5 [default = 100]",
        "bool use_static_shapes = 6 [default = false]",
        "bool use_class_agnostic_nms = 7 [default = false]",
        "int32 max_classes_per_detection = 8 [default = 1]",
        "float soft_nms_sigma = 9 [default = 0.0]",
        "bool use_partitioned_nms = 10 [default = false]",
        "bool use_combined_nms = 11 [default = false]",
        "bool change_coordinate_frame = 12 [default = true]",
        "bool use_hard_nms = 13 [default = false]",
        "bool use_cpu_nms = 14 [default = false]",
    ],
    "EvalConfig": ["bool use_moving_averages = 10 [default = false]"],
    "GraphRewriter": ["Quantization quantization = 1"],
    "Quantization": [
        "int32 delay = 1 [default = 500000]",
        "int32 weight_bits = 2 [default = 8]",
        "int32 activation_bits = 3 [default = 8]",
        "bool symmetric = 4 [default = false]",
    ],
}
