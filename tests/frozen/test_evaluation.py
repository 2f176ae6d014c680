"""What is known of a graph before it runs: shapes, and what follows from them and constants."""

from typing import Any

import numpy as np
import pytest

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.folding import fold_shapes
from flatshot.compiler.importer import Boundary
from flatshot.compiler.ir import Value
from flatshot.errors import FlatshotError, GraphError, UnsupportedOpError
from flatshot.formats.graphdef import Array, DataType, Graph
from tests.compiler.graphs import const, graph, placeholder
from tests.compiler.graphs import node as make

INTS, FLOATS = [7, -7, 0, 3], [1.5, -2.5, 0.0, 4.0]


def _evaluation(*nodes: Any) -> Evaluation:
    """A graph fed with an image of 1 x 5 x 6 x 3 called x."""
    fed = {"x": Value("x", (1, 5, 6, 3), np.dtype(np.float32))}
    return Evaluation(graph(*nodes), fed)


def _value(*nodes: Any) -> Array:
    data = _evaluation(*nodes).constant("y")
    assert data is not None
    return data


@pytest.mark.parametrize(
    ("op", "operands", "want"),
    [
        ("Range", (2, 11, 3), [2, 5, 8]),
        ("Range", (0.5, 2.0, 0.5), [0.5, 1.0, 1.5]),
        ("Prod", (INTS, [0]), 0),
        ("Sum", (INTS, [0]), 3),
        ("Max", (INTS, 0), 7),
        ("Min", (FLOATS, 0), -2.5),
        ("Greater", (INTS, 2), [True, False, False, True]),
        ("GreaterEqual", (INTS, 3), [True, False, False, True]),
        ("Less", (INTS, 0), [False, True, False, False]),
        ("LessEqual", (INTS, 0), [False, True, True, False]),
        ("Equal", (INTS, 0), [False, False, True, False]),
        ("NotEqual", (INTS, 0), [True, True, False, True]),
        ("FloorDiv", (INTS, 2), [3, -4, 0, 1]),
        ("FloorMod", (INTS, 4), [3, 1, 0, 3]),
        ("TruncateDiv", (INTS, 2), [3, -3, 0, 1]),
        ("Div", (INTS, 2), [3, -3, 0, 1]),
        ("Div", (FLOATS, 2.0), [0.75, -1.25, 0, 2]),
        ("DivNoNan", (FLOATS, 0.0), [0, 0, 0, 0]),
        ("Floor", (FLOATS,), [1, -3, 0, 4]),
        ("Ceil", (FLOATS,), [2, -2, 0, 4]),
        ("Round", (FLOATS,), [2, -2, 0, 4]),
        ("Pow", (2.0, FLOATS), [2**1.5, 2**-2.5, 1, 16]),
        ("Reciprocal", ([0.5, 4.0],), [2, 0.25]),
        ("Log", ([1.0],), [0]),
        ("ZerosLike", (INTS,), [0, 0, 0, 0]),
        ("OnesLike", (INTS,), [1, 1, 1, 1]),
        ("InvertPermutation", ([2, 0, 1],), [1, 2, 0]),
        ("BroadcastTo", (5, [2, 2]), [[5, 5], [5, 5]]),
        ("Select", (np.array([True, False]), [1, 2], [3, 4]), [1, 4]),
        ("SelectV2", (np.array(False), [1, 2], [3, 4]), [3, 4]),
        ("LogicalAnd", (np.array([True, True]), np.array([True, False])), [True, False]),
        ("LogicalOr", (np.array([False, True]), np.array([False, False])), [False, True]),
        ("LogicalNot", (np.array([False, True]),), [True, False]),
        ("All", (np.array([False, True]), [0]), False),
        ("Any", (np.array([False, True]), [0]), True),
    ],
)
def test_arithmetic(op: str, operands: tuple[object, ...], want: object) -> None:
    """As TensorFlow documents it; integers are divided towards 0."""
    constants = [const(f"c{number}", value) for number, value in enumerate(operands)]
    got = _value(constants, make("y", op, *(f"c{number}" for number in range(len(operands)))))
    np.testing.assert_allclose(got, np.asarray(want), rtol=1e-6)  # of float32
    if op not in ("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual", "Select"):
        first = np.asarray(constants[0].attrs["value"])
        assert got.dtype == first.dtype or op == "SelectV2"


