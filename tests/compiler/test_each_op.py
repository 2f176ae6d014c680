"""Each operator on its own: what its kernel says is what LiteRT computes.

Every dimension has a different extent, so that a mistake of layout cannot hide.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from flatshot.compiler.operators import BY_TF_NAME, OPERATORS
from flatshot.conversion.convert import convert
from flatshot.formats.graphdef import Graph, Node
from tests import litert
from tests.compiler.cases import cases
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

RNG = np.random.default_rng(7)
Case = tuple[str, Graph]


def _convolutions(op: str, filter_: tuple[int, ...]) -> Iterator[Graph]:
    for strides, dilations in (
        ((1, 1), (1, 1)),
        ((2, 2), (1, 1)),
        ((1, 1), (2, 3)),
        ((3, 2), (1, 1)),
    ):
        for padding in (b"SAME", b"VALID"):
            yield graph(
                placeholder("x", 1, 11, 13, filter_[2]),
                const("w", randn(RNG, *filter_)),
                conv("y", "x", "w", op=op, strides=strides, dilations=dilations, padding=padding),
            )


def _rectangular(op: str, filter_: tuple[int, ...]) -> Graph:
    return graph(
        placeholder("x", 1, 12, 9, filter_[2]),
        const("w", randn(RNG, *filter_)),
        conv("y", "x", "w", op=op, strides=(3, 3), padding=b"SAME"),
    )


def _both_ways(op: str) -> Iterator[Graph]:
    x = placeholder("x", 1, 3, 4, 5)
    yield graph(x, placeholder("z", 1, 3, 4, 5), make("y", op, "x", "z"))
    for shape in ((), (5,), (4, 1), (1, 3, 1, 5)):
        other = const("c", np.asarray(randn(RNG, *shape) + 3))
        yield graph(x, other, make("y", op, "x", "c"))
        yield graph(x, other, make("y", op, "c", "x"))


def _unary(op: str, *shape: int) -> Graph:
    return graph(placeholder("x", *shape), make("y", op, "x"))


def _cases() -> dict[str, list[Graph]]:
    x = placeholder("x", 2, 3, 4, 5)
    return {
        "conv2d": [
            *_convolutions("Conv2D", (3, 4, 5, 7)),
            *_convolutions("Conv2D", (1, 1, 5, 6)),
            _rectangular("Conv2D", (2, 5, 3, 4)),
        ],
        "depthwise_conv2d": [
            *_convolutions("DepthwiseConv2dNative", (3, 4, 5, 1)),
            *_convolutions("DepthwiseConv2dNative", (2, 3, 5, 4)),
            _rectangular("DepthwiseConv2dNative", (2, 5, 3, 1)),
        ],
        **{
            BY_TF_NAME[op].kind: list(_both_ways(op))
            for op in ("AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum")
        },
        **{
            BY_TF_NAME[op].kind: [_unary(op, 2, 3, 4, 5), _unary(op, 7)]
            for op in ("Identity", "Relu", "Relu6", "Sigmoid", "Softmax")
        },
        "bias_add": [graph(x, const("b", randn(RNG, 5)), make("y", "BiasAdd", "x", "b"))],
        "batch_norm": [graph(x, batch_norm("y", "x", 5, RNG))],
        "reshape": [
            graph(x, const("s", shape), make("y", "Reshape", "x", "s"))
            for shape in ([5, 4, 3, 2], [6, -1], [-1], [1, 2, 3, 4, 5])
        ],
        "squeeze": [
            graph(placeholder("x", 1, 3, 1, 5), make("y", "Squeeze", "x", **attrs))
            for attrs in ({}, {"squeeze_dims": [2]}, {"squeeze_dims": [-2, 0]}, {"axis": [0]})
        ],
        "concat": [
            graph(
                x,
                placeholder("z", *(6 if i == axis % 4 else n for i, n in enumerate((2, 3, 4, 5)))),
                const("axis", axis),
                make("y", "ConcatV2", "x", "z", "x", "axis"),
            )
            for axis in (0, 1, 2, 3, -1)
        ],
        **cases(),
    }


CASES = _cases()


def test_every_operator_with_a_kernel_has_a_case() -> None:
    """An operator that is declared and not tried here fails the suite."""
    assert set(CASES) == {kind for kind, operator in OPERATORS.items() if operator.kernel}


def _check(source: Graph) -> None:
    rng = np.random.default_rng(11)
    reference = imported(source, "y")
    feeds = feeds_for(reference, rng)
    (want,) = meaning(reference, feeds)
    model = convert(source, output_arrays=["y"], inference_type="FLOAT")
    (got,) = litert.run(model.to_bytes(), *(feeds[value.name] for value in reference.inputs))
    assert got.shape == want.shape == reference.outputs[0].shape
    assert got.dtype == np.float32
    # float32 sums of at most 60 products of normal numbers, added in another order
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", sorted(CASES))
def test_kernel_and_litert_agree(kind: str) -> None:
    """The operator alone, converted and run, gives what its NumPy kernel gives."""
    for source in CASES[kind]:
        _check(source)


@pytest.mark.parametrize("name", sorted(BY_TF_NAME))
def test_every_graphdef_name_means_its_kind(name: str) -> None:
    """All GraphDef names of a kind are converted alike."""
    operator = BY_TF_NAME[name]
    _check(
        Graph(
            tuple(
                Node(n.name, name if n.op in operator.tf else n.op, n.inputs, n.attrs)
                for n in CASES[operator.kind][0]
            )
        )
    )


@pytest.mark.parametrize("kind", sorted(CASES))
def test_shapes_are_foretold(kind: str) -> None:
    """The shape that an operator declares is that of what its kernel makes."""
    for source in CASES[kind]:
        ir = imported(source, "y")
        (value,) = meaning(ir, feeds_for(ir, np.random.default_rng(3)))
        assert value.shape == ir.outputs[0].shape
