"""MobileNet V1 and V2: depths, layers, hyperparameters, against the rules of their papers' code."""

import pytest

from flatshot.demo.tiny import PIPELINE
from flatshot.errors import UnsupportedError
from flatshot.formats.graphdef import Graph
from flatshot.models.depths import make_divisible
from flatshot.models.export import build_graph
from flatshot.models.extractors import known_extractors
from tests.models.configs import built, config, extractor, layers, reads, shape, value, variables

V1, V2 = "FeatureExtractor/MobilenetV1", "FeatureExtractor/MobilenetV2"
IS_V2 = extractor('type: "ssd_mobilenet_v2"')
OVERRIDE = "override_base_feature_extractor_hyperparams: true"


def test_known_extractors() -> None:
    """One file each; another type is refused with the list."""
    assert {"ssd_mobilenet_v1", "ssd_mobilenet_v2"} <= set(known_extractors())
    with pytest.raises(UnsupportedError, match=r"'ssd_vgg' is not built yet; known: .*mobilenet"):
        config(extractor('type: "ssd_vgg"'))


# --- V1 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("multiplier", "min_depth", "depths"),
    [
        # Conv2d_0, then the pointwise depths where they change: layers 1, 2, 4, 6, 12
        (1.0, 16, (32, 64, 128, 256, 512, 1024)),
        (0.75, 16, (24, 48, 96, 192, 384, 768)),
        (0.5, 8, (16, 32, 64, 128, 256, 512)),
        (0.35, 16, (16, 22, 44, 89, 179, 358)),
        (0.25, 8, (8, 16, 32, 64, 128, 256)),
        (0.25, 32, (32, 32, 32, 64, 128, 256)),
        (1.4, 16, (44, 89, 179, 358, 716, 1433)),
    ],
)
def test_v1_depths(multiplier: float, min_depth: int, depths: tuple[int, ...]) -> None:
    """int(depth x multiplier), at least min_depth."""
    graph = built(extractor(f"depth_multiplier: {multiplier} min_depth: {min_depth}"))
    first, *pointwise = depths
    assert shape(graph, f"{V1}/Conv2d_0/weights") == (3, 3, 3, first)
    changes = dict(zip((1, 2, 4, 6, 12), pointwise, strict=True))
    depth = first
    for number in range(1, 14):
        scope = f"{V1}/Conv2d_{number}"
        assert shape(graph, f"{scope}_depthwise/depthwise_weights") == (3, 3, depth, 1)
        after = changes.get(number, depth)
        assert shape(graph, f"{scope}_pointwise/weights") == (1, 1, depth, after)
        depth = after


def test_v1_strides() -> None:
    """Two in the first layer and in four of the depthwise ones."""
    graph = built()
    twos = [
        n.name for n in graph if n.attrs.get("strides") == [1, 2, 2, 1] and "13_point" not in n.name
    ]
    numbers = [name.split("/")[3] for name in twos]
    assert numbers == ["Conv2d_0", *(f"Conv2d_{n}_depthwise" for n in (2, 4, 6, 12))]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("base", ["", IS_V2])
def test_num_layers(base: str, count: int) -> None:
    """So many predictors, the first on the finest map; what none of them reads is not built."""
    graph = built(base, layers(count))
    heads = [n.name for n in graph if n.name.endswith("BoxEncodingPredictor/Conv2D")]
    assert len(heads) == count
    last = f"{V2}/Conv_1" if base else f"{V1}/Conv2d_13_pointwise"
    assert (f"{last}/weights" in graph.by_name) == (count > 1)
    finest = reads(graph, heads[0])[0].name
    want = (
        f"{V2}/expanded_conv_13/expansion_output"
        if base
        else f"{V1}/MobilenetV1/Conv2d_11_pointwise/Relu6"
    )
    assert finest == want


def test_v1_ignores_the_configs_hyperparameters_unless_told() -> None:
    """The backbone has its own; the extra maps always take the config's."""
    norm = "conv_hyperparams { activation: RELU batch_norm { scale: false epsilon: 0.5 } }"
    graph = built(extractor(norm))
    backbone = f"{V1}/MobilenetV1/Conv2d_0"
    assert f"{backbone}/Relu6" in graph.by_name
    assert f"{V1}/Conv2d_0/BatchNorm/gamma" in graph.by_name
    assert graph.by_name[f"{backbone}/BatchNorm/FusedBatchNormV3"].attrs["epsilon"] == 0.001
    extra = f"{V1}/Conv2d_13_pointwise_1_Conv2d_2_1x1_64"
    assert f"{extra}/Relu" in graph.by_name
    assert f"{extra}/BatchNorm/gamma" not in graph.by_name
    assert graph.by_name[f"{extra}/BatchNorm/FusedBatchNormV3"].attrs["epsilon"] == 0.5


def _without_norm(*overrides: str) -> Graph:
    """The tiny detector without batch norm in its hyperparameters, changed by `overrides`."""
    norm = "batch_norm { scale: true epsilon: 0.001 }"
    assert norm in PIPELINE
    return build_graph(config(" ".join(overrides), PIPELINE.replace(norm, "")), None)


@pytest.mark.parametrize(
    ("activation", "op"), [("RELU", "Relu"), ("RELU_6", "Relu6"), ("NONE", None)]
)
def test_v1_override_of_the_activation(activation: str, op: str | None) -> None:
    """All layers of the backbone take it."""
    graph = built(extractor(f"{OVERRIDE} conv_hyperparams {{ activation: {activation} }}"))
    kinds = {n.op for n in graph if n.name.startswith(V1)} & {"Relu", "Relu6"}
    assert kinds == ({op} if op else set())


