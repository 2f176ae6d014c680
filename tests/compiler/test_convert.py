"""The public `convert`: defaults, the cut model, what is saved."""

from pathlib import Path

import numpy as np
import pytest

from flatshot.compiler.compile import Model, default_outputs
from flatshot.conversion.convert import convert
from flatshot.errors import FileError, UnsupportedError, UnsupportedOpError
from flatshot.formats import tflite
from flatshot.formats.custom_options import read_options
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.graphdef import Graph, read_binary, read_text
from tests import litert
from tests.compiler.graphs import const, graph, placeholder
from tests.compiler.graphs import node as make

RAW = ("raw_outputs/box_encodings", "raw_outputs/class_predictions")


def _outputs(model: Model) -> list[str]:
    subgraph = model.tflite.subgraphs[0]
    return [subgraph.tensors[n].name for n in tflite.indices(subgraph.outputs)]


def test_default_outputs(tiny_graph: Graph) -> None:
    """The operator's four; the raw ones where it is cut off or not there."""
    four = (POSTPROCESS, *(f"{POSTPROCESS}:{k}" for k in (1, 2, 3)))
    assert default_outputs(tiny_graph, cut=False) == four
    assert default_outputs(tiny_graph, cut=True) == RAW
    without = Graph(tiny_graph.nodes[:-1])
    assert default_outputs(without, cut=False) == RAW


def test_a_graph_of_something_else_must_name_its_outputs() -> None:
    """The message says how."""
    source = graph(placeholder("x", 3), make("y", "Relu", "x"))
    for cut in (False, True):
        with pytest.raises(UnsupportedError, match=r"decodes boxes.*'y'.*with --output_arrays"):
            convert(source, cut=cut)
    assert _outputs(convert(source, output_arrays=["y"])) == ["y"]


def test_the_cut_model_keeps_anchors_and_options(tiny_graph: Graph, tiny_model: Model) -> None:
    """As metadata, so that post-processing can be done elsewhere."""
    cut = convert(tiny_graph, cut=True)
    assert _outputs(cut) == list(RAW)
    read = tflite.read_model(bytes(cut.to_bytes()))
    kept = {item.name: read.buffers[item.buffer].data for item in read.metadata}
    anchors, options = kept["anchors"], kept[POSTPROCESS]
    assert anchors is not None
    assert options is not None
    want = tiny_graph.by_name["anchors"].attrs["value"]
    assert isinstance(want, np.ndarray)
    assert anchors.tobytes() == want.tobytes()
    operator = tiny_model.tflite.subgraphs[0].operators[-1]
    assert operator.custom_options is not None
    assert read_options(options) == read_options(operator.custom_options)
    assert [entry.name for entry in tiny_model.tflite.metadata] == ["TFLITE_METADATA"]


def test_outputs_by_name(tiny_graph: Graph, rng: np.random.Generator) -> None:
    """The raw outputs of a graph that has the operator, in the order asked for."""
    model = convert(tiny_graph, output_arrays=RAW[::-1])
    assert _outputs(model) == list(RAW[::-1])
    image = rng.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    scores, boxes = litert.run(model.to_bytes(), image)
    assert boxes.shape[2] == scores.shape[2] == 4
    assert 0 <= scores.min() <= scores.max() <= 1


def test_binary_and_text_give_the_same_model(tiny_graph: Graph, tiny_model: Model) -> None:
    """`.pb` and `.pbtxt` hold the same graph."""
    want = tiny_model.to_bytes()
    assert convert(read_binary(tiny_graph.to_bytes())).to_bytes() == want
    assert convert(read_text(b"".join(tiny_graph.to_text()))).to_bytes() == want


def test_the_graph_is_left_as_it_was(tiny_graph: Graph) -> None:
    """Converting twice gives the same: constants never change."""
    before = tiny_graph.to_bytes()
    first = bytes(convert(tiny_graph).to_bytes())
    assert tiny_graph.to_bytes() == before
    assert bytes(convert(tiny_graph).to_bytes()) == first


def test_save_and_summary(tiny_model: Model, tmp_path: Path) -> None:
    """The file holds the bytes; a place that cannot be written is named."""
    path = tiny_model.save(tmp_path / "a.tflite")
    assert path.read_bytes() == tiny_model.to_bytes()
    assert tiny_model.summary().startswith("64 operators, 176 tensors, ")
    assert "arithmetic operations" in tiny_model.summary()
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        tiny_model.save(tmp_path / "file" / "a.tflite")


def test_unknown_operators_are_refused_whole() -> None:
    """Nothing is converted by halves."""
    source = graph(placeholder("x", 3), make("y", "Erf", "x"))
    with pytest.raises(UnsupportedOpError, match=r"Erf \(y\)"):
        convert(source, output_arrays=["y"])


def test_names_that_collide_with_made_ones(rng: np.random.Generator) -> None:
    """A graph that has `s_shape` already gets another name for ours."""
    source = graph(
        placeholder("x", 1, 3),
        const("s_shape", [2.0, 3.0, 4.0]),
        make("s", "Squeeze", "x"),
        make("y", "Mul", "s", "s_shape"),
    )
    image = rng.normal(0, 1, (1, 3)).astype(np.float32)
    (got,) = litert.run(convert(source, output_arrays=["y"]).to_bytes(), image)
    np.testing.assert_array_equal(got, image[0] * np.array([2, 3, 4], np.float32))


def test_the_whole_detector_runs(tiny_model: Model, rng: np.random.Generator) -> None:
    """Boxes, classes, scores and their number, of the sizes that were asked for."""
    image = rng.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    boxes, classes, scores, count = litert.run(tiny_model.to_bytes(), image)
    assert (boxes.shape, classes.shape, scores.shape) == ((1, 100, 4), (1, 100), (1, 100))
    found = int(count[0])
    assert 0 <= found <= 100
    assert (np.diff(scores[0, :found]) <= 0).all()
