"""The convolutional box predictor: each field of its section reaches the graph."""

import numpy as np
import pytest

from flatshot.formats.graphdef import Graph, Node
from tests.models.configs import built, layers, predictor, reads, shape, ssd, value, variables


def _chain(graph: Graph, name: str) -> list[Node]:
    """The nodes from `name` back along first inputs to the feature map."""
    nodes = [graph.by_name[name]]
    while nodes[-1].name.startswith("BoxPredictor"):
        nodes.append(graph.by_name[nodes[-1].inputs[0]])
    return nodes


def test_plain_heads() -> None:
    """A convolution with bias for each; boxes keep an axis for the code."""
    graph = built()
    head = "BoxPredictor_1/BoxEncodingPredictor"
    ops = [node.op for node in _chain(graph, "BoxPredictor_1/Reshape")]
    assert ops == ["Reshape", "BiasAdd", "Conv2D", "Relu6"]
    assert shape(graph, f"{head}/weights") == (1, 1, 256, 6 * 4)
    assert shape(graph, "BoxPredictor_1/ClassPredictor/weights") == (1, 1, 256, 6 * 4)
    assert shape(graph, "BoxPredictor_0/ClassPredictor/biases") == (3 * 4,)
    assert value(graph, "BoxPredictor_1/Reshape/shape").tolist() == [1, -1, 1, 4]
    assert value(graph, "BoxPredictor_1/Reshape_1/shape").tolist() == [1, -1, 4]


def test_kernel_size() -> None:
    """Of both heads."""
    graph = built(predictor("kernel_size: 3"))
    for head in ("BoxEncodingPredictor", "ClassPredictor"):
        assert shape(graph, f"BoxPredictor_0/{head}/weights")[:2] == (3, 3)


def test_num_classes_and_background() -> None:
    """One more channel an anchor with a background class."""
    name = "BoxPredictor_0/ClassPredictor/weights"
    assert shape(built(ssd("num_classes: 7")), name)[3] == 3 * 8
    assert shape(built(ssd("num_classes: 7 add_background_class: false")), name)[3] == 3 * 7


def test_use_depthwise() -> None:
    """A depthwise convolution with the section's hyperparameters, then a 1x1 with bias."""
    norm = "conv_hyperparams { batch_norm { scale: true } }"
    graph = built(predictor(f"use_depthwise: true kernel_size: 3 {norm}"))
    scope = "BoxPredictor_0/ClassPredictor"
    assert shape(graph, f"{scope}_depthwise/depthwise_weights") == (3, 3, 128, 1)
    assert shape(graph, f"{scope}/weights") == (1, 1, 128, 12)
    ops = [node.op for node in _chain(graph, "BoxPredictor_0/Reshape_1")]
    assert ops == [
        *("Reshape", "BiasAdd", "Conv2D"),
        *("Relu6", "FusedBatchNormV3", "DepthwiseConv2dNative", "Relu6"),
    ]


@pytest.mark.parametrize(
    ("limits", "depths"),
    [
        ("max_depth: 64", (64, 64, 64)),
        ("max_depth: 1000", (128, 256, 128)),
        ("min_depth: 200", (200, 200, 200)),
        ("min_depth: 100 max_depth: 200", (128, 200, 128)),
    ],
)
def test_layers_before_the_predictor(limits: str, depths: tuple[int, ...]) -> None:
    """Depth of the map, at most max_depth, at least min_depth; shared by both heads."""
    graph = built(predictor(f"num_layers_before_predictor: 2 {limits}"))
    for index, (depth, before) in enumerate(zip(depths, (128, 256, 128), strict=True)):
        scope = f"BoxPredictor_{index}"
        first, second = (f"{scope}/Conv2d_{number}_1x1_{depth}" for number in (0, 1))
        assert shape(graph, f"{first}/weights") == (1, 1, before, depth)
        assert shape(graph, f"{second}/weights") == (1, 1, depth, depth)
        for head in ("BoxEncodingPredictor", "ClassPredictor"):
            assert reads(graph, f"{scope}/{head}/Conv2D")[0].name == f"{second}/Relu6"


def test_no_depth_means_no_layers_before() -> None:
    """As upstream: without min_depth and max_depth there are none."""
    assert variables(built(predictor("num_layers_before_predictor: 2"))) == variables(built())


def test_dropout_leaves_an_identity_before_the_classes() -> None:
    """It does nothing at inference."""
    graph = built(predictor("use_dropout: true"))
    (before,) = (
        n for n in reads(graph, "BoxPredictor_1/ClassPredictor/Conv2D") if "Drop" in n.name
    )
    assert (before.name, before.op) == ("BoxPredictor_1/Dropout/Identity", "Identity")
    assert not any("Dropout" in n.name for n in built())


def test_one_feature_map_has_no_scope_of_its_own() -> None:
    """As upstream; and joining one part is an identity."""
    graph = built(layers(1))
    assert shape(graph, "ClassPredictor/weights") == (1, 1, 128, 3 * 4)
    assert graph.by_name["concat/concat"].op == "Identity"
    assert reads(graph, "Squeeze")[0].name == "concat/concat"


def test_clip_range() -> None:
    """Box encodings are clipped before they are reshaped, by two constants."""
    graph = built(predictor("box_encodings_clip_range { min: -10 max: 5 }"))
    ops = [node.op for node in _chain(graph, "BoxPredictor_0/Reshape")]
    assert ops == ["Reshape", "Maximum", "Minimum", "BiasAdd", "Conv2D", "Relu6"]
    (bottom,) = (
        node for node in reads(graph, "BoxPredictor_0/clip_by_value") if node.op == "Const"
    )
    assert value(graph, bottom.name) == np.float32(-10)
    (top,) = (n for n in reads(graph, "BoxPredictor_0/clip_by_value/Minimum") if n.op == "Const")
    assert value(graph, top.name) == np.float32(5)
    assert not any("clip" in n.name for n in _chain(graph, "BoxPredictor_0/Reshape_1"))


def test_apply_sigmoid_to_scores() -> None:
    """Of the classes only, before the score converter."""
    graph = built(predictor("apply_sigmoid_to_scores: true"))
    assert _chain(graph, "BoxPredictor_0/Reshape_1")[1].op == "Sigmoid"
    assert _chain(graph, "BoxPredictor_0/Reshape")[1].op == "BiasAdd"
    assert "Sigmoid" not in {node.op for node in _chain(built(), "BoxPredictor_0/Reshape_1")}