def test_v1_override_without_batch_norm() -> None:
    """The backbone then has biases, as TF-Slim gives them."""
    graph = _without_norm(extractor(OVERRIDE))
    assert shape(graph, f"{V1}/Conv2d_0/biases") == (8,)
    assert shape(graph, f"{V1}/Conv2d_1_depthwise/biases") == (8,)
    assert not any("BatchNorm" in node.name for node in graph)


def test_v1_override_of_scale_and_center() -> None:
    """There are no such variables; ones and zeros stand in."""
    norm = "conv_hyperparams { batch_norm { scale: false center: false } }"
    graph = built(extractor(f"{OVERRIDE} {norm}"))
    names = {name.rpartition("/")[2] for name in variables(graph) if name.startswith(V1)}
    assert names == {"weights", "depthwise_weights", "moving_mean", "moving_variance"}
    assert set(value(graph, f"{V1}/MobilenetV1/Conv2d_0/BatchNorm/Const_1")) == {1}


# --- V2 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "divisor", "minimum", "want"),
    [
        (32 * 0.35, 8, None, 16),  # 8 would be more than 10 % lower
        (24 * 0.35, 8, None, 8),
        (16 * 0.35, 8, None, 8),
        (89.6, 8, None, 88),
        (12, 8, None, 16),  # halves go up
        (11.2, 8, 16, 16),
        (200, 8, 16, 200),
        (17, 1, None, 17),
    ],
)
def test_make_divisible(value: float, divisor: int, minimum: int | None, want: int) -> None:
    """To the nearest multiple, never under the minimum nor 10 % lower."""
    assert make_divisible(value, divisor, minimum) == want


V2_BLOCKS = (0, 1, 3, 6, 10, 13, 16)  # the first of each depth


@pytest.mark.parametrize(
    ("multiplier", "min_depth", "first", "depths", "last"),
    [
        (1.0, 16, 32, (16, 24, 32, 64, 96, 160, 320), 1280),
        (1.4, 16, 48, (24, 32, 48, 88, 136, 224, 448), 1792),
        (0.75, 8, 24, (16, 24, 24, 48, 72, 120, 240), 960),
        (0.75, 16, 24, (16, 24, 24, 48, 72, 120, 240), 960),
        (0.5, 8, 16, (8, 16, 16, 32, 48, 80, 160), 640),
        (0.35, 8, 16, (8, 8, 16, 24, 32, 56, 112), 448),
        (0.35, 32, 32, (32, 32, 32, 32, 32, 56, 112), 448),
    ],
)
def test_v2_depths(
    multiplier: float, min_depth: int, first: int, depths: tuple[int, ...], last: int
) -> None:
    """The published widths of MobileNet V2; expansion is six times the input of a block."""
    text = f"depth_multiplier: {multiplier} min_depth: {min_depth}"
    graph = built(IS_V2, extractor(text))
    assert shape(graph, f"{V2}/Conv/weights") == (3, 3, 3, first)
    starts = dict(zip(V2_BLOCKS, depths, strict=True))
    depth = first
    for number in range(17):
        scope = f"{V2}/expanded_conv" + (f"_{number}" if number else "")
        inner = depth * (6 if number else 1)
        if number:
            assert shape(graph, f"{scope}/expand/weights") == (1, 1, depth, inner)
        else:
            assert f"{scope}/expand/weights" not in graph.by_name
        after = starts.get(number, depth)
        assert shape(graph, f"{scope}/depthwise/depthwise_weights") == (3, 3, inner, 1)
        assert shape(graph, f"{scope}/project/weights") == (1, 1, inner, after)
        residual = number not in V2_BLOCKS or (number in (10, 16) and after == depth)
        residual = residual or (number == 0 and after == depth)
        assert (f"{scope}/add" in graph.by_name) == residual
        depth = after
    assert shape(graph, f"{V2}/Conv_1/weights") == (1, 1, depth, last)


def test_v2_projections_are_linear() -> None:
    """No activation after them, and the tap is the expansion of block 13."""
    graph = built(IS_V2)
    project = f"{V2}/expanded_conv_13/project"
    assert f"{project}/BatchNorm/FusedBatchNormV3" in graph.by_name
    assert not any(n.name.startswith(project) and n.op == "Relu6" for n in graph)
    head = reads(graph, "BoxPredictor_0/BoxEncodingPredictor/Conv2D")[0]
    assert head.name == f"{V2}/expanded_conv_13/expansion_output"


def test_v2_override_changes_epsilon_alone() -> None:
    """`V2_DEF` stands inside the config's scope: activation, gamma and beta are the network's."""
    text = "activation: RELU batch_norm { scale: false center: false epsilon: 0.5 }"
    graph = built(IS_V2, extractor(f"{OVERRIDE} conv_hyperparams {{ {text} }}"))
    scope = f"{V2}/Conv"
    assert f"{scope}/Relu6" in graph.by_name
    assert {f"{scope}/BatchNorm/gamma", f"{scope}/BatchNorm/beta"} <= set(variables(graph))
    assert graph.by_name[f"{scope}/BatchNorm/FusedBatchNormV3"].attrs["epsilon"] == 0.5
    # the extra maps take the whole of it
    extra = f"{V2}/layer_19_1_Conv2d_2_1x1_64"
    assert f"{extra}/Relu" in graph.by_name
    assert f"{extra}/BatchNorm/gamma" not in variables(graph)


def test_v2_keeps_its_batch_norm_where_the_config_has_none() -> None:
    """With the network's own epsilon; the extra maps have biases."""
    graph = _without_norm(IS_V2, extractor(OVERRIDE))
    norm = graph.by_name[f"{V2}/Conv/BatchNorm/FusedBatchNormV3"]
    assert norm.attrs["epsilon"] == 0.001
    assert f"{V2}/layer_19_1_Conv2d_2_1x1_64/biases" in variables(graph)
