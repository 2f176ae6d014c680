"""GraphDef to IR: boundaries, order, shapes, and errors that name the node."""

from typing import Any

import numpy as np
import pytest

from flatshot.compiler.importer import MAX_NODES
from flatshot.compiler.ir import Graph as Ir
from flatshot.conversion.convert import convert
from flatshot.errors import GraphError, UnsupportedOpError
from flatshot.formats import tflite
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.graphdef import Attr, DataType, Graph, Node, Shape
from tests import litert
from tests.compiler.graphs import (
    batch_norm,
    const,
    conv,
    feeds_for,
    graph,
    imported,
    meaning,
    placeholder,
    randn,
)
from tests.compiler.graphs import node as make

X = placeholder("x", 1, 4, 5, 3)


def _error(source: Graph, *outputs: str, **options: Any) -> str:
    with pytest.raises(GraphError) as caught:
        imported(source, *(outputs or ("y",)), **options)
    return str(caught.value)


def _names(ir: Ir) -> list[str]:
    return [op.name for op in ir.ops]


class TestBoundary:
    """Inputs, shapes and outputs."""

    def test_only_what_the_outputs_need(self) -> None:
        """Other nodes may even be unknown."""
        source = graph(X, make("y", "Relu", "x"), make("other", "Unknown", "y"))
        assert _names(imported(source, "y")) == ["y"]

    def test_nodes_may_come_in_any_order(self) -> None:
        """Each is imported after those that it reads."""
        source = graph(make("y", "Relu", "a"), make("a", "Relu6", "x"), X)
        assert _names(imported(source, "y")) == ["a", "y"]

    def test_an_output_of_a_node_by_number(self) -> None:
        """`name:0` is `name`."""
        ir = imported(graph(X, make("y", "Relu", "x:0")), "y:0")
        assert ir.outputs[0].name == "y"

    def test_inputs_in_the_middle_of_the_graph(self) -> None:
        """What lies before them is cut off, known or not; their shapes must be given."""
        source = graph(
            placeholder("file", 1),
            make("decoded", "DecodeJpeg", "file"),
            make("y", "Relu", "decoded"),
        )
        ir = imported(source, "y", inputs=("decoded",), shapes=((1, 4, 5, 3),))
        assert [value.name for value in ir.inputs] == ["decoded"]
        assert ir.outputs[0].shape == (1, 4, 5, 3)
        assert "shape of the input 'decoded' is unknown" in _error(source, inputs=("decoded",))

    def test_several_inputs_keep_the_order_given(self) -> None:
        """As of the command line, not of the file."""
        source = graph(X, placeholder("a", 3), make("y", "AddV2", "x", "a"))
        ir = imported(source, "y", inputs=("a", "x"))
        assert [value.name for value in ir.inputs] == ["a", "x"]

    def test_a_shape_that_the_graph_leaves_open(self) -> None:
        """It must be given, and must fit what is known."""
        source = graph(placeholder("x", -1, 4, 5, 3), make("y", "Relu", "x"))
        assert "give one with --input_shapes" in _error(source)
        assert imported(source, "y", shapes=((2, 4, 5, 3),)).outputs[0].shape == (2, 4, 5, 3)
        assert "[-1, 4, 5, 3], not [1, 4, 6, 3]" in _error(source, shapes=((1, 4, 6, 3),))
        assert "not [4, 5, 3]" in _error(source, shapes=((4, 5, 3),))

    @pytest.mark.parametrize("attrs", [{}, {"shape": Shape(None)}])
    def test_a_placeholder_of_unknown_rank(self, attrs: dict[str, Attr]) -> None:
        """Any shape may be given."""
        source = graph(Node("x", "Placeholder", (), attrs), make("y", "Relu", "x"))
        assert imported(source, "y", shapes=((7,),)).outputs[0].shape == (7,)
        assert "is unknown" in _error(source)

    def test_an_input_of_pixels(self) -> None:
        """The graph of a frozen detector begins with uint8: begin behind that."""
        image = Node("x", "Placeholder", (), {"dtype": DataType.DT_UINT8, "shape": Shape((1,))})
        assert "'x' is no float32: begin after the preprocessing" in _error(
            graph(image, make("y", "Relu", "x"))
        )

    def test_numbers_of_shapes_and_inputs_differ(self) -> None:
        """Both are counted."""
        assert "2 input shapes for 1 inputs (x)" in _error(
            graph(X, make("y", "Relu", "x")), shapes=((1,), (2,))
        )

    def test_an_input_that_no_output_needs(self) -> None:
        """One that was named is refused; a placeholder that nobody named is left out."""
        source = graph(X, placeholder("z", 3), make("y", "Relu", "x"))
        assert "no output needs the inputs z" in _error(source, inputs=("x", "z"))
        assert [value.name for value in imported(source, "y").inputs] == ["x"]

    def test_names_that_are_not_there(self) -> None:
        """As an input, an output, a number of an output, or read by a node."""
        source = graph(X, make("y", "Relu", "x"), make("z", "Relu", "nowhere"))
        assert "no node 'q' to be an input" in _error(source, inputs=("q",))
        assert "no node 'q' to be an output" in _error(source, "q")
        assert "'y:1', an output that its node does not have" in _error(source, "y:1")
        assert "node 'z' reads 'nowhere', which is not in the graph" in _error(source, "z")

    def test_a_placeholder_that_is_no_input(self) -> None:
        """It is named."""
        source = graph(X, placeholder("k", 3), make("y", "AddV2", "x", "k"))
        assert "the placeholder 'k' is needed" in _error(source, inputs=("x",))


