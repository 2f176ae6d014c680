"""The arrays that everybody names for a frozen detector go the road that works."""

import pytest

from flatshot.conversion.convert import convert
from flatshot.errors import ConfigError
from flatshot.formats.graphdef import Graph
from tests.frozen.exporter import Style, freeze

POSTPROCESS = [f"TFLite_Detection_PostProcess{end}" for end in ("", ":1", ":2", ":3")]
DETECTIONS = ["detection_boxes", "detection_classes", "detection_scores", "num_detections"]


@pytest.fixture(scope="module")
def frozen(tiny_graph: Graph) -> Graph:
    """The tiny detector as export_inference_graph.py leaves it."""
    return freeze(tiny_graph, Style())


@pytest.fixture(scope="module")
def plain(frozen: Graph) -> bytes:
    """The model without any array."""
    return bytes(convert(frozen).to_bytes())


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["image_tensor"], DETECTIONS),
        (["image_tensor:0"], [f"{name}:0" for name in DETECTIONS]),
        (["Preprocessor/sub"], DETECTIONS[:3]),
        (["normalized_input_image_tensor"], POSTPROCESS),
        (["ToFloat"], ["detection_boxes", "raw_detection_scores"]),
        ([], DETECTIONS),
        (["image_tensor"], []),
    ],
)
def test_names_of_the_whole_detector(
    frozen: Graph,
    plain: bytes,
    inputs: list[str],
    outputs: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same bytes as without them, and a word."""
    model = convert(frozen, input_arrays=inputs, output_arrays=outputs)
    assert bytes(model.to_bytes()) == plain
    assert "the arrays name the whole detector" in caplog.text


def test_an_input_within_the_detector(frozen: Graph) -> None:
    """Half of it is no model that runs: one piece of advice, the one that helps."""
    inner = next(node.name for node in frozen if node.op == "Conv2D")
    with pytest.raises(ConfigError, match=r"lies within it: leave input_arrays.*out"):
        convert(frozen, input_arrays=[inner], output_arrays=DETECTIONS)


def test_another_size_than_the_graphs(frozen: Graph) -> None:
    """Named as what it is, and once."""
    with pytest.raises(ConfigError, match=r"1,64,48,3 cannot be honoured.*images of 96 x 96") as no:
        convert(frozen, input_shapes=[(1, 64, 48, 3)])
    assert "\n" not in str(no.value)


def test_its_own_size_is_honoured(frozen: Graph, plain: bytes) -> None:
    """Nothing changes."""
    assert bytes(convert(frozen, input_shapes=[(1, 96, 96, 3)]).to_bytes()) == plain
