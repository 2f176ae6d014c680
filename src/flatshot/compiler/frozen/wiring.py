"""Finding one's way in a GraphDef: who makes what, who reads it, what depends on what."""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from flatshot.compiler.operators import BY_TF_NAME
from flatshot.errors import GraphError
from flatshot.formats.graphdef import DATA_TYPES, Array, Graph, Node, parse_tensor
from flatshot.formats.order import sort_nodes

# What these do is over before the graph runs, or concerns nobody who runs it.
HANDED_ON = frozenset(
    {
        "Identity",
        "StopGradient",
        "PreventGradient",
        "CheckNumerics",
        "Snapshot",
        "PlaceholderWithDefault",
        "Enter",
        "Exit",
    }
)


# How many inputs operators have that stand around networks; the registry knows the others.
_LEAST_INPUTS = {
    **dict.fromkeys(("Enter", "Exit", "Merge", "NextIteration", "Rank", "Size", "ShapeN"), 1),
    **dict.fromkeys(("Switch", "Greater", "GreaterEqual", "ResizeBicubic", "ResizeArea"), 2),
    **dict.fromkeys(("_FusedConv2D", "_FusedDepthwiseConv2dNative"), 2),
    "FusedDepthwiseConv2dNative": 2,
    "SplitV": 3,
    "NonMaxSuppression": 3,
    "NonMaxSuppressionV2": 4,
    "NonMaxSuppressionV3": 5,
    "NonMaxSuppressionV4": 5,
    "NonMaxSuppressionV5": 6,
    "CombinedNonMaxSuppression": 6,
}


def check_count(node: Node) -> None:
    """Check that `node` has the inputs that its operator reads.

    Raises:
        GraphError: it has fewer.
    """
    operator = BY_TF_NAME.get(node.op)
    least = _LEAST_INPUTS.get(node.op, operator.inputs[0] if operator else 0)
    count = len(node.data_inputs)
    if count < least:
        raise GraphError(f"{node.op} {node.name!r} has {count} inputs, not {least}")


def constant_node(name: str, data: Array) -> Node:
    """A constant."""
    value = np.ascontiguousarray(data).reshape(data.shape)
    return Node(name, "Const", (), {"dtype": DATA_TYPES[value.dtype], "value": value})


class Wiring:
    """A graph with its edges both ways.

    Raises:
        GraphError: a node reads one that the graph lacks, lacks inputs, or waits for itself.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        for node in graph:
            check_count(node)
            for source in (*node.sources, *node.controls):
                if source not in graph.by_name:
                    raise GraphError(
                        f"node {node.name!r} reads {source!r}, which is not in the graph; "
                        "freeze the model again"
                    )
        self._check_cycles()

    @functools.cached_property
    def readers(self) -> Mapping[str, list[Node]]:
        """The nodes that read any output of a node, by its name."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.graph:
            for source in set(node.sources):
                found[source].append(node)
        return found

    def node(self, tensor: str) -> Node:
        """The node that makes `tensor`."""
        return self.graph.by_name[parse_tensor(tensor).node]

    def source(self, tensor: str) -> str:
        """`tensor`, or what it is handed on from."""
        seen = set()
        node = self.node(tensor)
        while node.op in HANDED_ON and node.data_inputs and node.name not in seen:
            seen.add(node.name)
            tensor = node.data_inputs[0]
            node = self.node(tensor)
        return tensor

    def ancestors(self, tensors: Iterable[str]) -> set[str]:
        """The names of the nodes that `tensors` need, those that make them included."""
        waiting = [parse_tensor(text).node for text in tensors]
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.graph.by_name[name].sources
        return found

    def descendants(self, names: Iterable[str]) -> set[str]:
        """The names of the nodes that depend on one of `names`, those included."""
        waiting = list(names)
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [node.name for node in self.readers.get(name, [])]
        return found

    def nodes_of(self, *ops: str) -> list[Node]:
        """The nodes of these operators, in the order of the file."""
        return [node for node in self.graph if node.op in ops]

    def _check_cycles(self) -> None:
        sort_nodes(self.graph, list(self.graph), lambda node: _sources_before(self.graph, node))


def _sources_before(graph: Graph, node: Node) -> list[str]:
    """What must run before `node`; a loop comes back to its Merge by way of a NextIteration."""
    names = [*node.sources, *node.controls]
    if node.op == "Merge":
        return [name for name in names if graph.by_name[name].op != "NextIteration"]
    return names
