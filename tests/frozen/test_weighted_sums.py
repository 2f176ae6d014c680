"""Sums with weights that TensorFlow 2 writes as products of matrices: the same numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.compiler.frozen.weighted_sums import write_out_sums
from flatshot.conversion.convert import convert
from flatshot.formats.graphdef import Graph, Node
from tests import litert
from tests.compiler.graphs import const, placeholder
from tests.compiler.graphs import node as make


def _stacked(weights: np.ndarray, axis: int = -1, dims: int = -1) -> Graph:
    """N images, all the input times another number, summed up as an EfficientDet's BiFPN does."""
    count = weights.shape[0]
    parts: list[Node] = []
    for k in range(count):
        parts += [const(f"f{k}", np.float32(k + 1)), make(f"x{k}", "Mul", "x", f"f{k}")]
    return Graph(
        (
            placeholder("x", 1, 2, 3, 4),
            *parts,
            const("w", weights),
            make("relu", "Relu", "w"),
            const("axes", [0, 1]),
            make("total", "Sum", "relu", "axes"),
            const("e", np.float32(1e-4)),
            make("safe", "AddV2", "total", "e"),
            make("share", "RealDiv", "relu", "safe"),
            make("stack", "Pack", *(f"x{k}" for k in range(count)), axis=axis),
            make("product", "BatchMatMulV2", "stack", "share"),
            make("sum", "Squeeze", "product", squeeze_dims=[dims]),
        )
    )


@given(st.lists(st.floats(-2, 4, width=32), min_size=1, max_size=5), st.sampled_from([-1, 4]))
def test_the_sum_is_the_same(weights: list[float], axis: int) -> None:
    """Of one input and of many, whatever the weights; within rounding of their order."""
    column = np.array(weights, np.float32).reshape(-1, 1)
    graph = write_out_sums(_stacked(column, axis, axis))
    needed = {node.name for node in graph} - {"product", "stack"}
    model = convert(
        Graph(tuple(node for node in graph if node.name in needed)), output_arrays=["sum"]
    )
    image = np.random.default_rng(3).uniform(-1, 1, (1, 2, 3, 4)).astype(np.float32)
    (got,) = litert.run(model.to_bytes(), image)
    positive = np.maximum(column.astype(np.float64), 0)
    shares = positive / (positive.sum() + 1e-4)
    want = image * (shares.reshape(-1) * np.arange(1, len(weights) + 1)).sum()
    # A float32 sum of at most five terms.
    np.testing.assert_allclose(got, want, rtol=0, atol=5e-6)


def test_one_operator_for_each_input_and_each_addition() -> None:
    """None of them a product of matrices."""
    graph = write_out_sums(_stacked(np.ones((3, 1), np.float32)))
    new = [node for node in graph if node.name.startswith("sum")]
    ops = [node.op for node in new if node.op != "Const"]
    assert sorted(ops) == ["AddV2", "AddV2", "Mul", "Mul", "Mul"]
    assert new[-1].name == "sum"


@pytest.mark.parametrize(
    ("weights", "axis", "dims"),
    [(np.ones((3, 2), np.float32), -1, -1), (np.ones((3, 1), np.float32), 1, -1),
     (np.ones((3, 1), np.float32), -1, 0)],
)  # fmt: skip
def test_other_products_stay(weights: np.ndarray, axis: int, dims: int) -> None:
    """What is no sum of the last axis is left to the operators that are known."""
    graph = write_out_sums(_stacked(weights, axis, dims))
    assert graph.by_name["sum"].op == "Squeeze"


def test_a_graph_without_products_stays() -> None:
    """As the object that it is."""
    graph = Graph((placeholder("x", 1, 2, 3, 4),))
    assert write_out_sums(graph) is graph
