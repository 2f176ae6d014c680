"""Networks of TensorFlow 2: what differs from those of TensorFlow 1, and every configuration."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from flatshot.errors import ConfigError, UnsupportedError
from flatshot.formats import normalization
from flatshot.formats.detector_graph import INPUT
from flatshot.formats.graphdef import Graph
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.backbones import mobilenet_v1, mobilenet_v2
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import (
    BifpnConfig,
    CombineMethod,
    FeatureExtractorConfig,
    FpnConfig,
)
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph
from flatshot.models.extractors import load_extractor
from flatshot.models.necks.bifpn import bifpn_maps
from tests.conftest import TEST_DATA

CONFIGS = sorted((Path(TEST_DATA or "nowhere") / "configs" / "tf2").glob("*.config"))
# Its user set 48 x 48 pixels, whose levels 6, 3 and 2 upstream cannot add up either.
TOO_SMALL = "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8"
NORM = Hyperparams(BatchNorm(), "RELU_6")


def extractor_config(multiplier: float, min_depth: int) -> FeatureExtractorConfig:
    """A section of which only the depths matter."""
    return FeatureExtractorConfig(
        type="any",
        depth_multiplier=multiplier,
        min_depth=min_depth,
        num_layers=6,
        use_depthwise=False,
        use_explicit_padding=False,
        pad_to_multiple=1,
        override_base_hyperparams=False,
        hyperparams=NORM,
        fpn=FpnConfig(),
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_of_the_zoo_is_built(path: Path) -> None:
    """Or refused for the reason for which upstream cannot build it either."""
    if path.stem == TOO_SMALL:
        with pytest.raises(ConfigError, match="with 48 pixels the levels of the feature pyramid"):
            read_config(load_pipeline(path))
        return
    config = read_config(load_pipeline(path))
    assert load_extractor(config.feature_extractor.type).keras
    assert len(build_graph(config, None)) > 900


def test_a_padded_square_is_the_input_and_said_aloud(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`keep_aspect_ratio_resizer`; without its padding the input has no size."""
    path = data / "configs" / "tf2" / "ssd_efficientdet_d0_512x512_coco17_tpu-8.config"
    assert read_config(load_pipeline(path)).input_shape == (1, 512, 512, 3)
    assert "512 x 512, to which images are stretched" in caplog.text
    override = "keep_aspect_ratio_resizer { pad_to_max_dimension: false }"
    with pytest.raises(UnsupportedError, match=r"keep_aspect_ratio_resizer: .* one input size"):
        read_config(load_pipeline(path, f"model {{ ssd {{ image_resizer {{ {override} }} }} }}"))


def pixels(graph: Graph) -> tuple[list[float], list[float]]:
    """Scale and offset that a graph's input names."""
    record = graph.by_name[INPUT].attrs[normalization.ATTRIBUTE]
    assert isinstance(record, bytes)
    scale, offset = normalization.read_normalization(record, 3)
    return list(scale), list(offset)


def test_pixels_of_efficientdet_are_standardised(data: Path) -> None:
    """And those of a grey image are taken as they are, as upstream does."""
    path = data / "families2" / "small_resnet50_fpn" / "pipeline.config"
    assert pixels(build_graph(read_config(load_pipeline(path)), None)) == (
        [1.0, 1.0, 1.0],
        [-123.68, -116.779, -103.939],
    )
    grey = "image_resizer { fixed_shape_resizer { convert_to_grayscale: true } }"
    config = read_config(load_pipeline(path, f"model {{ ssd {{ {grey} }} }}"))
    assert pixels(build_graph(config, None)) == ([1.0] * 3, [0.0] * 3)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("depth_multiplier: 0.5", "depth_multiplier: .* is built with 1 only"),
        ("use_depthwise: true", "use_depthwise: .* is built with false only"),
        ("bifpn { min_level: 6 }", "bifpn.min_level: 6; the network has layers of the levels 1"),
        ("bifpn { combine_method: 'mean' }", "combine_method: 'mean'; known: fast_attention"),
        ("bifpn { num_iterations: 0 }", "num_iterations must lie in 1..100"),
        ("bifpn { max_level: 10 }", "let 1024 divide it"),
    ],
)
def test_what_efficientdet_cannot_be_built_with_is_refused(
    data: Path, override: str, reason: str
) -> None:
    """With the field's name."""
    path = data / "families2" / "ssd_efficientdet_d0_512x512_fixed" / "pipeline.config"
    text = f"model {{ ssd {{ feature_extractor {{ {override} }} }} }}"
    with pytest.raises((ConfigError, UnsupportedError), match=reason):
        read_config(load_pipeline(path, text))


