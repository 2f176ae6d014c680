"""Passes that bring operators into TensorFlow Lite's form: where they apply, and where not."""

import numpy as np
import pytest

from flatshot.compiler.ir import Graph
from flatshot.compiler.lowering import (
    fuse_dilations,
    fuse_hard_swish,
    replace_constant_subtractions,
    settle_operands,
)
from flatshot.conversion.convert import convert
from flatshot.formats.graphdef import Node
from tests import litert
from tests.compiler.graphs import (
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
    """The axis of a gather."""
    ir = imported(
        graph(
            X,
            const("places", [1, 0]),
            const("axis", -1),
            make("y", "GatherV2", "x", "places", "axis"),
        ),
        "y",
    )
    feeds = feeds_for(ir, np.random.default_rng(2))
    want = meaning(ir, feeds)
    assert settle_operands(ir) == 1
    ir.verify()
    assert [len(op.inputs) for op in ir.ops] == [2]
    assert ir.ops[0].attrs["axis"] == 3
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


def _dilated(
    op: str, paddings: list[list[int]], crops: list[list[int]], block: tuple[int, int] = (2, 3)
) -> list[Node]:
    depth = 4 if op == "Conv2D" else 2
    return [
        placeholder("x", 1, 12, 13, 5),
        const("w", randn(np.random.default_rng(4), 3, 2, 5, depth)),
        const("block", list(block)),
        const("pads", paddings),
        const("crops", crops),
        make("batch", "SpaceToBatchND", "x", "block", "pads"),
        conv("conv", "batch", "w", op=op, padding=b"VALID"),
        make("y", "BatchToSpaceND", "conv", "block", "crops"),
    ]


@pytest.mark.parametrize("op", ["Conv2D", "DepthwiseConv2dNative"])
@pytest.mark.parametrize(
    ("paddings", "crops"),
    [
        # SAME: 2 and 2 rows of a window of 5; 1 and 2 columns of one of 4; the rest is cropped.
        ([[2, 2], [1, 4]], [[0, 0], [0, 2]]),
        # VALID: only what fills up to a multiple of the block, and is cropped again.
        ([[0, 2], [0, 2]], [[0, 2], [0, 2]]),
    ],
    ids=["same", "valid"],
)
def test_dilated_convolutions_become_one(
    op: str, paddings: list[list[int]], crops: list[list[int]]
) -> None:
    """Three operators are one, under the last one's name, and give the same."""
    source = graph(*_dilated(op, paddings, crops))
    ir = imported(source, "y")
    feeds = feeds_for(ir, np.random.default_rng(2))
    want = meaning(ir, feeds)[0]
    assert fuse_dilations(ir) == 1
    ir.verify()
    assert ir.outputs[0].producer is not None
    assert ir.outputs[0].producer.attrs["dilations"] == (2, 3)
    # sums of 30 products of normal numbers, added in another order
    np.testing.assert_allclose(meaning(ir, feeds)[0], want, rtol=1e-5, atol=1e-5)
    (got,) = litert.run(convert(source, output_arrays=["y"]).to_bytes(), feeds["x"])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("paddings", "crops", "outputs"),
    [
        ([[1, 3], [1, 4]], [[0, 0], [0, 2]], "y"),
        ([[2, 2], [0, 2]], [[0, 0], [0, 2]], "y"),
        ([[2, 2], [1, 4]], [[1, 0], [0, 2]], "y"),
        ([[2, 2], [1, 4]], [[0, 0], [0, 2]], "y conv"),
    ],
    ids=["another padding", "same and valid", "cropped before", "read elsewhere"],
)
def test_what_is_no_dilated_convolution_stays(
    paddings: list[list[int]], crops: list[list[int]], outputs: str
) -> None:
    """It is converted as it is: three operators that give the same."""
    source = graph(*_dilated("Conv2D", paddings, crops))
    ir = imported(source, *outputs.split())
    assert fuse_dilations(ir) == 0
    feeds = feeds_for(ir, np.random.default_rng(2))
    want = meaning(ir, feeds)
    got = litert.run(convert(source, output_arrays=outputs.split()).to_bytes(), feeds["x"])
    for one, other in zip(got, want, strict=True):
        # sums of 30 products of normal numbers, added in another order
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_values_of_64_bits_stay_wide() -> None:
    """Sizes and axes become 32-bit integers, what is filled in keeps its type."""
    wide = np.int64(2**40)
    source = graph(
        const("sides", np.array([2, 3], np.int64)),
        const("wide", wide),
        make("filled", "Fill", "sides", "wide"),
        const("pads", np.array([[1, 0], [0, 1]], np.int64)),
        make("y", "PadV2", "filled", "pads", "wide"),
    )
    ir = imported(source, "y")
    assert settle_operands(ir) == 2
    assert [[str(v.dtype) for v in op.inputs] for op in ir.ops] == [
        ["int32", "int64"],
        ["int64", "int32", "int64"],
    ]
    assert meaning(ir, {})[0].tolist() == [[wide] * 4] * 3
