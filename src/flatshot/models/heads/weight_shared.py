"""The weight-shared convolutional box predictor: one head that walks over all feature maps.

Filters are shared by all maps, batch norm is each map's own. Source:
`object_detection/predictors/convolutional_{,keras_}box_predictor.py` and their heads.
"""

from collections.abc import Sequence
from dataclasses import replace

from flatshot.errors import ConfigError
from flatshot.models.activations import activate
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.predictor import WeightSharedConfig
from flatshot.models.heads.joining import clip, concat, reshape
from flatshot.models.layers import (
    BARE,
    add_bias,
    batch_norm,
    conv2d,
    identity,
    separable_conv2d,
)

SCOPE = "WeightSharedConvolutionalBoxPredictor"


def predict(
    builder: GraphBuilder,
    maps: Sequence[Tensor],
    anchors: Sequence[int],
    class_slots: int,
    config: WeightSharedConfig,
) -> tuple[Tensor, Tensor]:
    """The predictions from all feature maps; arguments and result as those of `heads.predict`.

    Raises:
        ConfigError: the maps have different numbers of anchors in a cell, which one head cannot
            serve.
    """
    if len(set(anchors)) > 1:
        raise ConfigError(
            "weight_shared_convolutional_box_predictor needs as many anchors in each cell of each "
            f"feature map, the anchor_generator gives {', '.join(map(str, anchors))}: with "
            "ssd_anchor_generator say reduce_boxes_in_lowest_layer: false"
        )
    depth = _common_depth(maps)
    boxes, classes = [], []
    for index, net in enumerate(maps):
        one = _Walk(builder, index, anchors[0], class_slots, config)
        encoded, scored = one.predict(net, depth)
        boxes.append(encoded)
        classes.append(scored)
    return concat(builder, boxes, "concat"), concat(builder, classes, "concat_1")


def _common_depth(maps: Sequence[Tensor]) -> int | None:
    """The depth that maps of different depths are brought to: the most frequent."""
    depths = [net.depth for net in maps]
    # Of several that are equally frequent the Object Detection API takes the first of a set, and
    # the order of small numbers in a set is always the same.
    return max(set(depths), key=depths.count) if len(set(depths)) > 1 else None


class _Walk:
    """The head at the feature map `index`: operations of its own, variables of all."""

    def __init__(
        self,
        builder: GraphBuilder,
        index: int,
        per_cell: int,
        class_slots: int,
        config: WeightSharedConfig,
    ) -> None:
        self._builder = builder
        self._index = index
        self._operations = f"{SCOPE}_{index}" if index else SCOPE
        self._per_cell = per_cell
        self._class_slots = class_slots
        self._config = config

    def predict(self, net: Tensor, depth: int | None) -> tuple[Tensor, Tensor]:
        """Box encodings (1, n, code size) and class predictions (1, n, classes).

        `depth` is what the map is brought to first, None where all maps have one depth.
        """
        if depth is not None:
            net = self._project(net, depth)
        if self._config.share_prediction_tower:
            tower = self._tower(net, "PredictionTower")
            return self._boxes(tower), self._classes(tower)
        boxes = self._boxes(self._tower(net, "BoxPredictionTower"))
        return boxes, self._classes(self._tower(net, "ClassPredictionTower"))

    def _project(self, net: Tensor, depth: int) -> Tensor:
        layer = f"ProjectionLayer/conv2d_{self._index}"
        return conv2d(
            self._builder,
            net,
            depth,
            1,
            1,
            f"{self._operations}/{layer}",
            replace(self._config.hyperparams, activation="NONE"),
            variable_scope=f"{SCOPE}/{layer}",
        )

    def _tower(self, net: Tensor, name: str) -> Tensor:
        """The layers before the last."""
        for number in range(self._config.num_layers_before_predictor):
            layer = f"{name}/conv2d_{number}"
            net = self._convolve(net, self._config.depth, layer)
            net = self._normalize(net, layer)
            net = self._activate(net, layer)
        return net

    def _normalize(self, net: Tensor, layer: str) -> Tensor:
        scope, variables = f"{self._operations}/{layer}", f"{SCOPE}/{layer}"
        norm = self._config.hyperparams.batch_norm
        if self._config.hyperparams.has_bias:
            net = add_bias(self._builder, net, scope, variables)
        if norm is None:
            return net
        net = identity(self._builder, net, f"{scope}/Identity")
        own = f"BatchNorm/feature_{self._index}"
        return batch_norm(self._builder, net, f"{scope}/{own}", f"{variables}/{own}", norm)

    def _activate(self, net: Tensor, layer: str) -> Tensor:
        activation = self._config.hyperparams.activation
        if activation != "RELU_6":
            return activate(self._builder, net, f"{self._operations}/{layer}", activation)
        # TensorFlow 1, which has no other here, makes it outside the layer.
        name = self._builder.unique(f"{self._operations}/Relu6")
        return self._builder.add("Relu6", name, [net], net.shape)

    def _boxes(self, net: Tensor) -> Tensor:
        config, code = self._config, self._config.box_code_size
        count = net.shape[1] * net.shape[2] * self._per_cell
        net = self._predictor(net, self._per_cell * code, "BoxPredictor")
        if config.clip_range:
            net = clip(self._builder, net, f"{self._operations}/clip_by_value", config.clip_range)
        return reshape(self._builder, net, f"{self._operations}/Reshape", (1, count, code))

    def _classes(self, net: Tensor) -> Tensor:
        builder, scope, slots = self._builder, self._operations, self._class_slots
        if self._config.use_dropout:
            net = identity(builder, net, f"{scope}/Dropout/Identity")
        net = self._predictor(net, self._per_cell * slots, "ClassPredictor")
        height, width = net.shape[1:3]
        shape = (1, height, width, self._per_cell, slots)
        net = reshape(builder, net, f"{scope}/Reshape_1", shape, shape)
        op = "Sigmoid" if self._config.score_converter == "SIGMOID" else "Identity"
        net = builder.add(op, f"{scope}/{op}", [net], net.shape)
        count = height * width * self._per_cell
        return reshape(builder, net, f"{scope}/Reshape_2", (1, count, slots))

    def _predictor(self, net: Tensor, depth: int, layer: str) -> Tensor:
        net = self._convolve(net, depth, layer)
        return add_bias(self._builder, net, f"{self._operations}/{layer}", f"{SCOPE}/{layer}")

    def _convolve(self, net: Tensor, depth: int, layer: str) -> Tensor:
        """The bare convolution of `layer`."""
        convolve = separable_conv2d if self._config.use_depthwise else conv2d
        return convolve(
            self._builder,
            net,
            depth,
            self._config.kernel_size,
            1,
            f"{self._operations}/{layer}",
            BARE,
            variable_scope=f"{SCOPE}/{layer}",
        )