class TestOrder:
    """Sorting."""

    def test_cycles(self) -> None:
        """Of one node, and of several behind others."""
        assert "cycle through node 'y'" in _error(graph(make("y", "Relu", "y")))
        source = graph(
            X, make("a", "AddV2", "x", "c"), make("b", "Relu", "a"), make("c", "Relu", "b"),
            make("y", "Relu", "c"),
        )  # fmt: skip
        assert "the graph has a cycle through node" in _error(source)

    def test_control_edges_carry_nothing(self) -> None:
        """They are left out, even where they would close a cycle."""
        source = graph(X, make("a", "Relu", "x", "^y"), make("y", "Relu6", "a", "^gone"))
        assert _names(imported(source, "y")) == ["a", "y"]

    def test_a_node_that_many_read(self) -> None:
        """A diamond of diamonds is no cycle, and takes no exponential time."""
        nodes = [X]
        at = "x"
        for number in range(200):
            nodes.append(make(f"n{number}", "AddV2", at, at))
            at = f"n{number}"
        assert len(imported(graph(*nodes), at).ops) == 200

    def test_a_chain_deeper_than_pythons_stack(self) -> None:
        """Sorting does not recurse."""
        nodes = [make(f"n{k}", "Relu", f"n{k - 1}" if k else "x") for k in range(5000)]
        assert len(imported(graph(X, *reversed(nodes)), "n4999").ops) == 5000


class TestUnknownOperators:
    """All at once, with their nodes."""

    SOURCE = graph(
        X,
        make("a", "Foo", "x"),
        make("b", "Bar", "a"),
        make("c", "Foo", "b"),
        make("y", "Relu", "x"),
        make("z", "Baz", "c", "y"),
    )

    def test_are_listed(self) -> None:
        """And what to do."""
        with pytest.raises(UnsupportedOpError) as caught:
            imported(self.SOURCE, "z")
        assert "Bar (b); Baz (z); Foo (a, c); cut the graph" in str(caught.value)
        assert "--allow_custom_ops" in str(caught.value)

    def test_can_be_let_through(self) -> None:
        """Under their own names, with the numbers among their attributes."""
        source = graph(
            X, make("y", "Foo", "x", gain=2.5, count=3, on=True, text=b"no", kind=DataType.DT_FLOAT)
        )
        (op,) = imported(source, "y", allow_custom_ops=True).ops
        assert op.attrs == {"op": "Foo", "options": {"gain": 2.5, "count": 3, "on": True}}
        assert op.output.shape is None
        model = convert(source, output_arrays=["y"], allow_custom_ops=True)
        assert model.tflite.operator_codes[0].custom_code == "Foo"

    def test_as_many_outputs_as_are_read(self) -> None:
        """Where no attribute tells: by nodes, and by the list of outputs."""
        source = graph(X, make("f", "Foo", "x"), make("y", "Bar", "f:2"))
        ir = imported(source, "y", "f:4", allow_custom_ops=True)
        assert [value.name for value in ir.ops[0].outputs] == ["f", "f:1", "f:2", "f:3", "f:4"]

    def test_what_reads_them_must_not_need_their_shape(self) -> None:
        """It is known only at run time."""
        source = graph(X, make("f", "Foo", "x"), make("y", "Relu", "f"))
        assert "the shape of 'f' is not known" in _error(source, allow_custom_ops=True)


def test_the_post_processing_operator_of_2018() -> None:
    """Without `_output_types`: it has four outputs all the same."""
    inputs = [const(name, np.zeros((1, 2, 4), np.float32)) for name in ("b", "c", "a")]
    source = graph(*inputs, make(POSTPROCESS, POSTPROCESS, "b", "c", "a", max_detections=10))
    ir = imported(source, POSTPROCESS)
    assert len(ir.ops[0].outputs) == 4
    assert len(tflite.indices(convert(source).tflite.subgraphs[0].outputs)) == 4


RNG = np.random.default_rng(3)


def _filter(*dims: int) -> Node:
    return const("w", np.zeros(dims, np.float32))


