"""Sums of tensors with weights, which TensorFlow 2 writes as products of matrices.

An EfficientDet's BiFPN adds its n inputs with learned weights (`fast_attention` of
`object_detection/models/bidirectional_feature_pyramid_generators.py`): it stacks them along a new
last axis and multiplies with a matrix of [n, 1]. TensorFlow's converter unrolls that product row by
row, into some twenty thousand operators; n multiplications and n - 1 additions are the same sum.
"""

import itertools

import numpy as np

from flatshot.compiler.frozen.evaluation import Evaluation
from flatshot.compiler.frozen.wiring import constant_node
from flatshot.formats.graphdef import FLOAT, Array, Graph, Node

_PRODUCTS = ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")


def write_out_sums(graph: Graph) -> Graph:
    """`graph` with its weighted sums as multiplications and additions; the sums keep their names.

    Products of other matrices stay as they are.
    """
    if not any(node.op in _PRODUCTS for node in graph):
        return graph
    evaluation = Evaluation(graph, {})
    nodes: list[Node] = []
    for node in graph:
        found = _weighted_sum(graph, node, evaluation)
        nodes += [node] if found is None else _write_out(node, *found)
    return Graph(tuple(nodes), graph.library)


def _weighted_sum(
    graph: Graph, squeeze: Node, evaluation: Evaluation
) -> tuple[tuple[str, ...], Array] | None:
    """The tensors that are summed up to what `squeeze` gives, and their weights."""
    product = _made(graph, squeeze, 0, "Squeeze")
    if product is None or product.op not in _PRODUCTS or len(product.data_inputs) != 2:
        return None
    stack = _made(graph, product, 0, *_PRODUCTS)
    if stack is None or stack.op != "Pack" or stack.attrs.get("axis") not in (-1, 4):
        return None
    transposed = product.attrs.get("adj_x") or product.attrs.get("adj_y")
    if transposed or squeeze.attrs.get("squeeze_dims") not in ([-1], [4]):
        return None
    weights = evaluation.constant(product.data_inputs[1])
    count = len(stack.data_inputs)
    if weights is None or weights.shape != (count, 1) or weights.dtype != np.float32:
        return None
    return stack.data_inputs, weights.reshape(-1)


def _made(graph: Graph, node: Node, number: int, *ops: str) -> Node | None:
    """What makes an input of `node`, if that is one of `ops`."""
    if node.op not in ops or len(node.sources) <= number:
        return None
    return graph.by_name.get(node.sources[number])


def _write_out(node: Node, tensors: tuple[str, ...], weights: Array) -> list[Node]:
    name = node.name
    nodes = []
    for number, (tensor, weight) in enumerate(zip(tensors, weights, strict=True)):
        nodes += [
            constant_node(f"{name}/weight_{number}", np.asarray(weight, np.float32)),
            Node(f"{name}/term_{number}", "Mul", (tensor, f"{name}/weight_{number}"), FLOAT),
        ]
    terms = [f"{name}/term_{number}" for number in range(len(tensors))]
    sums = [*(f"{name}/sum_{number}" for number in range(1, len(terms) - 1)), name]
    if len(terms) == 1:
        return [*nodes, Node(name, "Identity", (terms[0],), FLOAT)]
    before = itertools.chain([terms[0]], sums)
    for total, one, other in zip(sums, before, terms[1:], strict=False):
        nodes.append(Node(total, "AddV2", (one, other), FLOAT))
    return nodes
