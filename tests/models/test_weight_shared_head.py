"""The weight-shared box predictor: one set of filters, batch norm for each map, fields."""

import numpy as np
import pytest

from flatshot.errors import ConfigError
from flatshot.formats.graphdef import Graph
from tests.models.configs import built, reads, shape, ssd, value, variables

SCOPE = "WeightSharedConvolutionalBoxPredictor"
NORM = "conv_hyperparams { batch_norm { scale: true } }"
EVEN = ssd("anchor_generator { ssd_anchor_generator { reduce_boxes_in_lowest_layer: false } }")


def _built(text: str, *overrides: str) -> Graph:
    """The tiny detector with a shared head that says `text`."""
    head = f"box_predictor {{ weight_shared_convolutional_box_predictor {{ {text} }} }}"
    return built(ssd(head), EVEN, *overrides)


def test_filters_are_shared_and_batch_norm_is_not() -> None:
    """The filter of a tower is read by all six maps; each has statistics of its own."""
    graph = _built(f"depth: 8 num_layers_before_predictor: 2 {NORM}")
    readers = [n.name for n in graph if f"{SCOPE}/BoxPredictor/weights/read" in n.inputs]
    names = [f"{SCOPE}/BoxPredictor/Conv2D"]
    names += [f"{SCOPE}_{n}/BoxPredictor/Conv2D" for n in range(1, 6)]
    assert readers == names
    layer = f"{SCOPE}/ClassPredictionTower/conv2d_1"
    assert shape(graph, f"{layer}/weights") == (3, 3, 8, 8)
    for number in range(6):
        assert shape(graph, f"{layer}/BatchNorm/feature_{number}/gamma") == (8,)
    norm = f"{SCOPE}_3/ClassPredictionTower/conv2d_1/BatchNorm/feature_3/FusedBatchNormV3"
    assert f"{layer}/BatchNorm/feature_3/gamma/read" in graph.by_name[norm].inputs
    assert not any(name.endswith("biases") and "Tower" in name for name in variables(graph))


def test_maps_of_different_depths_are_projected_to_the_most_frequent() -> None:
    """Of 128, 256, 128, 64, 64, 32: 128 and 64 twice each, and the API's choice among those."""
    graph = _built(f"depth: 8 num_layers_before_predictor: 1 {NORM}")
    depths = {shape(graph, f"{SCOPE}/ProjectionLayer/conv2d_{n}/weights")[3] for n in range(6)}
    assert depths == {max({128, 256, 64, 32}, key=[128, 256, 128, 64, 64, 32].count)}
    assert shape(graph, f"{SCOPE}/ProjectionLayer/conv2d_4/BatchNorm/gamma") == (*depths,)


def test_one_tower_for_both() -> None:
    """Both last layers read it."""
    graph = _built(f"depth: 8 num_layers_before_predictor: 1 share_prediction_tower: true {NORM}")
    boxes, classes = (
        reads(graph, f"{SCOPE}_2/{name}/Conv2D")[0].name
        for name in ("BoxPredictor", "ClassPredictor")
    )
    assert boxes == classes == f"{SCOPE}_2/Relu6"
    assert not any("BoxPredictionTower" in name for name in variables(graph))


def test_towers_without_batch_norm_have_biases_and_always_relu6() -> None:
    """Whatever activation the section names."""
    graph = _built(
        "depth: 8 num_layers_before_predictor: 2 kernel_size: 5 "
        "conv_hyperparams { activation: NONE }"
    )
    assert shape(graph, f"{SCOPE}/BoxPredictionTower/conv2d_0/biases") == (8,)
    assert shape(graph, f"{SCOPE}/BoxPredictionTower/conv2d_0/weights")[:2] == (5, 5)
    names = [n.name for n in graph if n.op == "Relu6" and n.name.startswith(f"{SCOPE}/")]
    assert names == [f"{SCOPE}/Relu6", *(f"{SCOPE}/Relu6_{n}" for n in (1, 2, 3))]


def test_separable_filters() -> None:
    """In towers and last layers; nothing stands between their two convolutions."""
    graph = _built(f"depth: 8 num_layers_before_predictor: 1 use_depthwise: true {NORM}")
    scope = f"{SCOPE}/ClassPredictor"
    assert shape(graph, f"{scope}/depthwise_weights") == (3, 3, 8, 1)
    assert shape(graph, f"{scope}/pointwise_weights") == (1, 1, 8, 6 * 4)
    first = reads(graph, f"{scope}/separable_conv2d")[0]
    assert first.name == f"{scope}/separable_conv2d/depthwise"


def test_reshapes_and_the_heads_own_score_converter() -> None:
    """Boxes have no axis for classes; classes are converted in five dimensions."""
    graph = _built("score_converter: SIGMOID")
    assert value(graph, f"{SCOPE}/Reshape/shape").tolist() == [1, -1, 4]
    assert value(graph, f"{SCOPE}_1/Reshape_1/shape").tolist() == [1, 3, 3, 6, 4]
    assert graph.by_name[f"{SCOPE}_1/Sigmoid"].inputs == (f"{SCOPE}_1/Reshape_1",)
    assert not any(node.op == "Squeeze" for node in graph)
    plain = _built("")
    assert plain.by_name[f"{SCOPE}_1/Identity"].op == "Identity"


def test_clipping_and_dropout() -> None:
    """Boxes alone are clipped, and dropout leaves an identity before the classes alone."""
    graph = _built("box_encodings_clip_range { min: -3 max: 2 } use_dropout: true")
    assert value(graph, f"{SCOPE}_4/clip_by_value/y") == np.float32(-3)
    assert reads(graph, f"{SCOPE}_4/Reshape")[0].name == f"{SCOPE}_4/clip_by_value"
    before = reads(graph, f"{SCOPE}_4/ClassPredictor/Conv2D")[0]
    assert before.name == f"{SCOPE}_4/Dropout/Identity"


def test_every_map_needs_as_many_anchors() -> None:
    """One head cannot give three to the first map and six to the others."""
    head = "box_predictor { weight_shared_convolutional_box_predictor { } }"
    with pytest.raises(
        ConfigError, match=r"gives 3, 6, 6, 6, 6, 6: .* reduce_boxes_in_lowest_layer"
    ):
        built(ssd(head))


def test_layers_need_a_depth() -> None:
    """Before anything is built."""
    with pytest.raises(ConfigError, match="depth must be above 0"):
        _built("num_layers_before_predictor: 1")
