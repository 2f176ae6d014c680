"""The convolutional box predictor: from each feature map by heads of its own.

Source: `object_detection/predictors/convolutional_box_predictor.py` and its heads.
"""

from collections.abc import Sequence

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.predictor import ConvolutionalConfig
from flatshot.models.heads.joining import clip, concat, reshape, squeeze_boxes
from flatshot.models.layers import LINEAR, conv2d, depthwise_conv2d, identity


def predict(
    builder: GraphBuilder,
    maps: Sequence[Tensor],
    anchors: Sequence[int],
    class_slots: int,
    config: ConvolutionalConfig,
) -> tuple[Tensor, Tensor]:
    """The predictions from all feature maps; arguments and result as those of `heads.predict`."""
    # With one map the Object Detection API opens no scope for it.
    scopes = [f"BoxPredictor_{index}/" for index in range(len(maps))] if len(maps) > 1 else [""]
    boxes, classes = [], []
    for net, scope, per_cell in zip(maps, scopes, anchors, strict=True):
        one = _Head(builder, scope, per_cell, class_slots, config)
        encoded, scored = one.predict(net)
        boxes.append(encoded)
        classes.append(scored)
    joined = squeeze_boxes(builder, concat(builder, boxes, "concat"))
    return joined, concat(builder, classes, "concat_1")


class _Head:
    """The head of one feature map, in the scope `scope` (empty, or ending in a slash)."""

    def __init__(
        self,
        builder: GraphBuilder,
        scope: str,
        per_cell: int,
        class_slots: int,
        config: ConvolutionalConfig,
    ) -> None:
        self._builder = builder
        self._scope = scope
        self._per_cell = per_cell
        self._class_slots = class_slots
        self._config = config

    def predict(self, net: Tensor) -> tuple[Tensor, Tensor]:
        """Box encodings (1, n, 1, code size) and class predictions (1, n, classes)."""
        builder, config, scope = self._builder, self._config, self._scope
        net = self._before(net)
        count = net.shape[1] * net.shape[2] * self._per_cell
        code = config.box_code_size
        boxes = self._convolve(net, self._per_cell * code, "BoxEncodingPredictor")
        if config.clip_range:
            boxes = clip(builder, boxes, f"{scope}clip_by_value", config.clip_range)
        boxes = reshape(builder, boxes, f"{scope}Reshape", (1, count, 1, code))

        if config.use_dropout:
            net = identity(builder, net, f"{scope}Dropout/Identity")
        classes = self._convolve(net, self._per_cell * self._class_slots, "ClassPredictor")
        if config.apply_sigmoid_to_scores:
            classes = builder.add("Sigmoid", f"{scope}Sigmoid", [classes], classes.shape)
        classes = reshape(builder, classes, f"{scope}Reshape_1", (1, count, self._class_slots))
        return boxes, classes

    def _before(self, net: Tensor) -> Tensor:
        """The layers before the predictors.

        Their depth is that of the feature map, within the limits; 0 means no such layers.
        """
        config = self._config
        depth = max(min(net.depth, config.max_depth), config.min_depth)
        for number in range(config.num_layers_before_predictor if depth else 0):
            name = f"{self._scope}Conv2d_{number}_1x1_{depth}"
            net = conv2d(self._builder, net, depth, 1, 1, name, config.hyperparams)
        return net

    def _convolve(self, net: Tensor, depth: int, name: str) -> Tensor:
        config, scope = self._config, f"{self._scope}{name}"
        if not config.use_depthwise:
            return conv2d(self._builder, net, depth, config.kernel_size, 1, scope, LINEAR)
        filtered = depthwise_conv2d(
            self._builder, net, config.kernel_size, 1, f"{scope}_depthwise", config.hyperparams
        )
        return conv2d(self._builder, filtered, depth, 1, 1, scope, LINEAR)
