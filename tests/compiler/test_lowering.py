"""Passes that bring operators into TensorFlow Lite's form: where they apply, and where not."""

import numpy as np
import pytest

from flatshot.compiler.ir import Graph
from flatshot.compiler.lowering import (
    fuse_hard_swish,
    replace_constant_subtractions,
    settle_operands,
)
from flatshot.formats.graphdef import Node
from tests.compiler.graphs import const, feeds_for, graph, imported, meaning, placeholder, randn
from tests.compiler.graphs import node as make

RNG = np.random.default_rng(17)
X = placeholder("x", 2, 3, 4, 5)


def _kinds(ir: Graph) -> list[str]:
    return [op.kind for op in ir.ops]


def _gate(three: float = 3.0, sixth: float = 1 / 6) -> list[Node]:
    return [
        const("three", three),
        make("plus", "AddV2", "three", "x"),
        make("gate", "Relu6", "plus"),
        const("sixth", sixth),
    ]


def _same_meaning(before: Graph, after: Graph) -> None:
    feeds = feeds_for(before, np.random.default_rng(2))
    for one, other in zip(meaning(before, feeds), meaning(after, feeds), strict=True):
        # x * r * (1/6) and x * r / 6 round once each, at another place
        np.testing.assert_allclose(one, other, rtol=3e-7, atol=1e-9)


@pytest.mark.parametrize(
    "products",
    [
        [make("p", "Mul", "x", "gate"), make("y", "Mul", "p", "sixth")],
        [make("p", "Mul", "gate", "x"), make("y", "Mul", "sixth", "p")],
        [make("p", "Mul", "gate", "sixth"), make("y", "Mul", "x", "p")],
        [make("p", "Mul", "x", "sixth"), make("y", "Mul", "gate", "p")],
    ],
)
def test_hard_swish_is_found_in_any_order(products: list[Node]) -> None:
    """One operator, under the last one's name; what made it up is left for `drop_dead`."""
    source = graph(X, _gate(), products)
    ir = imported(source, "y")
    assert fuse_hard_swish(ir) == 1
    ir.verify()
    assert ir.outputs[0].producer is not None
    assert ir.outputs[0].producer.kind == "hard_swish"
    _same_meaning(imported(source, "y"), ir)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([*_gate(three=2.5), make("p", "Mul", "x", "gate"), make("y", "Mul", "p", "sixth")], "y"),
        ([*_gate(sixth=0.2), make("p", "Mul", "x", "gate"), make("y", "Mul", "p", "sixth")], "y"),
        ([*_gate(), make("p", "Mul", "plus", "gate"), make("y", "Mul", "p", "sixth")], "y"),
        ([*_gate(), make("p", "Mul", "x", "gate"), make("y", "Mul", "p", "sixth")], "y p"),
        ([*_gate(), make("p", "Mul", "x", "gate"), make("y", "Mul", "p", "p")], "y"),
        ([*_gate(), make("y", "Mul", "x", "gate")], "y"),
    ],
    ids=["not 3", "not 1/6", "another x", "read elsewhere", "squared", "not divided"],
)
def test_what_is_no_hard_swish_stays(nodes: list[Node], outputs: str) -> None:
    """Another number, another image, a product that others read."""
    ir = imported(graph(X, nodes), *outputs.split())
    before = _kinds(ir)
    assert fuse_hard_swish(ir) == 0
    assert _kinds(ir) == before


def test_subtracting_a_constant_is_adding_its_negative() -> None:
    """To the last bit; what is subtracted from a constant stays."""
    ir = imported(
        graph(
            X,
            const("c", randn(RNG, 5)),
            make("a", "Sub", "x", "c"),
            make("b", "Sub", "c", "a"),
            make("y", "Sub", "b", "x"),
        ),
        "y",
    )
    feeds = feeds_for(ir, np.random.default_rng(2))
    want = meaning(ir, feeds)
    assert replace_constant_subtractions(ir) == 1
    ir.verify()
    assert _kinds(ir) == ["add", "sub", "sub"]
    np.testing.assert_array_equal(meaning(ir, feeds)[0], want[0])


def test_operands_become_attributes() -> None:
    """The axis of a gather, the limits of a fake quantisation."""
    ir = imported(
        graph(
            X,
            const("places", [1, 0]),
            const("axis", -1),
            make("g", "GatherV2", "x", "places", "axis"),
            const("low", -1.0),
            const("high", 1.0),
            make("y", "FakeQuantWithMinMaxVars", "g", "low", "high"),
        ),
        "y",
    )
    feeds = feeds_for(ir, np.random.default_rng(2))
    want = meaning(ir, feeds)
    assert settle_operands(ir) == 2
    ir.verify()
    assert [len(op.inputs) for op in ir.ops] == [2, 1]
    assert ir.ops[0].attrs["axis"] == 3
    assert (ir.ops[1].attrs["min"], ir.ops[1].attrs["max"]) == (-1.0, 1.0)
    np.testing.assert_array_equal(meaning(ir, feeds)[0], want[0])
    assert settle_operands(ir) == 0


def test_wide_integers_become_narrow() -> None:
    """Bounds of 64 bits that mean the end still do; the constant itself is left to its readers."""
    size = np.array([-1, 3, 2, 2**40], np.int64)
    source = graph(
        X,
        const("begin", np.zeros(4, np.int64)),
        const("end", size),
        const("step", np.ones(4, np.int64)),
        make("y", "StridedSlice", "x", "begin", "end", "step", begin_mask=1, end_mask=1),
    )
    ir = imported(source, "y")
    feeds = feeds_for(ir, np.random.default_rng(2))
    want = meaning(ir, feeds)
    assert settle_operands(ir) == 3
    ir.verify()
    assert all(value.dtype == np.int32 for value in ir.ops[0].inputs[1:])
    np.testing.assert_array_equal(meaning(ir, feeds)[0], want[0])
