"""`flatshot.convert` of every kind of source: each argument is honoured, or refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flatshot.compiler.compile import Model
from flatshot.conversion.convert import convert
from flatshot.errors import ConfigError, GraphError
from flatshot.formats.custom_options import read_options
from flatshot.formats.detector_graph import INPUT, POSTPROCESS, RAW_OUTPUTS
from flatshot.formats.graphdef import Graph
from tests.frozen.exporter import Style, freeze


@pytest.fixture(scope="module")
def frozen(tiny_graph: Graph) -> Graph:
    """The tiny detector as export_inference_graph.py leaves it."""
    return freeze(tiny_graph, Style())


def _options(model: Model) -> dict[str, Any]:
    data = model.tflite.subgraphs[0].operators[-1].custom_options
    assert data is not None
    return dict(read_options(data))


def test_a_checkpoint_a_file_and_a_graph_give_the_same(
    tiny: Path, tiny_graph: Graph, tiny_model: Model, tmp_path: Path
) -> None:
    """Whatever holds the detector."""
    path, text = tiny_graph.save(tmp_path)
    settings = {"max_detections": 100, "use_regular_nms": True}
    expected = bytes(tiny_model.to_bytes())
    assert bytes(convert(tiny, postprocess=settings).to_bytes()) == expected
    assert bytes(convert(str(path)).to_bytes()) == expected
    assert bytes(convert(text).to_bytes()) == expected


def test_settings_reach_every_kind(tiny: Path, tiny_graph: Graph, frozen: Graph) -> None:
    """By option key or keyword; what is not given stays as the source has it."""
    settings = {"max_detections": 7, "score_threshold": 0.25, "nms": "fast"}
    for source, overlap in ((tiny, 0.6), (tiny_graph, 0.6), (frozen, 0.55)):
        options = _options(convert(source, postprocess=settings))
        assert options["max_detections"] == 7
        assert options["nms_score_threshold"] == 0.25
        assert not options["use_regular_nms"]
        assert options["nms_iou_threshold"] == pytest.approx(overlap)


def test_auto_is_what_the_source_says(tiny: Path, tiny_graph: Graph, frozen: Graph) -> None:
    """The configuration's total, the exported operator's, the frozen graph's."""
    for source, count in ((tiny, 100), (tiny_graph, 100), (frozen, 90)):
        options = _options(convert(source, postprocess={"max_detections": "auto"}))
        assert options["max_detections"] == count


def test_what_cannot_be_honoured_is_an_error(tiny: Path, tiny_graph: Graph, frozen: Graph) -> None:
    """On every road; nothing is dropped in silence."""
    config = tiny / "pipeline.config"
    shape = (1, 96, 96, 3)
    raw = ["Squeeze"]
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (tiny_graph, {"pipeline_config": config}, "exported already"),
        (tiny_graph, {"config_override": "model {}"}, "exported already"),
        (frozen, {"config_override": "model {}"}, "give its path"),
        (frozen, {"input_shapes": [shape, shape]}, "one image"),
        (frozen, {"output_arrays": raw, "postprocess": {"nms": "fast"}}, "^postprocess cannot"),
        (frozen, {"output_arrays": raw, "pipeline_config": config}, "^pipeline_config cannot"),
        (tiny_graph, {"cut": True, "output_arrays": RAW_OUTPUTS}, "both say"),
        *(
            (source, {"postprocess": {"max_detection": 3}}, "did you mean max_detections")
            for source in (tiny, tiny_graph, frozen)
        ),
    ]
    for source, arguments, message in cases:
        with pytest.raises(ConfigError, match=message):
            convert(source, **arguments)
    with pytest.raises(GraphError, match=r"is \[1, 96, 96, 3\], not \[1, 64, 64, 3\]"):
        convert(tiny_graph, input_shapes=[(1, 64, 64, 3)])


def test_a_graph_without_the_operator_has_no_settings(tiny_graph: Graph) -> None:
    """Raw outputs are an exported graph too."""
    raw = Graph(tuple(node for node in tiny_graph if node.name != POSTPROCESS))
    assert convert(raw).tflite.subgraphs[0].outputs is not None
    with pytest.raises(ConfigError, match="nms_score_threshold could be set of"):
        convert(raw, postprocess={"score_threshold": 0.5})


def test_an_input_may_be_named_with_its_output(tiny_graph: Graph) -> None:
    """`name:0` is `name`, as TensorFlow has it."""
    renamed = Graph(
        tuple(
            replace(node, inputs=tuple(f"{t}:0" if t == INPUT else t for t in node.inputs))
            for node in tiny_graph
        )
    )
    model = convert(renamed, input_arrays=[f"{INPUT}:0"], output_arrays=RAW_OUTPUTS)
    assert bytes(model.to_bytes()) == bytes(convert(tiny_graph, cut=True).to_bytes())