def test_shapes_are_known_of_what_is_fed() -> None:
    """Shape, Rank and Size say what the image is, whatever is in it."""
    assert _value(make("y", "Shape", "x")).tolist() == [1, 5, 6, 3]
    assert _value(make("y", "Shape", "x", out_type=DataType.DT_INT64)).dtype == np.int64
    assert _value(make("y", "Rank", "x")) == 4
    assert _value(make("y", "Size", "x")) == 90


def test_shapes_follow_operators() -> None:
    """Through a convolution's stride, and into the anchors of its cells."""
    nodes = [
        const("w", np.zeros((3, 3, 3, 4), np.float32)),
        make("conv", "Conv2D", "x", "w", strides=[1, 2, 2, 1], padding=b"SAME"),
        make("sides", "Shape", "conv"),
        make("parts", "Unpack", "sides", num=4),
        const("zero", 0),
        const("one", 1),
        make("rows", "Range", "zero", "parts:1", "one"),
        make("y", "Cast", "rows", DstT=DataType.DT_FLOAT),
    ]
    assert _value(*nodes).tolist() == [0, 1, 2]
    found = _evaluation(*nodes)
    assert found.value("conv").dims == (1, 3, 3, 4)
    assert found.constant("conv") is None


def test_parts_of_other_sizes() -> None:
    """SplitV takes the rest where a size is -1."""
    nodes = [const("v", list(range(9))), const("sizes", [2, -1, 3]), const("axis", 0)]
    found = _evaluation(nodes, make("y", "SplitV", "v", "sizes", "axis"))
    assert [found.value(t).dims for t in ("y", "y:1", "y:2")] == [(2,), (4,), (3,)]


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        ([make("y", "Mystery")], UnsupportedOpError, "Mystery 'y'"),
        ([make("y", "Relu", "y")], GraphError, "cycle through node 'y'"),
        ([make("y", "Floor", "x")], GraphError, "'x' is known only at run time"),
        ([make("y", "Relu", "x", "x")], GraphError, "'y' has 2 inputs"),
        ([const("a", [1, 2]), make("y", "Greater", "a", "b"), const("b", [1, 2, 3])],
         GraphError, "cannot be computed"),
        ([const("a", 0), const("b", 2**30), const("c", 1), make("y", "Range", "a", "b", "c")],
         GraphError, "has 1073741824 elements"),
        ([const("a", 0), make("y", "Range", "a", "a", "a")], GraphError, "has -1 elements"),
        ([make("y", "Const")], GraphError, "has no value before"),
    ],
)  # fmt: skip
def test_what_cannot_be_known(nodes: list[Any], error: type[FlatshotError], message: str) -> None:
    """The node and the reason are named; asked for a constant there is none."""
    with pytest.raises(error, match=message):
        _evaluation(*nodes).value("y")
    assert _evaluation(*nodes).constant("y") is None


def test_outputs_and_nodes_that_are_not_there() -> None:
    """Both are named."""
    found = _evaluation(const("v", [1, 2]), make("y", "Identity", "v"))
    with pytest.raises(GraphError, match="no node 'z'"):
        found.value("z")
    with pytest.raises(GraphError, match="'y' has no output number 3"):
        found.value("y:3")


def _dynamic() -> Graph:
    return graph(
        placeholder("x", -1, 5, 6, 3),
        make("sides", "Shape", "x"),
        const("zero", [0]),
        const("one", [1]),
        make("batch", "StridedSlice", "sides", "zero", "one", "one", shrink_axis_mask=1),
        const("rest", -1),
        make("shape", "Pack", "batch", "rest"),
        make("y", "Reshape", "x", "shape"),
    )


def test_shape_arithmetic_folds_in_any_graph() -> None:
    """Not only in detectors: with the input's shape given, reshapes become static."""
    folded = fold_shapes(_dynamic(), Boundary(shapes=((2, 5, 6, 3),), outputs=("y",)))
    assert [node.op for node in folded] == ["Placeholder", "Const", "Reshape"]
    np.testing.assert_array_equal(folded.by_name["shape"].attrs["value"], [2, -1])


def test_what_cannot_be_folded_is_left_to_the_importer() -> None:
    """Which says why: here, that the shape of the input is not known."""
    source = _dynamic()
    assert fold_shapes(source, Boundary(outputs=("y",))).nodes == source.nodes
