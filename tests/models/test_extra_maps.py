"""Extra feature maps: depths, names, sizes."""

import pytest

from tests.models.configs import built, extractor, layers, shape

BASE = "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise"


@pytest.mark.parametrize(
    ("multiplier", "min_depth", "squeezed", "depths"),
    [
        (1.0, 16, (256, 128, 128, 64), (512, 256, 256, 128)),
        (0.75, 16, (192, 96, 96, 48), (384, 192, 192, 96)),
        (0.25, 32, (64, 32, 32, 32), (128, 64, 64, 32)),
        (0.05, 8, (12, 8, 8, 8), (25, 12, 12, 8)),
    ],
)
def test_depths(
    multiplier: float, min_depth: int, squeezed: tuple[int, ...], depths: tuple[int, ...]
) -> None:
    """int(depth x multiplier), at least min_depth; the 1x1 takes half of the unscaled depth."""
    graph = built(extractor(f"depth_multiplier: {multiplier} min_depth: {min_depth}"))
    before = shape(graph, f"{BASE}/weights")[3]
    for index, (narrow, wide) in enumerate(zip(squeezed, depths, strict=True), start=2):
        first = f"{BASE}_1_Conv2d_{index}_1x1_{narrow}/weights"
        assert shape(graph, first) == (1, 1, before, narrow)
        second = f"{BASE}_2_Conv2d_{index}_3x3_s2_{wide}"
        assert shape(graph, f"{second}/weights") == (3, 3, narrow, wide)
        assert graph.by_name[f"{second}/Conv2D"].attrs["strides"] == [1, 2, 2, 1]
        before = wide


def test_depthwise() -> None:
    """A depthwise 3x3 of stride 2 and a 1x1, both with batch norm and activation."""
    graph = built(extractor("use_depthwise: true"))
    name = f"{BASE}_2_Conv2d_2_3x3_s2_128"
    assert shape(graph, f"{name}_depthwise/depthwise_weights") == (3, 3, 64, 1)
    assert shape(graph, f"{name}/weights") == (1, 1, 64, 128)
    assert graph.by_name[f"{name}_depthwise/depthwise"].attrs["strides"] == [1, 2, 2, 1]
    assert graph.by_name[f"{name}/Conv2D"].inputs[0] == f"{name}_depthwise/Relu6"


@pytest.mark.parametrize("count", [2, 3, 5])
def test_fewer_layers(count: int) -> None:
    """As many extra maps as the configuration has layers beyond the two of the backbone."""
    graph = built(layers(count))
    extra = [n.name for n in graph if "_3x3_s2_" in n.name and n.op == "Conv2D"]
    assert len(extra) == count - 2
