"""A factor before a convolution goes into its filter: where, and where not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.compiler.factors import fold_factors_forward
from flatshot.formats.graphdef import Node
from tests.compiler.graphs import const, conv, feeds_for, graph, imported, meaning, placeholder
from tests.compiler.graphs import node as make

RNG = np.random.default_rng(23)
X = placeholder("x", 1, 5, 6, 3)
FILTER = const("f", RNG.normal(size=(3, 3, 3, 4)).astype(np.float32))
DEPTHWISE = const("f", RNG.normal(size=(3, 3, 3, 1)).astype(np.float32))


@given(
    factor=st.floats(2**-10, 2**10, width=32).flatmap(lambda x: st.sampled_from((x, -x))),
    depthwise=st.booleans(),
    first=st.booleans(),
)
def test_the_meaning_stays(factor: float, depthwise: bool, first: bool) -> None:
    """For any number, either order of the factors and both kinds of convolutions."""
    names = ("s", "x") if first else ("x", "s")
    kernel = DEPTHWISE if depthwise else FILTER
    op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
    source = graph(
        X, const("s", factor), make("m", "Mul", *names), kernel, conv("y", "m", "f", op=op)
    )
    before, after = imported(source, "y"), imported(source, "y")
    assert fold_factors_forward(after) == 1
    after.verify()
    assert [op.kind for op in after.ops] == [before.ops[-1].kind]
    feeds = feeds_for(before, RNG)
    (got,), (want,) = meaning(after, feeds), meaning(before, feeds)
    # One rounding more of 27 products, each as large as the factor at most.
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * abs(factor))


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([const("s", [1.0, 2.0, 3.0]), make("m", "Mul", "x", "s"), conv("y", "m", "f")], "y"),
        ([const("s", 2.0), make("m", "Mul", "x", "s"), conv("y", "m", "f")], "y m"),
        (
            [
                const("s", 2.0),
                make("m", "Mul", "x", "s"),
                conv("y", "m", "f"),
                make("z", "Relu", "m"),
            ],
            "y z",
        ),
        (
            [const("s", 2.0), make("m", "Mul", "x", "s"), conv("y", "m", "f"), conv("z", "x", "f")],
            "y z",
        ),
        ([make("m", "Mul", "x", "x"), conv("y", "m", "f")], "y"),
        ([const("s", 2.0), make("m", "Add", "x", "s"), conv("y", "m", "f")], "y"),
        ([const("s", 2.0), make("m", "Mul", "x", "s"), make("y", "Relu", "m")], "y"),
    ],
    ids=["by channel", "an output", "read twice", "shared filter", "square", "sum", "no filter"],
)
def test_what_stays(nodes: list[Node], outputs: str) -> None:
    """Whatever would change what somebody else reads, or is no single number."""
    needed = [FILTER] if any("f" in node.inputs for node in nodes) else []
    ir = imported(graph(X, needed, nodes), *outputs.split())
    kinds = [op.kind for op in ir.ops]
    assert fold_factors_forward(ir) == 0
    assert [op.kind for op in ir.ops] == kinds
