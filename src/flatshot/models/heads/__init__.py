"""Heads: from feature maps to box encodings and class logits."""

from collections.abc import Sequence

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.predictor import BoxPredictorConfig, ConvolutionalConfig
from flatshot.models.heads import convolutional, weight_shared


def predict(
    builder: GraphBuilder,
    maps: Sequence[Tensor],
    anchors: Sequence[int],
    class_slots: int,
    config: BoxPredictorConfig,
) -> tuple[Tensor, Tensor]:
    """The predictions from all feature maps.

    Args:
        builder: the graph to add to.
        maps: the feature maps, finest first.
        anchors: the number of anchors in a cell of each.
        class_slots: classes, the background counted where the model has one.
        config: the section `box_predictor`.

    Returns:
        Box encodings (1, N, code size) and class predictions (1, N, class_slots) of the N anchors,
        in the order map, row, column, anchor.
    """
    if isinstance(config, ConvolutionalConfig):
        return convolutional.predict(builder, maps, anchors, class_slots, config)
    return weight_shared.predict(builder, maps, anchors, class_slots, config)
