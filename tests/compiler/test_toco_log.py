"""The figures of TOCO's log: those of the original README, and how they come about."""

from pathlib import Path

import pytest

from flatshot.compiler.toco_log import Counts, count_graph, format_ops
from flatshot.conversion.convert import convert
from flatshot.formats.graphdef import DataType, Graph, Node
from tests import families
from tests.compiler.graphs import const, conv, graph, placeholder
from tests.compiler.graphs import node as make


def test_the_log_of_the_original_readme(data: Path) -> None:
    """Line for line, for the full-width SSD MobileNet V1 of 90 classes."""
    built = families.build(data, "ssd_mobilenet_v1")
    *nodes, last = built.nodes
    attrs = {**last.attrs, "_output_types": [DataType.DT_FLOAT] * 4}
    model = convert(Graph((*nodes, Node(last.name, last.op, last.inputs, attrs))))
    assert model.log.lines() == [
        "Before Removing unused ops: 500 operators, 754 arrays (0 quantized)",
        "Before general graph transformations: 500 operators, 754 arrays (0 quantized)",
        "After general graph transformations pass 1: 64 operators, 176 arrays (0 quantized)",
        "Before dequantization graph transformations: 64 operators, 176 arrays (0 quantized)",
        "Total transient array allocated size: 11520000 bytes, "
        "theoretical optimal value: 8640000 bytes.",
        "Estimated count of arithmetic ops: 2.49483 billion "
        "(note that a multiply-add is counted as 2 ops).",
    ]
    assert model.log.arithmetic_ops == 2_494_829_795


def test_counts_of_a_graph() -> None:
    """A filter is reordered once, however many read it; a batch norm is four operators."""
    source = graph(
        placeholder("x", 1, 4, 4, 3),
        const("w", [[[[1.0]]]]),
        conv("a", "x", "w"),
        conv("b", "a", "w"),
        make("n", "FusedBatchNormV3", "b"),
        make("y", "Relu", "n"),
    )
    # a, b, the reordering, four of the batch norm, relu; w, x, an output of each, one epsilon
    assert count_graph(list(source), {"x"}) == Counts(8, 2 + 8 + 1)


def test_inputs_in_mid_graph_are_arrays() -> None:
    """What is fed is no operator."""
    source = graph(placeholder("x", 3), make("a", "Relu", "x"), make("y", "Relu", "a"))
    assert count_graph(list(source), {"a"}) == Counts(1, 3)


def test_what_the_outputs_do_not_need_is_counted_before() -> None:
    """The first line is of the whole graph, the second of what is left."""
    source = graph(
        placeholder("x", 3), make("y", "Relu", "x"), make("z", "Relu", "x"), const("k", [1])
    )
    log = convert(source, output_arrays=["y"]).log
    assert log.imported == Counts(2, 4)
    assert log.needed == Counts(1, 2)
    assert str(log.converted) == "1 operators, 2 arrays (0 quantized)"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999_999, "999999"),
        (1_000_000, "1 M"),
        (367_123_456, "367.123 M"),
        (1_367_050_000, "1.36705 billion"),
        (2_494_829_795, "2.49483 billion"),
    ],
)
def test_six_digits_in_millions_or_billions(count: int, text: str) -> None:
    """As TOCO prints them."""
    assert format_ops(count) == text
