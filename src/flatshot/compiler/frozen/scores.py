"""Where a graph's class predictions are: what all class predictors come together in."""

from dataclasses import dataclass

import numpy as np

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.preprocessing import CONVOLUTIONS
from flatshot.compiler.frozen.wiring import Wiring
from flatshot.errors import GraphError, UnsupportedError
from flatshot.formats.graphdef import Node, parse_tensor
from flatshot.formats.order import sort_nodes

_CONVERTERS = ("Sigmoid", "Softmax")
_SCALING = ("Mul", "RealDiv", "Div")
_RESHAPING = ("Reshape", "Squeeze", "ExpandDims", "Identity", "Cast")


@dataclass(frozen=True)
class Scores:
    """The class predictions of one image.

    Attributes:
        tensor: converted scores, or logits where the graph converts nothing.
        converter: the operator that converts them; empty where there is none.
        columns: how many classes there are columns for.
        background: whether column 0 is the background; None where the graph does not say.
    """

    tensor: str
    converter: str
    columns: int
    background: bool | None


def find_scores(wiring: Wiring, encodings: str, evaluation: Evaluation, count: int) -> Scores:
    """The class predictions that go with `count` box encodings.

    Raises:
        UnsupportedError: there are none to be found.
    """
    join = _find_join(wiring, encodings)
    tensor, converter = _convert(wiring, join, evaluation)
    columns = _columns(evaluation, tensor, count)
    return Scores(tensor, converter, columns, _background(wiring, tensor))


def _find_join(wiring: Wiring, encodings: str) -> str:
    """The first node that depends on all class predictors: on each map's last convolution."""
    last = _last_convolutions(wiring)
    boxes = wiring.ancestors([encodings])
    predictors = [name for name in last if name not in boxes]
    if not predictors:
        raise UnsupportedError(
            f"no class predictions found beside the box encodings {encodings!r}: end in the raw "
            "outputs with --output_arrays"
        )
    behind = set.intersection(*(wiring.descendants([name]) for name in predictors))
    order = sort_nodes(
        wiring.graph,
        [node for node in wiring.graph if node.name in behind],
        lambda node: [
            name
            for name in node.sources
            if name in behind and wiring.graph.by_name[name].op != "NextIteration"
        ],
    )
    if not order:
        raise UnsupportedError(f"the class predictors {', '.join(predictors)} never come together")
    return order[0].name


def _last_convolutions(wiring: Wiring) -> list[str]:
    """The convolutions that no other convolution depends on."""
    names = [node.name for node in wiring.nodes_of(*CONVOLUTIONS)]
    inputs = [text for name in names for text in wiring.graph.by_name[name].data_inputs]
    before = wiring.ancestors(inputs)
    return [name for name in names if name not in before]


def _convert(wiring: Wiring, join: str, evaluation: Evaluation) -> tuple[str, str]:
    """Scores that follow from the joined logits by scaling and a score converter."""
    waiting, seen = [join], set()
    while waiting:
        name = waiting.pop(0)
        seen.add(name)
        for node in wiring.readers.get(name, []):
            if node.op in _CONVERTERS:
                return node.name, node.op
            if node.op in _RESHAPING or _is_scaling(node, name, evaluation):
                waiting += [] if node.name in seen else [node.name]
    return join, ""


def _is_scaling(node: Node, before: str, evaluation: Evaluation) -> bool:
    others = [text for text in node.data_inputs if parse_tensor(text).node != before]
    if node.op not in _SCALING or len(others) != 1:
        return False
    data = evaluation.constant(others[0])
    return data is not None and data.size == 1


def _columns(evaluation: Evaluation, tensor: str, count: int) -> int:
    dims = evaluation.value(tensor).dims
    total = int(np.prod(dims, dtype=np.int64))
    if not dims or not count or total != count * dims[-1]:
        raise GraphError(f"the class predictions {tensor!r} are {list(dims)} for {count} boxes")
    return dims[-1]


def _background(wiring: Wiring, tensor: str) -> bool | None:
    """Whether the post-processing leaves column 0 out, or takes every column."""
    constant = Evaluation(wiring.graph, {}).constant
    readers = _readers(wiring, parse_tensor(tensor).node)
    for node in readers:
        if node.op in ("Slice", "StridedSlice"):
            begin = constant(node.data_inputs[1])
            if begin is not None and begin.size == 3:
                return bool(begin[-1] == 1)
    return False if readers else None


def _readers(wiring: Wiring, name: str) -> list[Node]:
    """The nodes that read `name`, or what hands it on."""
    found = []
    for node in wiring.readers.get(name, []):
        found += _readers(wiring, node.name) if node.op == "Identity" else [node]
    return found
