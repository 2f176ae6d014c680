"""Fused operators, explicit padding and decided branches mean the same once written plainly."""

import time

import numpy as np
import pytest

from flatshot.compiler.frozen.rewriting import decide_branches, rewrite
from flatshot.conversion.convert import convert
from flatshot.errors import FlatshotError, GraphError, UnsupportedOpError
from flatshot.formats.graphdef import Attr, Graph, Node
from tests import litert
from tests.compiler.graphs import Array, batch_norm, const, conv, graph, placeholder, randn
from tests.compiler.graphs import node as make

RNG = np.random.default_rng(31)
X = placeholder("x", 1, 7, 9, 3)
FILTER = const("w", randn(RNG, 3, 2, 3, 4))
DEPTHWISE = const("w", randn(RNG, 3, 2, 3, 2))
CONV: dict[str, Attr] = {"strides": [1, 1, 1, 1], "padding": b"SAME", "data_format": b"NHWC"}


def _run(source: Graph) -> Array:
    image = np.random.default_rng(3).normal(0, 1, (1, 7, 9, 3)).astype(np.float32)
    (got,) = litert.run(convert(source, output_arrays=["y"]).to_bytes(), image)
    return got


def _fused(op: str, *operands: str, **attrs: Attr) -> Node:
    return Node("y", op, ("x", "w", *operands), {**CONV, **attrs})


@pytest.mark.parametrize(
    ("op", "plain", "weights"),
    [
        ("_FusedConv2D", "Conv2D", FILTER),
        ("_FusedDepthwiseConv2dNative", "DepthwiseConv2dNative", DEPTHWISE),
        ("FusedDepthwiseConv2dNative", "DepthwiseConv2dNative", DEPTHWISE),
    ],
)
@pytest.mark.parametrize("activation", ["", "Relu", "Relu6", "Elu", "LeakyRelu"])
def test_fused_convolutions(op: str, plain: str, weights: Node, activation: str) -> None:
    """A bias and an activation come out as nodes; the last has the name of the fused one."""
    depth = 4 if plain == "Conv2D" else 6
    bias = const("b", randn(RNG, depth))
    ops: list[object] = [b"BiasAdd", *([activation.encode()] if activation else [])]
    fused = graph(X, weights, bias, _fused(op, "b", fused_ops=ops, leakyrelu_alpha=0.3))
    last = "y" if not activation else "sum"
    apart = [
        conv("conv", "x", "w", op=plain),
        make(last, "BiasAdd", "conv", "b"),
    ]
    if activation:
        apart.append(make("y", activation, "sum", alpha=0.3))
    np.testing.assert_array_equal(_run(fused), _run(graph(X, weights, bias, apart)))


def test_fused_batch_norm() -> None:
    """Its four parameters are operands, its epsilon an attribute."""
    norm = batch_norm("bn", "conv", 4, RNG)
    constants = norm[:-1]
    fused = _fused(
        "_FusedConv2D",
        *(node.name for node in constants),
        fused_ops=[b"FusedBatchNorm", b"Relu6"],
        epsilon=0.001,
    )
    apart = [conv("conv", "x", "w"), *norm, make("y", "Relu6", "bn")]
    np.testing.assert_array_equal(
        _run(graph(X, FILTER, constants, fused)), _run(graph(X, FILTER, apart))
    )


@pytest.mark.parametrize("op", ["Conv2D", "DepthwiseConv2dNative"])
def test_explicit_padding(op: str) -> None:
    """Padding of any width on each side, then a convolution without."""
    weights = FILTER if op == "Conv2D" else DEPTHWISE
    explicit = Node(
        "y",
        op,
        ("x", "w"),
        {**CONV, "padding": b"EXPLICIT", "explicit_paddings": [0, 0, 2, 1, 0, 3, 0, 0]},
    )
    apart = [
        const("pads", [[0, 0], [2, 1], [0, 3], [0, 0]]),
        make("padded", "Pad", "x", "pads"),
        conv("y", "padded", "w", op=op, padding=b"VALID"),
    ]
    np.testing.assert_array_equal(_run(graph(X, weights, explicit)), _run(graph(X, weights, apart)))


@pytest.mark.parametrize("chosen", [False, True])
def test_a_constant_decides_a_branch(chosen: bool) -> None:
    """As `is_training` does: one side stays, with the names of its nodes."""
    source = graph(
        X,
        const("is_training", np.array(chosen)),
        make("pred", "Identity", "is_training"),
        make("switch", "Switch", "x", "pred"),
        make("no", "Relu", "switch"),
        make("yes", "Relu6", "switch:1"),
        make("merge", "Merge", "no", "yes"),
        make("y", "Neg", "merge"),
    )
    plain = decide_branches(source)
    assert plain.by_name["merge"].op == "Identity"
    assert plain.by_name["merge"].inputs == ("yes" if chosen else "no",)
    apart = graph(X, make("m", "Relu6" if chosen else "Relu", "x"), make("y", "Neg", "m"))
    np.testing.assert_array_equal(_run(source), _run(apart))


def test_a_loop_stays() -> None:
    """No constant decides it."""
    source = graph(
        const("zero", 0),
        const("limit", 3),
        make("enter", "Enter", "zero"),
        make("merge", "Merge", "enter", "next"),
        make("less", "Less", "merge", "limit"),
        make("cond", "LoopCond", "less"),
        make("switch", "Switch", "merge", "cond"),
        make("next", "NextIteration", "switch:1"),
        make("exit", "Exit", "switch"),
    )
    assert [node.op for node in rewrite(source)] == [node.op for node in source]


def test_a_plain_graph_is_left_alone() -> None:
    """Node by node."""
    source = graph(X, FILTER, conv("y", "x", "w"))
    assert rewrite(source).nodes == source.nodes


@pytest.mark.parametrize(
    ("node", "error", "message"),
    [
        (_fused("_FusedConv2D", fused_ops=[b"Mystery"]), UnsupportedOpError, "'Mystery' fused to"),
        (_fused("_FusedConv2D", fused_ops=[b"BiasAdd"]), GraphError, "has 0 operands, not 1"),
        (Node("y", "_FusedConv2D", ("x",), {}), GraphError, "'y' has 1 inputs, not 2"),
        (
            Node("y", "Conv2D", ("x", "w"), {**CONV, "padding": b"EXPLICIT"}),
            UnsupportedOpError,
            "explicit_paddings None",
        ),
        (Node("y", "Switch", ("x",), {}), GraphError, "'y' has 1 inputs, not 2"),
    ],
)
def test_what_cannot_be_written_plainly(
    node: Node, error: type[FlatshotError], message: str
) -> None:
    """The node and the reason are named."""
    with pytest.raises(error, match=message):
        rewrite(graph(X, FILTER, node))


def test_a_long_dead_branch_is_followed_once() -> None:
    """Written last to first, 4,000 nodes took a round each: 47 s."""
    dead = [make(f"d{i}", "Relu", f"d{i - 1}" if i else "s") for i in range(4000)]
    ends = [make("y", "Merge", "s:1", "d3999")]
    head = [placeholder("x", 1, 4), const("b", np.array(True)), make("s", "Switch", "x", "b")]
    start = time.process_time()
    decided = decide_branches(Graph((*head, *dead[::-1], *ends)))
    assert time.process_time() - start < 5  # a hundred times what it takes
    assert decided.by_name["y"].op == "Identity"
    assert decided.by_name["y"].inputs == ("s",)
