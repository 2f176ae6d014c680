"""Shape arithmetic made constant: with a static input, what is computed with shapes is known."""

import logging
from collections.abc import Iterable, Mapping

import numpy as np

from flatshot.compiler.frozen.evaluation import DESCRIBING, Evaluation
from flatshot.compiler.frozen.rewriting import rewrite
from flatshot.compiler.frozen.wiring import constant_node
from flatshot.compiler.importer import Boundary, input_shapes
from flatshot.compiler.ir import Value
from flatshot.compiler.operators import BY_TF_NAME
from flatshot.errors import FlatshotError, GraphError
from flatshot.formats.detector_graph import POSTPROCESS
from flatshot.formats.graphdef import Array, Graph, Node, parse_tensor
from flatshot.formats.order import sort_nodes

_log = logging.getLogger("flatshot")

# Operators whose inputs after the first say what to do, in whole numbers.
_DESCRIBED = ("Reshape", "StridedSlice")


def settle(
    graph: Graph, evaluation: Evaluation, fed: Iterable[str], outputs: Iterable[str]
) -> list[Node]:
    """The nodes that `outputs` need, up to the tensors `fed`, in an order that can run.

    Whole numbers that follow from shapes become constants under the name of the node that
    computed them, and so does whatever operators compute that TensorFlow Lite has no use for.
    Control edges go.

    Raises:
        GraphError: nodes wait for each other, or shapes do not fit.
        UnsupportedOpError: an operator on the way is not known.
    """
    begins = set(fed)
    folded: dict[str, Array] = {}
    moving: set[str] = set()

    def sources(node: Node) -> list[str]:
        if node.name not in folded and node.name not in moving:
            data = _foldable(node, evaluation)
            if data is None:
                moving.add(node.name)
            else:
                folded[node.name] = data
        if node.name in folded:
            return []
        return [
            source
            for text, source in zip(node.data_inputs, node.sources, strict=True)
            if text not in begins
        ]

    ends = [parse_tensor(text).node for text in outputs if text not in begins]
    for missing in (name for name in ends if name not in graph.by_name):
        raise GraphError(f"there is no node {missing!r} to be an output")
    roots = [graph.by_name[name] for name in ends]
    nodes = []
    for node in sort_nodes(graph, roots, sources):
        if node.name in folded:
            nodes.append(constant_node(node.name, folded[node.name]))
        else:
            nodes.append(Node(node.name, node.op, node.data_inputs, node.attrs))
    return nodes


def _foldable(node: Node, evaluation: Evaluation) -> Array | None:
    if node.op in ("Const", POSTPROCESS):
        return None
    known = evaluation.value(node.name)
    return known.data if known.dtype.kind in "iub" or node.op not in BY_TF_NAME else None


def fold_shapes(graph: Graph, boundary: Boundary) -> Graph:
    """`graph` as the importer takes it: plain operators, and no arithmetic on shapes.

    A graph without either is returned as it is; so is one in which that cannot be worked out, for
    the importer to say why.
    """
    plain = rewrite(graph)
    if not any(_computes_shapes(plain, node) for node in plain):
        return plain
    try:
        shapes = input_shapes(plain, boundary)
        fed = {name: Value(name, dims, np.dtype(np.float32)) for name, dims in shapes.items()}
        nodes = settle(plain, Evaluation(plain, fed), fed, boundary.outputs)
    except FlatshotError as error:
        _log.info("shapes are not folded: %s", error)
        return plain
    return Graph((*(plain.by_name[name] for name in shapes), *nodes))


def _computes_shapes(graph: Graph, node: Node) -> bool:
    """Whether `node` asks for a shape, or gives one that is put together of constants."""
    if node.op in _DESCRIBED:
        makers = [graph.by_name.get(source) for source in node.sources[1:]]
        return any(maker and maker.op not in ("Const", "Identity") for maker in makers)
    return node.op in DESCRIBING


def renamed(nodes: Iterable[Node], names: Mapping[str, str]) -> list[Node]:
    """`nodes` with other names for themselves and for what they read."""
    return [
        Node(
            names.get(node.name, node.name),
            node.op,
            tuple(rename(text, names) for text in node.inputs),
            node.attrs,
        )
        for node in nodes
    ]


def rename(tensor: str, names: Mapping[str, str]) -> str:
    """What `tensor` is called once nodes, or it alone, are called as `names` says."""
    if tensor in names:
        return names[tensor]
    name = parse_tensor(tensor)
    return str(name._replace(node=names[name.node])) if name.node in names else tensor