BAD_NODES = {
    "conv of rank 3": (
        graph(placeholder("x", 4, 5, 3), _filter(1, 1, 3, 1), conv("y", "x", "w")),
        "need rank 4",
    ),
    "channels": (
        graph(X, _filter(1, 1, 4, 1), conv("y", "x", "w")),
        "3 channels meet a filter for 4",
    ),
    "empty filter": (
        graph(X, _filter(0, 1, 3, 1), conv("y", "x", "w")),
        "filter [0, 1, 3, 1] is empty",
    ),
    "window": (
        graph(X, _filter(9, 1, 3, 1), conv("y", "x", "w", padding=b"VALID")),
        "a window of 9 does not fit 4 pixels",
    ),
    "padding": (
        graph(X, _filter(1, 1, 3, 1), conv("y", "x", "w", padding=b"EXPLICIT")),
        "padding 'EXPLICIT'; known: SAME, VALID",
    ),
    "padding of bytes": (
        graph(X, _filter(1, 1, 3, 1), conv("y", "x", "w", padding=b"\xff")),
        r"padding '\\xff'",
    ),
    "stride": (
        graph(X, _filter(1, 1, 3, 1), conv("y", "x", "w", strides=(0, 1))),
        "strides [1, 0, 1, 1] are not supported",
    ),
    "no strides": (
        graph(X, _filter(1, 1, 3, 1), make("y", "Conv2D", "x", "w", padding=b"SAME")),
        "attribute 'strides' is missing",
    ),
    "strides of another type": (
        graph(X, _filter(1, 1, 3, 1), make("y", "Conv2D", "x", "w", padding=b"SAME", strides=1)),
        "attribute 'strides' is 1",
    ),
    "layout": (
        graph(X, make("y", "BiasAdd", "x", "x", data_format=b"NCHW")),
        "data_format NCHW; only NHWC",
    ),
    "layout of bytes": (
        graph(X, make("y", "BiasAdd", "x", "x", data_format=b"\xfe")),
        r"data_format \xfe",
    ),
    "double filter": (
        graph(X, const("w", np.zeros((1, 1, 3, 1))), conv("y", "x", "w")),
        "reads 'w' of float64",
    ),
    "types": (
        graph(X, const("k", 3), make("y", "Mul", "x", "k")),
        "reads float32 and int32 together",
    ),
    "truth values": (
        graph(const("k", np.array([True])), make("y", "Sub", "k", "k")),
        "reads 'k' of bool",
    ),
    "strings": (
        graph(const("k", np.array([b"a"], object)), make("y", "Identity", "k")),
        "reads 'k' of object",
    ),
    "complex": (
        graph(const("k", np.array([1j])), make("y", "Relu", "k")),
        "reads 'k' of complex128",
    ),
    "inputs": (
        graph(X, make("y", "Relu", "x", "x")),
        "Relu 'y' has 2 inputs, not 1",
    ),
    "shapes": (
        graph(X, const("k", [0.0] * 4), make("y", "AddV2", "x", "k")),
        "shapes [1, 4, 5, 3] and [4] do not broadcast",
    ),
    "bias": (
        graph(X, const("k", [0.0] * 4), make("y", "BiasAdd", "x", "k")),
        "'k' is [4], not (3,)",
    ),
    "training": (
        graph(X, batch_norm("y", "x", 3, RNG, is_training=True)),
        "is_training is true; freeze",
    ),
    "softmax of a scalar": (
        graph(const("k", 1.0), make("y", "Softmax", "k")),
        "has nothing to add up",
    ),
    "softmax of nothing": (
        graph(const("k", np.zeros((2, 0), np.float32)), make("y", "Softmax", "k")),
        "has nothing to add up",
    ),
    "reshape": (
        graph(X, const("s", [7, -1]), make("y", "Reshape", "x", "s")),
        "[1, 4, 5, 3] cannot be reshaped to [7, -1]",
    ),
    "two open sides": (
        graph(X, const("s", [-1, -1]), make("y", "Reshape", "x", "s")),
        "cannot be reshaped to [-1, -1]",
    ),
    "reshape by data": (
        graph(X, make("y", "Reshape", "x", "x")),
        "its shape 'x' must be constant integers",
    ),
    "rank": (
        graph(X, const("s", [1] * 8 + [60]), make("y", "Reshape", "x", "s")),
        "a shape of rank 9 is not supported",
    ),
    "squeeze": (
        graph(X, make("y", "Squeeze", "x", squeeze_dims=[1])),
        "has no side of 1 to squeeze at [1]",
    ),
    "squeeze far": (
        graph(X, make("y", "Squeeze", "x", squeeze_dims=[4])),
        "to squeeze at [4]",
    ),
    "squeeze of no number": (
        graph(X, make("y", "Squeeze", "x", squeeze_dims=[b"a"])),
        "squeeze_dims [b'a']",
    ),
    "concat axis": (
        graph(X, const("a", 4), make("y", "ConcatV2", "x", "x", "a")),
        "axis [4] is not one of 4 dimensions",
    ),
    "concat axes": (
        graph(X, const("a", [0, 1]), make("y", "ConcatV2", "x", "x", "a")),
        "axis [0, 1] is not one",
    ),
    "concat shapes": (
        graph(X, placeholder("z", 1, 4, 6, 3), const("a", 3), make("y", "ConcatV2", "x", "z", "a")),
        "do not line up",
    ),
    "concat ranks": (
        graph(X, placeholder("z", 3), const("a", 0), make("y", "ConcatV2", "x", "z", "a")),
        "do not line up",
    ),
    "concat types": (
        graph(
            X,
            const("z", np.zeros((1, 4, 5, 3), np.int32)),
            const("a", 3),
            make("y", "ConcatV2", "x", "z", "a"),
        ),
        "different element types",
    ),
    "constant without value": (
        graph(Node("k", "Const"), make("y", "Relu", "k")),
        "the constant 'k' has no value",
    ),
    "huge input": (
        graph(placeholder("x", 2**40), make("y", "Relu", "x")),
        "larger than 2 GiB",
    ),
    "huge result": (
        graph(placeholder("x", 2**16, 1), placeholder("z", 1, 2**16), make("y", "AddV2", "x", "z")),
        "'y' of shape [65536, 65536] is larger than 2 GiB",
    ),
}


