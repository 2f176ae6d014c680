"""Graphs that gave tracebacks or filled the memory: attacks 13 and 14."""

import ast
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import flatshot
from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.errors import FlatshotError, GraphError
from flatshot.formats import tfjs
from flatshot.formats.graphdef import Graph, Node
from tests.compiler.graphs import const, node
from tests.hostile.children import outcomes
from tests.hostile.samples import constant, placeholder

USE = """
import flatshot
from flatshot.inspection.inspect import inspect
limit()
for path in sys.argv[1:]:
    tell(lambda: inspect(path).kind)
    tell(lambda: len(flatshot.load_graph(path).to_bytes()))
    tell(lambda: len(flatshot.convert(flatshot.load_graph(path)).to_bytes()))
"""


def laid_out(folder: Path, source: Path) -> Path:
    """A file of the campaign that found these, as the files of a model."""
    content = source.read_bytes()
    place = folder / source.stem
    place.mkdir()
    if source.name.startswith("graph.pb"):
        (place / "graph.pb").write_bytes(content)
        return place / "graph.pb"
    parts = ast.literal_eval(content.decode("latin-1"))
    if source.name.startswith("tfjs"):
        (place / "model.json").write_bytes(parts[0])
        (place / "group1-shard1of1.bin").write_bytes(parts[1])
        return place / "model.json"
    (place / "variables").mkdir()
    names = ["saved_model.pb", "variables/variables.index"]
    (place / names[parts[0]]).write_bytes(parts[1])
    return place


def test_graphs_that_gave_tracebacks(data: Path, tmp_path: Path) -> None:
    """Each is used or refused, never more."""
    files = sorted((data / "attacks" / "13-graph-foreign").glob("*.bin"))
    assert len(files) >= 10
    lines = outcomes(USE, *(laid_out(tmp_path, path) for path in files))
    assert len(lines) == 3 * len(files)
    assert sum(line.startswith("REFUSED") for line in lines) > len(files)


def evaluated(nodes: Sequence[Node]) -> Evaluation:
    """What is known of these nodes before they run."""
    return Evaluation(Graph(tuple(nodes)), {})


def test_what_is_computed_before_the_graph_runs_is_bounded_in_sum() -> None:
    """Each of these is within the bound, and twenty are not."""
    count = 2**22
    ends = [const("zero", 0), const("end", count), const("one", 1)]
    many = [node(f"r{k}", "Range", "zero", "end", "one") for k in range(20)]
    known = evaluated([*ends, *many])
    assert known.value("r0").data is not None
    with pytest.raises(GraphError, match="bytes of the graph would have to be computed"):
        _ = [known.value(one.name) for one in many]


@pytest.mark.parametrize(
    ("op", "inputs"),
    [("Greater", ("row", "column")), ("Pow", ("row", "column")), ("BroadcastTo", ("one", "huge"))],
)
def test_products_of_what_is_small_are_refused(op: str, inputs: tuple[str, str]) -> None:
    """Before NumPy makes room for them."""
    nodes = [
        constant("row", np.zeros((1, 2**20)), np.int32),
        constant("column", np.zeros((2**20, 1)), np.int32),
        constant("one", 1, np.int32),
        constant("huge", [2**20, 2**20], np.int32),
        Node("out", op, inputs, {}),
    ]
    with pytest.raises(GraphError, match=r"'out' has 1099511627776 elements"):
        evaluated(nodes).value("out")


def test_folding_is_bounded_in_sum() -> None:
    """A graph of three kilobytes stays a model of kilobytes, however often it fills."""
    side = 2048
    nodes = [placeholder(1, side, side, 1)]
    last = "x"
    for k in range(20):
        nodes += [
            constant(f"d{k}", [1, side, side, 1], np.int32),
            constant(f"v{k}", float(k)),
            Node(f"f{k}", "Fill", (f"d{k}", f"v{k}"), {}),
            Node(f"a{k}", "Add", (last, f"f{k}"), {}),
        ]
        last = f"a{k}"
    nodes.append(Node("out", "Relu", (last,), {}))
    model = flatshot.convert(Graph(tuple(nodes)), output_arrays=["out"]).to_bytes()
    assert len(model) < (1 << 26) + (1 << 20)


@pytest.mark.parametrize(
    "attr",
    ['{"s": "\\ud800"}', '{"i": "99999999999999999999"}', '{"type": 99999999999}', '{"f": "x"}'],
)
def test_attributes_that_cannot_be_written_are_not_read(attr: str) -> None:
    """Of a TensorFlow.js model; what is read can be written as a GraphDef."""
    node_text = f'{{"name": "x", "op": "Placeholder", "attr": {{"a": {attr}}}}}'
    try:
        graph = tfjs.read_model(f'{{"modelTopology": {{"node": [{node_text}]}}}}', {})
    except FlatshotError:
        return
    graph.to_bytes()


@pytest.mark.parametrize("shaped", [False, True])
def test_a_node_that_is_not_there_is_named(shaped: bool) -> None:
    """Also where shapes are worked out on the way."""
    nodes = [placeholder(1, 4), node("y", "AddV2", "x", "gone"), node("out", "Relu", "y")]
    if shaped:
        nodes += [node("s", "Shape", "y"), node("r", "Reshape", "out", "s")]
    with pytest.raises(GraphError, match="'y' reads 'gone', which is not in the graph"):
        flatshot.convert(Graph(tuple(nodes)), output_arrays=["r" if shaped else "out"])


def test_an_output_that_is_not_there_is_named() -> None:
    """Also where shapes are worked out on the way."""
    nodes = [placeholder(1, 4), node("s", "Shape", "x"), node("y", "Reshape", "x", "s")]
    with pytest.raises(GraphError, match="there is no node 'gone' to be an output"):
        flatshot.convert(Graph(tuple(nodes)), output_arrays=["gone"])
