"""What is no single-shot detector is refused, with the reason and the node."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import flatshot
from flatshot.compiler.frozen.cut import cut_frozen
from flatshot.errors import FlatshotError, GraphError, UnsupportedError
from flatshot.formats.graphdef import Graph, Node
from tests.compiler.graphs import const, conv, graph, placeholder
from tests.compiler.graphs import node as make
from tests.frozen.exporter import Style, freeze


@pytest.fixture(scope="module")
def frozen(tiny: Path) -> Graph:
    """A sound frozen detector."""
    return freeze(flatshot.export(tiny), Style())


def _with(source: Graph, name: str, **changes: object) -> Graph:
    """`source` with one node changed."""
    return Graph(
        tuple(replace(n, **changes) if n.name == name else n for n in source)  # type: ignore[arg-type]
    )


def _classifier(source: Graph) -> Graph:
    return graph(
        placeholder("image", 1, 8, 8, 3),
        const("w", np.ones((3, 3, 3, 4), np.float32)),
        conv("features", "image", "w"),
        make("Predictions/Softmax", "Softmax", "features"),
    )


def _two_stages(source: Graph) -> Graph:
    crop = make("SecondStage/CropAndResize", "CropAndResize", "Squeeze", "boxes")
    return Graph((*source.nodes, crop))


def _two_decoders(source: Graph) -> Graph:
    names = ("parts", "t2", "t3", "s2", "s3", "y/exp", "x/exp")
    copies = [source.by_name[name] for name in names]
    again = [
        Node(
            f"again/{node.name}",
            node.op,
            tuple(f"again/{t}" if t.split(":")[0] in names else t for t in node.inputs),
            node.attrs,
        )
        for node in copies
    ]
    return Graph((*source.nodes, *again))


def _cycle(source: Graph) -> Graph:
    first = next(node.name for node in source if node.op == "Conv2D")
    return _with(source, "FeatureExtractor/image", inputs=(first,))


def _missing(source: Graph) -> Graph:
    return Graph(tuple(node for node in source if node.name != "Preprocessor/mul/x"))


def _no_classes(source: Graph) -> Graph:
    gone = [node.name for node in source if "ClassPredictor" in node.name and node.op == "Conv2D"]
    nodes = (
        replace(node, op="Reshape", inputs=(node.inputs[0], "perm")) if node.name in gone else node
        for node in source
    )
    return Graph(tuple(nodes))


def _another_coder(source: Graph) -> Graph:
    return _with(source, "y/half", op="Maximum")


def _spans_of_nothing(source: Graph) -> Graph:
    return _with(source, "y/mul", inputs=("s0", "a1"))


def _channels_turned(source: Graph) -> Graph:
    axis = const("last", [-1])
    turned = make("Preprocessor/BGR", "ReverseV2", "Preprocessor/resized", "last")
    changed = _with(source, "Preprocessor/mul", inputs=("Preprocessor/mul/x", turned.name))
    return Graph((axis, turned, *changed.nodes))


def _channels_backwards(source: Graph) -> Graph:
    turned = make("BGR", "StridedSlice", "Preprocessor/resized", "zeros", "zeros", "back",
                  begin_mask=15, end_mask=15)  # fmt: skip
    changed = _with(source, "Preprocessor/mul", inputs=("Preprocessor/mul/x", turned.name))
    bounds = [const("zeros", [0, 0, 0, 0]), const("back", [1, 1, 1, -1])]
    return Graph((*bounds, turned, *changed.nodes))


def _no_convolutions(source: Graph) -> Graph:
    return Graph(
        tuple(
            replace(n, op="Relu", inputs=n.inputs[:1]) if n.op in CONVOLUTIONS else n
            for n in source
        )
    )


def _unknown_operator(source: Graph) -> Graph:
    first = next(node.name for node in source if node.op == "Relu6")
    return _with(source, first, op="Mystery")


CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (_classifier, UnsupportedError, r"Softmax 'Predictions/Softmax' looks like a classifier"),
        (_two_stages, UnsupportedError, r"CropAndResize 'SecondStage/CropAndResize' cuts regions"),
        (_two_decoders, UnsupportedError, r"at several places, again/parts, parts"),
        (_cycle, GraphError, r"a cycle through node 'FeatureExtractor/image'"),
        (_missing, GraphError, r"node 'Preprocessor/mul' reads 'Preprocessor/mul/x', which is not"),
        (_no_classes, UnsupportedError, r"no class predictions found beside .*'Squeeze'"),
        (_another_coder, UnsupportedError, r"boxes are decoded at 'y/exp' in another way"),
        (_spans_of_nothing, UnsupportedError, r"boxes are decoded at 'parts' in another way"),
        (_channels_turned, UnsupportedError, r"ReverseV2 'Preprocessor/BGR' does something"),
        (_channels_backwards, UnsupportedError, r"StridedSlice 'BGR' does something"),
        (_no_convolutions, UnsupportedError, r"no convolution"),
        (_unknown_operator, UnsupportedError, r"Mystery '.+Relu6'"),
    ],
)
def test_the_reason_and_the_node_are_named(
    frozen: Graph, change: Callable[[Graph], Graph], error: type[FlatshotError], message: str
) -> None:
    """One line that says what and where."""
    with pytest.raises(error, match=message) as caught:
        cut_frozen(change(frozen))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_node_less_is_an_error_of_ours(frozen: Graph) -> None:
    """Whichever node is missing or has lost its inputs: never another exception."""
    for index, node in enumerate(frozen):
        for nodes in (
            frozen.nodes[:index] + frozen.nodes[index + 1 :],
            (*frozen.nodes[:index], replace(node, inputs=()), *frozen.nodes[index + 1 :]),
            (*frozen.nodes[:index], replace(node, attrs={}), *frozen.nodes[index + 1 :]),
            (
                *frozen.nodes[:index],
                replace(node, inputs=node.inputs * 2),
                *frozen.nodes[index + 1 :],
            ),
        ):
            with contextlib.suppress(FlatshotError):
                cut_frozen(Graph(nodes))
