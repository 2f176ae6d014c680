"""Feature and pooling pyramids: levels, depths, names, and how they are upsampled."""

import pytest

from flatshot.errors import ConfigError
from flatshot.formats.graphdef import Graph
from tests.models.configs import built, extractor, reads, shape, ssd

FPN = "FeatureExtractor/MobilenetV1/fpn"
SIZE = ssd("image_resizer { fixed_shape_resizer { height: 128 width: 128 } }")
HEAD = ssd("box_predictor { weight_shared_convolutional_box_predictor { } }")


def _pyramid(fields: str, levels: tuple[int, int] = (3, 7), *overrides: str) -> Graph:
    low, high = levels
    anchors = (
        f"anchor_generator {{ multiscale_anchor_generator {{ min_level: {low} max_level: {high} "
        "aspect_ratios: 1 } }"
    )
    network = extractor(f"type: 'ssd_mobilenet_v1_fpn' {fields}")
    return built(SIZE, HEAD, ssd(anchors), network, *overrides)


def test_levels_three_to_seven() -> None:
    """Three projections, two smoothings, two coarse layers of the coarsest map."""
    graph = _pyramid("fpn { }")
    layers = [n.name.removeprefix(f"{FPN}/") for n in graph if n.op == "Conv2D" and FPN in n.name]
    assert layers == [
        *("top_down/projection_3/Conv2D", "top_down/projection_2/Conv2D"),
        *("top_down/smoothing_2/Conv2D", "top_down/projection_1/Conv2D"),
        *("top_down/smoothing_1/Conv2D", "bottom_up_Conv2d_14/Conv2D"),
        "bottom_up_Conv2d_15/Conv2D",
    ]
    assert shape(graph, f"{FPN}/projection_1/weights") == (1, 1, 64, 64)
    assert shape(graph, f"{FPN}/projection_3/biases") == (64,)
    first = reads(graph, f"{FPN}/bottom_up_Conv2d_14/Conv2D")[0]
    assert first.name == f"{FPN}/top_down/projection_3/BiasAdd"
    maps = [reads(graph, n.name)[0] for n in graph if n.name.endswith("/BoxPredictor/Conv2D")]
    assert maps[2].name == f"{FPN}/top_down/projection_3/BiasAdd"


@pytest.mark.parametrize(
    ("levels", "projections", "coarse"),
    [((2, 4), 3, 0), ((4, 5), 2, 0), ((5, 6), 1, 1), ((3, 8), 3, 3)],
)
def test_other_levels(levels: tuple[int, int], projections: int, coarse: int) -> None:
    """The backbone has the levels 2 to 5; what lies beyond is made of the coarsest."""
    low, high = levels
    graph = _pyramid(
        f"fpn {{ min_level: {low} max_level: {high} additional_layer_depth: 40 }}", levels
    )
    names = [n.name for n in graph if n.op == "Conv2D" and FPN in n.name]
    assert sum("projection" in name for name in names) == projections
    assert sum("bottom_up" in name for name in names) == coarse
    assert shape(graph, f"{FPN}/projection_1/biases") == (10,)


def test_upsampling_with_and_without_the_section() -> None:
    """One operator where the exporter rewrites it; without `fpn` it leaves stacks."""
    up = f"{FPN}/top_down/nearest_neighbor_upsampling"
    graph = _pyramid("fpn { }")
    assert graph.by_name[f"{up}/resize_nearest_neighbor"].op == "ResizeNearestNeighbor"
    native = _pyramid("fpn { use_native_resize_op: true }")
    assert native.by_name[f"{up}_1/ResizeNearestNeighbor"].op == "ResizeNearestNeighbor"
    plain = _pyramid("")
    ops = [n.op for n in plain if n.name.startswith(f"{up}_1/")]
    assert ops == ["Pack", "Pack", "Const", "Reshape"]


def test_explicit_padding_crops_to_the_finer_map() -> None:
    """So that sizes which are no halves fit."""
    size = ssd("image_resizer { fixed_shape_resizer { height: 100 width: 128 } }")
    graph = _pyramid("fpn { } use_explicit_padding: true", (3, 7), size)
    for number, add in ((2, "add"), (5, "add_1")):
        crop = graph.by_name[f"{FPN}/top_down/strided_slice_{number}"]
        assert (crop.attrs["begin_mask"], crop.attrs["end_mask"]) == (0b1111, 0b1001)
        assert graph.by_name[f"{FPN}/top_down/{add}"].inputs[0] == crop.name
    with pytest.raises(ConfigError, match=r"with 100 pixels .* let 32 divide it \(pad_to_multiple"):
        _pyramid("fpn { }", (3, 7), size)
    padded = _pyramid("fpn { } pad_to_multiple: 32", (3, 7), size)
    assert "FeatureExtractor/MobilenetV1/zeros" in padded.by_name


def test_depthwise_makes_the_backbones_end_narrow() -> None:
    """And the 3x3 filters of the pyramid separable."""
    graph = _pyramid("fpn { } use_depthwise: true")
    assert shape(graph, f"{FPN}/smoothing_1/depthwise_weights") == (3, 3, 64, 1)
    last = "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise/weights"
    assert shape(graph, last) == (1, 1, 128, 64)
    assert shape(_pyramid("fpn { }"), last) == (1, 1, 256, 256)


def test_a_pooling_pyramid() -> None:
    """Six maps of one layer; what comes after it is not in the graph."""
    even = "anchor_generator { ssd_anchor_generator { reduce_boxes_in_lowest_layer: false } }"
    graph = built(HEAD, ssd(even), extractor("type: 'ssd_mobilenet_v1_ppn'"))
    pools = [n for n in graph if n.op == "MaxPool"]
    assert [n.attrs["ksize"] for n in pools] == [[1, 2, 2, 1]] * 5
    assert pools[0].inputs == (
        "FeatureExtractor/MobilenetV1/MobilenetV1/Conv2d_11_pointwise/Relu6",
    )
    assert pools[4].inputs == ("FeatureExtractor/MobilenetV1/MaxPool2d_3_2x2/MaxPool",)
    assert not any("Conv2d_13" in n.name for n in graph)
