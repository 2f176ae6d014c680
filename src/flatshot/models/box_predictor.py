"""The convolutional box predictor: from each feature map to box encodings and class logits.

Source: `object_detection/predictors/convolutional_box_predictor.py` and its heads.
"""

import numpy as np

from flatshot.formats.graphdef import DataType
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.detection_config import BoxPredictorConfig
from flatshot.models.layers import LINEAR, conv2d, depthwise_conv2d


def predict(
    builder: GraphBuilder,
    net: Tensor,
    scope: str,
    anchors_per_cell: int,
    class_slots: int,
    config: BoxPredictorConfig,
) -> tuple[Tensor, Tensor]:
    """The predictions from one feature map.

    Returns:
        Box encodings (1, anchors, 1, 4) and class predictions (1, anchors, class_slots), where
        anchors = height x width x `anchors_per_cell`, in the order row, column, anchor.
    """
    for number in range(config.num_layers_before_predictor):
        # The depth is that of the feature map, within the limits; 0 means no such layers.
        depth = max(min(net.depth, config.max_depth), config.min_depth)
        if depth:
            name = f"{scope}/Conv2d_{number}_1x1_{depth}"
            net = conv2d(builder, net, depth, 1, 1, name, config.hyperparams)
    count = net.shape[1] * net.shape[2] * anchors_per_cell

    boxes = _head(
        builder,
        net,
        anchors_per_cell * config.box_code_size,
        f"{scope}/BoxEncodingPredictor",
        config,
    )
    if config.clip_range:
        boxes = _clip(builder, boxes, f"{scope}/clip_by_value", config.clip_range)
    boxes = _reshape(builder, boxes, f"{scope}/Reshape", (1, count, 1, config.box_code_size))

    classes = _head(builder, net, anchors_per_cell * class_slots, f"{scope}/ClassPredictor", config)
    if config.apply_sigmoid_to_scores:
        classes = builder.add("Sigmoid", f"{scope}/Sigmoid", [classes], classes.shape)
    classes = _reshape(builder, classes, f"{scope}/Reshape_1", (1, count, class_slots))
    return boxes, classes


def _head(
    builder: GraphBuilder, net: Tensor, depth: int, scope: str, config: BoxPredictorConfig
) -> Tensor:
    if not config.use_depthwise:
        return conv2d(builder, net, depth, config.kernel_size, 1, scope, LINEAR)
    name = f"{scope}_depthwise"
    net = depthwise_conv2d(builder, net, config.kernel_size, 1, name, config.hyperparams)
    return conv2d(builder, net, depth, 1, 1, scope, LINEAR)


def _clip(builder: GraphBuilder, net: Tensor, name: str, clip_range: tuple[float, float]) -> Tensor:
    low, high = (np.array(limit, np.float32) for limit in clip_range)
    top = builder.constant(f"{name}/Minimum/y", high)
    net = builder.add("Minimum", f"{name}/Minimum", [net, top], net.shape)
    bottom = builder.constant(f"{name}/y", low)
    return builder.add("Maximum", name, [net, bottom], net.shape)


def _reshape(builder: GraphBuilder, net: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    # TensorFlow leaves the number of anchors to be inferred.
    target = builder.constant(f"{name}/shape", np.array((1, -1, *shape[2:]), np.int32))
    return builder.add("Reshape", name, [net, target], shape, {"Tshape": DataType.DT_INT32})