def test_keras_counts_the_channels_of_mobilenet_v1_twice() -> None:
    """The trap: 64 x 0.5 is 32 in TensorFlow 1 and 16 in TensorFlow 2; narrow layers once."""
    config = extractor_config(0.5, 8)
    assert mobilenet_v1.slim_widths(config)[:2] == [16, 32]
    assert mobilenet_v1.keras_widths(config)[:2] == [8, 16]
    narrow = mobilenet_v1.keras_widths(config, mobilenet_v1.NARROW_DEPTHS)
    assert narrow[-3:] == [128, 256, 128]


def test_keras_adds_the_input_of_a_block_by_its_own_count() -> None:
    """Below `min_depth` maps have equal depths and are not added: Keras does not know of it."""
    blocks = mobilenet_v2.keras_widths(extractor_config(0.25, 16)).blocks
    assert [depth for _, depth in blocks[:4]] == [16, 16, 16, 16]
    assert not any(block.residual for block, _ in blocks[1:6])
    without = mobilenet_v2.keras_widths(extractor_config(0.25, 8)).blocks
    assert without[2][0].residual


class Weights:
    """Combine weights 1, 2, 3 and zeros for all else."""

    def __contains__(self, name: object) -> bool:
        return True

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """The value of a variable, here always of combine weights."""
        count = 3 if re.search(r"_up_lvl_4/", name) else 2
        return np.arange(1, count + 1, dtype=np.float32)[:, np.newaxis]


@pytest.mark.parametrize(
    ("combine", "factors"),
    [
        ("fast_attention", [1 / 3.0001, 2 / 3.0001]),
        ("weighted_sum", [1.0, 2.0]),
        ("attention", []),
        ("sum", []),
    ],
)
def test_maps_are_weighed_as_the_method_says(combine: CombineMethod, factors: list[float]) -> None:
    """Upstream's softmax has one element to a row: each weight becomes 1."""
    config = BifpnConfig(min_level=3, max_level=5, iterations=1, depth=4, combine=combine)
    builder = GraphBuilder(Weights())
    image = builder.placeholder("image", (1, 8, 8, 4))
    half = builder.add("MaxPool", "half", [image], (1, 4, 4, 4))
    quarter = builder.add("MaxPool", "quarter", [half], (1, 2, 2, 4))
    bare = Hyperparams(None, "NONE", use_bias=False)
    maps = bifpn_maps(builder, [image, half, quarter], config, bare)
    assert [net.shape for net in maps] == [(1, 8, 8, 4), (1, 4, 4, 4), (1, 2, 2, 4)]
    found = [
        node.attrs["value"]
        for node in builder._nodes.values()
        if re.search(r"node_00/1_dn_lvl_4/combine/mul_\d/y", node.name)
    ]
    np.testing.assert_allclose(np.array(found, np.float32), factors, rtol=1e-6)
    assert isinstance(maps[0], Tensor)


def test_keras_pads_no_kernel_of_one(data: Path) -> None:
    """Slim pads the last layer by nothing, which is an operator all the same."""
    path = data / "families2" / "tiny_ssd_v2" / "pipeline.config"
    text = "model { ssd { feature_extractor { use_explicit_padding: true } } }"
    graph = build_graph(read_config(load_pipeline(path, text)), None)
    assert sum(node.op == "Pad" for node in graph) == 1 + 17 + 4