@pytest.mark.parametrize("case", BAD_NODES.values(), ids=BAD_NODES)
def test_nodes_that_cannot_be(case: tuple[Graph, str]) -> None:
    """The message names the node and what is wrong with it."""
    source, message = case
    assert message in _error(source)


def test_old_names_of_operators(rng: np.random.Generator) -> None:
    """FusedBatchNorm, its V2, scores divided by logit_scale: as exporters of 2018 wrote them."""
    for name in ("FusedBatchNorm", "FusedBatchNormV2"):
        source = graph(
            X,
            const("w", randn(rng, 3, 3, 3, 2)),
            conv("c", "x", "w"),
            batch_norm("n", "c", 2, rng),
            const("scale_logits/y", 1.0),
            make("scale_logits", "RealDiv", "n", "scale_logits/y"),
            make("y", "Sigmoid", "scale_logits"),
        )
        old = Graph(
            tuple(Node(n.name, name if n.name == "n" else n.op, n.inputs, n.attrs) for n in source)
        )
        ir = imported(old, "y")
        feeds = feeds_for(ir, rng)
        model = convert(old, output_arrays=["y"])
        assert [code.name for code in model.tflite.operator_codes] == ["CONV_2D", "LOGISTIC"]
        (got,) = litert.run(model.to_bytes(), feeds["x"])
        # float32 sums of 27 products, then a sigmoid
        np.testing.assert_allclose(got, meaning(ir, feeds)[0], atol=1e-6, rtol=0)


def test_batch_norm_without_an_epsilon(rng: np.random.Generator) -> None:
    """The kernel's own default of 1e-4 holds."""
    source = graph(X, batch_norm("y", "x", 3, rng))
    bare = Graph(
        tuple(
            Node(n.name, n.op, n.inputs, {k: v for k, v in n.attrs.items() if k != "epsilon"})
            for n in source
        )
    )
    assert imported(bare, "y").ops[0].attrs["epsilon"] == 1e-4


def test_a_graph_of_too_many_nodes_is_refused() -> None:
    """A graph that would keep the machine busy for hours is an error that says how large it is."""
    count = MAX_NODES + 1
    chain = (make(f"n{i}", "Relu", f"n{i - 1}" if i else "x") for i in range(count))
    with pytest.raises(GraphError, match=f"the outputs need {count + 1} nodes"):
        imported(graph(X, *chain), f"n{count - 1}")


def test_identities_hand_on_each_input(rng: np.random.Generator) -> None:
    """As swish has one, which hands on its result and, for its gradient, its argument."""
    source = graph(
        X,
        make("gate", "Sigmoid", "x"),
        make("product", "Mul", "x", "gate"),
        make("y", "IdentityN", "product", "x"),
        make("z", "AddV2", "y", "y:1"),
    )
    ir = imported(source, "y", "y:1")
    assert [value.name for value in ir.outputs] == ["y", "y:1"]
    model = convert(source, output_arrays=["z"])
    shape = X.attrs["shape"]
    assert isinstance(shape, Shape)
    assert shape.dims is not None
    image = rng.normal(size=shape.dims).astype(np.float32)
    (found,) = litert.run(model.to_bytes(), image)
    np.testing.assert_allclose(found, image / (1 + np.exp(-image)) + image, rtol=1e-5)
